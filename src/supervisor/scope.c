/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fileio.h"
#include "supervisor/scope.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_FILE_MAX (256U * 1024U)

static int write_cgroup(int dirfd, const char *name, const char *text) {
        _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

        return fd < 0 ? -errno : write_all(fd, text, strlen(text));
}

/* The line of the unified hierarchy: in a container there may be ten others. */
static int own_cgroup(char **ret) {
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

int scope_open(Scope *s, pid_t agent, bool without_cgroup) {
        _cleanup_free_ char *folder = NULL;
        char pid[32];
        int r;

        *s = (Scope){ .without_cgroup = without_cgroup,
                      .agent = agent,
                      .fd = -EBADF,
                      .agent_fd = -EBADF,
                      .events_fd = -EBADF };
        r = own_cgroup(&s->path);
        if (r < 0 && !without_cgroup)
                return r;
        if (without_cgroup)
                return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
        /* Whoever is not in a scope is in somebody else's cgroup. */
        if (!endswith(s->path, ".scope"))
                return -ENOTSUP;
        folder = xasprintf("%s%s", CGROUP_ROOT, s->path);
        if (!folder)
                return -ENOMEM;
        s->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->fd < 0)
                return -errno;
        s->agent_fd = mkdir_open_at(s->fd, "agent", 0755);
        if (s->agent_fd < 0)
                return s->agent_fd;
        s->events_fd = openat(s->agent_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (s->events_fd < 0)
                return -errno;
        (void) snprintf(pid, sizeof(pid), "%d", (int) agent);
        return write_cgroup(s->agent_fd, "cgroup.procs", pid);
}

void scope_done(Scope *s) {
        free(s->path);
        safe_close(s->events_fd);
        safe_close(s->agent_fd);
        safe_close(s->fd);
}

static void kill_children(void) {
        _cleanup_free_ char *text = NULL, *path = xasprintf("/proc/self/task/%d/children", (int) getpid());

        if (!path || read_file_at(AT_FDCWD, path, CGROUP_FILE_MAX, &text, NULL) < 0)
                return;
        for (char *p = text, *save; (p = strtok_r(p, " ", &save)); p = NULL)
                (void) kill((pid_t) strtol(p, NULL, 10), SIGKILL);
}

int scope_kill(Scope *s) {
        if (!s->without_cgroup)
                return write_cgroup(s->agent_fd, "cgroup.kill", "1");
        /* The agent's half made a session, so its number is the group's; a dead leader's number is not given away
         * while the group has members. */
        (void) kill(-s->agent, SIGKILL);
        kill_children();
        return 0;
}

int scope_is_populated(Scope *s) {
        char text[256];
        ssize_t n;

        if (s->without_cgroup) {
                pid_t pid;
                /* The agent itself has been waited for by now. */
                while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
                        ;
                return pid == 0;
        }
        n = pread(s->events_fd, text, sizeof(text) - 1, 0);
        if (n < 0)
                return -errno;
        text[n] = 0;
        return strstr(text, "populated 1") ? 1 : 0;
}

/* The number behind key (with its blank) in a file of "key number" lines; key "": the file is the number. */
static bool read_figure(int dirfd, const char *name, const char *key, uint64_t *ret) {
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

/* "8:0 rbytes=1 wbytes=2 …", one line a device. */
static bool read_io(int dirfd, const char *key, uint64_t *ret) {
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

void scope_usage(Scope *s, Usage *ret) {
        static const struct {
                const char *name, *file, *key;
        } sources[ELEMENTSOF(ret->figures)] = {
                {"cpuUsec",           "cpu.stat",      "usage_usec "},
                { "memoryPeak",       "memory.peak",   ""           },
                { "tasksPeak",        "pids.peak",     ""           },
                { "ioReadBytes",      NULL,            "rbytes="    },
                { "ioWriteBytes",     NULL,            "wbytes="    },
                { "oomKills",         "memory.events", "oom_kill "  },
                { "memoryHighEvents", "memory.events", "high "      },
                { "pidsMaxEvents",    "pids.events",   "max "       },
        };

        for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                struct UsageFigure *f = &ret->figures[i];

                *f = (struct UsageFigure){ .name = sources[i].name };
                if (s->fd < 0)
                        continue;
                f->known = sources[i].file ? read_figure(s->fd, sources[i].file, sources[i].key, &f->value) :
                                             read_io(s->fd, sources[i].key, &f->value);
        }
}
