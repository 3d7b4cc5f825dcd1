/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/fileio.h"
#include "launcher/request.h"
#include "launcher/sum.h"

uint64_t sum_limit(const char *folder, const char *scope, const char *file) {
        _cleanup_free_ char *path = xasprintf("%s/%s/%s", folder, scope, file), *text = NULL;
        uint64_t value;

        if (!path || read_file_at(AT_FDCWD, path, 64, &text, NULL) < 0)
                return UINT64_MAX;
        text[strcspn(text, "\n")] = 0;
        return safe_atou64(text, &value) < 0 ? UINT64_MAX : value;
}

static void add(uint64_t *sum, uint64_t value) {
        if (value != UINT64_MAX && __builtin_add_overflow(*sum, value, sum))
                *sum = UINT64_MAX - 1;
}

int sum_measure(const char *slice_path, const char *without, Sum *ret) {
        DIR *d = opendir(slice_path);
        Sum sum = {};

        if (!d && errno != ENOENT)
                return -errno;
        for (struct dirent *e; d && (e = readdir(d));) {
                if (!unit_name_is_ours(e->d_name) || streq_ptr(e->d_name, without))
                        continue;
                sum.scopes++;
                add(&sum.memory, sum_limit(slice_path, e->d_name, "memory.max"));
                add(&sum.tasks, sum_limit(slice_path, e->d_name, "pids.max"));
        }
        if (d)
                (void) closedir(d);
        *ret = sum;
        return 0;
}
