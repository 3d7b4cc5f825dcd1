/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/xattr.h>

#include "common/cgroup.h"
#include "common/fileio.h"

#define CGROUP_FILE_MAX (256U * 1024U)

int cgroup_open(const char *cgroup) {
        /* The unified hierarchy is at one of two places: pure, or beside a version 1 tree. */
        static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

        if (cgroup[0] != '/' || strstr(cgroup, "/.."))
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTSOF(roots); i++) {
                _cleanup_free_ char *path = xasprintf("%s%s", roots[i], cgroup);
                _cleanup_close_ int fd = -EBADF;

                if (!path)
                        return -ENOMEM;
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd >= 0 && faccessat(fd, "cgroup.events", F_OK, 0) >= 0)
                        return TAKE_FD(fd);
        }
        return -ENOENT;
}

int cgroup_own(char **ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_file_at(AT_FDCWD, "/proc/self/cgroup", CGROUP_FILE_MAX, &text, NULL);
        if (r < 0)
                return r;
        for (char *line = text, *save; (line = strtok_r(line, "\n", &save)); line = NULL) {
                const char *path = startswith(line, "0::");
                if (path) {
                        *ret = strdup(path);
                        return *ret ? 0 : -ENOMEM;
                }
        }
        return -ENOENT;
}

bool cgroup_read_value(int dirfd, const char *name, const char *key, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;

        if (read_file_at(dirfd, name, CGROUP_FILE_MAX, &text, NULL) < 0)
                return false;
        for (char *line = text, *save; (line = strtok_r(line, "\n", &save)); line = NULL) {
                const char *value = startswith(line, key);
                if (value)
                        return safe_atou64(value, ret) >= 0;
        }
        return false;
}

bool cgroup_is_empty(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        uint64_t populated;

        if (fd < 0)
                return errno == ENOENT;
        return cgroup_read_value(fd, "cgroup.events", "populated ", &populated) && populated == 0;
}

unsigned cgroup_count_processes(const char *cgroup) {
        _cleanup_close_ int fd = cgroup_open(cgroup);
        _cleanup_free_ char *text = NULL;
        unsigned n = 0;

        if (fd < 0 || read_file_at(fd, "cgroup.procs", CGROUP_FILE_MAX, &text, NULL) < 0)
                return 0;
        for (const char *p = text; (p = strchr(p, '\n')); p++)
                n++;
        return n;
}

/* "8:0 rbytes=1 wbytes=2 …", one line a device. */
bool cgroup_read_io(int dirfd, const char *key, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        uint64_t sum = 0;

        if (read_file_at(dirfd, "io.stat", CGROUP_FILE_MAX, &text, NULL) < 0)
                return false;
        for (char *word = text, *save; (word = strtok_r(word, " \n", &save)); word = NULL) {
                const char *value = startswith(word, key);
                uint64_t n;
                if (value && safe_atou64(value, &n) >= 0)
                        sum += n;
        }
        *ret = sum;
        return true;
}

bool cgroup_is_oomd_victim(int dirfd) {
        char number[32];
        uint64_t n = 0;
        ssize_t size;

        if (dirfd < 0)
                return false;
        /* It notes the attempt before it kills, and the number of processes (user.oomd_kill) some time after, which may be
         * too late for a process that checks because they died. */
        size = fgetxattr(dirfd, "user.oomd_ooms", number, sizeof(number) - 1);
        if (size <= 0)
                return false;
        number[size] = 0;
        return safe_atou64(number, &n) >= 0 && n > 0;
}

void cgroup_usage(int dirfd, CgroupUsage *ret) {
        static const struct {
                const char *name, *file, *key;
        } sources[ELEMENTSOF(ret->values)] = {
                { "cpuUsec", "cpu.stat", "usage_usec " },
                { "memoryPeak", "memory.peak", "" },
                { "tasksPeak", "pids.peak", "" },
                { "ioReadBytes", NULL, "rbytes=" },
                { "ioWriteBytes", NULL, "wbytes=" },
                { "oomKills", "memory.events", "oom_kill " },
                { "memoryHighEvents", "memory.events", "high " },
                { "pidsMaxEvents", "pids.events", "max " },
        };

        for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                struct CgroupValue *f = &ret->values[i];

                *f = (struct CgroupValue){ .name = sources[i].name };
                if (dirfd < 0)
                        continue;
                f->known = sources[i].file ?
                        cgroup_read_value(dirfd, sources[i].file, sources[i].key, &f->value) :
                        cgroup_read_io(dirfd, sources[i].key, &f->value);
        }
}
