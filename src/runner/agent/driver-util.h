/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"
#include "runner/agent/driver.h"

/* The characters of a literal. */
#define SLICE_LITERAL(s) ((Slice){ "" s, sizeof(s) - 1 })

/* Member of a valid object where it has the type; an empty slice otherwise. */
Slice slice_member(Slice o, const char *name, ScanType type);
/* The string member of the beginning of an object, where it is whole and valid; an empty slice otherwise. */
Slice slice_head_string(Slice head, const char *name);
static inline bool slice_is_set(Slice v) {
        return v.size > 0;
}

/* Sets *ret_error by format and returns -EINVAL (-ENOMEM where there is no memory for it). */
int refuse(char **ret_error, const char *format, ...) _printf_(2, 3);

/* For DriverOps of an agent that has none. */
size_t driver_no_questions(Driver *d, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]);
unsigned driver_no_background(Driver *d);
const char *driver_no_session(Driver *d);
