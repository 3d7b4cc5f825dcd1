/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>

#include "common/cgroup.h"
#include "launcher/sum.h"

static const struct {
        LimitId id;
        const char *file;
} shared[] = { { LIMIT_MEMORY_MAX, "memory.max" }, { LIMIT_TASKS_MAX, "pids.max" } };

uint64_t sum_limit(const char *slice, const char *scope, const char *file) {
        _cleanup_free_ char *path = xasprintf("%s/%s/%s", slice, scope, file);
        uint64_t value;

        return path && cgroup_read_value(AT_FDCWD, path, "", &value) ? value : UINT64_MAX;
}

void sum_add(uint64_t *sum, uint64_t limit) {
        if (limit != UINT64_MAX && __builtin_add_overflow(*sum, limit, sum))
                *sum = UINT64_MAX - 1;
}

int sum_measure(const char *slice_path, const char *without, Sum *sum) {
        DIR *d = opendir(slice_path);
        ScopeName name;
        int r = 0;

        if (!d && errno != ENOENT)
                return -errno;
        for (struct dirent *e; d && r >= 0 && (e = readdir(d));) {
                if (workspace_slice_is_valid(e->d_name)) {
                        _cleanup_free_ char *below = xasprintf("%s/%s", slice_path, e->d_name);

                        r = below ? sum_measure(below, without, sum) : -ENOMEM;
                }
                if (!scope_name_parse(e->d_name, &name) || streq_ptr(e->d_name, without))
                        continue;
                sum->scopes++;
                if (name.kind != SCOPE_AGENT)
                        continue;
                for (size_t i = 0; i < ELEMENTSOF(shared); i++)
                        sum_add(&sum->taken[shared[i].id], sum_limit(slice_path, e->d_name, shared[i].file));
        }
        if (d)
                (void) closedir(d);
        return r;
}

int sum_check(const Sum *sum, const char *slice_path, const Limits *limits, sd_bus_error *e) {
        for (size_t i = 0; i < ELEMENTSOF(shared); i++) {
                uint64_t total = sum->taken[shared[i].id];

                if (!limits->set[shared[i].id])
                        continue;
                sum_add(&total, limits->value[shared[i].id]);
                if (total > sum_limit(slice_path, ".", shared[i].file))
                        return sd_bus_error_setf(
                                e,
                                ERROR_LIMIT_TOO_HIGH,
                                "limits: %s of all scopes would be above that of " SCOPES_SLICE ".",
                                limit_infos[shared[i].id].property);
        }
        return 0;
}
