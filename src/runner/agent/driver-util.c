/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "runner/agent/driver-util.h"

/* Types and ids of requests are far shorter. */
#define HEAD_STRING_MAX 256

int refuse(char **ret_error, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(ret_error, format, ap);
        va_end(ap);
        if (r < 0) {
                *ret_error = NULL;
                return -ENOMEM;
        }
        return -EINVAL;
}

Slice slice_member(Slice o, const char *name, ScanType type) {
        Slice v;

        return json_scan_member(o, name, &v) && json_scan_type(v) == type ? v : (Slice){};
}

Slice slice_head_string(Slice head, const char *name) {
        Slice v;

        return json_scan_head_member(head, name, &v) && json_scan_type(v) == SCAN_STRING &&
                        v.size <= HEAD_STRING_MAX && json_scan_valid(v.data, v.size) ?
                v :
                (Slice){};
}

size_t driver_no_questions(Driver *d, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]) {
        return 0;
}

unsigned driver_no_background(Driver *d) {
        return 0;
}

const char *driver_no_session(Driver *d) {
        return NULL;
}
