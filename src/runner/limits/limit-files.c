/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "common/cgroup.h"
#include "common/fileio.h"
#include "common/scope-name.h"
#include "runner/limits/limit-files.h"

#define FILE_MAX 4096
#define PAGE_MAX (64 * 1024)

static const struct {
        const char *name, *file, *controller;
} files[] = {
        { "memoryHigh", "memory.high", "memory" },
        { "memoryMax", "memory.max", "memory" },
        { "memorySwapMax", "memory.swap.max", "memory" },
        { "tasksMax", "pids.max", "pids" },
        { "cpuWeight", "cpu.weight", "cpu" },
        { "cpuQuotaPercent", "cpu.max", "cpu" },
        { "ioWeight", "io.weight", "io" },
};

/* A number or "max" at the beginning of text; what follows it is *ret_rest. */
static bool parse_number(const char *text, uint64_t *ret, const char **ret_rest) {
        char word[32];
        size_t n = strcspn(text, " \n");

        if (n == 0 || n >= sizeof(word))
                return false;
        memcpy(word, text, n);
        word[n] = 0;
        *ret_rest = text + n + strspn(text + n, " \n");
        if (streq(word, "max")) {
                *ret = UINT64_MAX;
                return true;
        }
        return safe_atou64(word, ret) >= 0;
}

bool limit_file_parse(const char *name, const char *text, uint64_t *ret) {
        const char *rest = startswith(text, "default ");
        uint64_t value, period;

        if (!parse_number(rest ? rest : text, &value, &rest))
                return false;
        if (streq(name, "cpuQuotaPercent") && value != UINT64_MAX) {
                /* "50000 100000": microseconds of each period. */
                if (!parse_number(rest, &period, &rest) || period == 0 || value > UINT64_MAX / 200)
                        return false;
                value = (value * 100 + period / 2) / period;
        }
        *ret = value;
        return true;
}

int limit_files_read(int dirfd, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        int r;

        if (!o)
                return -ENOMEM;
        /* Without this one it is no cgroup any more, which is not the same as one without limits. */
        if (faccessat(dirfd, "cgroup.procs", F_OK, 0) < 0)
                return errno == ENOENT ? -ENODEV : -errno;
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_free_ char *text = NULL;
                uint64_t value;

                r = read_file_at(dirfd, files[i].file, FILE_MAX, &text, NULL);
                if (r == -ENODEV)
                        return r; /* the cgroup has gone */
                if (r < 0 || !limit_file_parse(files[i].name, text, &value))
                        continue;
                if (value == UINT64_MAX)
                        r = json_object_object_add(o, files[i].name, NULL) < 0 ? -ENOMEM : 0;
                else
                        r = json_set_u64(o, files[i].name, value);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(o);
        return 0;
}

const char *limit_controller(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                if (streq(files[i].name, name))
                        return files[i].controller;
        return NULL;
}

bool limit_is_given(const char *name, Json *asked, Json *effective) {
        uint64_t wanted, is;

        if (!limit_controller(name) || json_get_u64(asked, name, &wanted) <= 0)
                return true;
        if (json_get_u64(effective, name, &is) <= 0)
                return false;
        if (streq(name, "memoryHigh") || streq(name, "memoryMax") || streq(name, "memorySwapMax"))
                return is <= wanted && wanted - is < PAGE_MAX;
        if (streq(name, "cpuQuotaPercent"))
                return is <= wanted + 1 && wanted <= is + 1;
        return is == wanted;
}

char *limit_scope_cgroup(const char *own, const char *workspace, const char *unit) {
        const char *user = strstr(own, "/user@"), *end = user ? strchr(user + 1, '/') : NULL;
        char slice[WORKSPACE_SLICE_SIZE] = "";
        size_t prefix = 0;

        /* A user's manager has its units below user@UID.service, the system's at the root of what it sees. */
        if (user)
                prefix = end ? (size_t) (end - own) : strlen(own);
        if (workspace)
                workspace_slice(workspace, slice);
        return xasprintf(
                "%.*s/" SCOPES_SLICE "/%s%s%s", (int) prefix, own, slice, workspace ? "/" : "", unit);
}

int limit_workspace_cgroup(const char *scope, char **ret) {
        const char *end = strrchr(scope, '/');
        _cleanup_free_ char *slice = end ? strndup(scope, (size_t) (end - scope)) : NULL;
        const char *name = slice ? strrchr(slice, '/') : NULL;

        if (end && !slice)
                return -ENOMEM;
        if (!workspace_slice_is_valid(name ? name + 1 : strempty(slice)))
                return 0;
        *ret = TAKE_PTR(slice);
        return 1;
}

bool limit_workspace_ooms(int dirfd, uint64_t *ret) {
        return cgroup_read_value(dirfd, "../memory.events.local", "oom ", ret);
}

bool limit_workspace_tasks(int dirfd) {
        uint64_t own_max = UINT64_MAX, own_peak, max, peak;

        (void) cgroup_read_value(dirfd, "pids.max", "", &own_max);
        return cgroup_read_value(dirfd, "pids.peak", "", &own_peak) && own_peak < own_max &&
                cgroup_read_value(dirfd, "../pids.max", "", &max) &&
                cgroup_read_value(dirfd, "../pids.peak", "", &peak) && peak >= max;
}
