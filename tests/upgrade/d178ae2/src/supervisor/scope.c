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

/* systemd-oomd looks for something to kill among cgroups without children, and takes none whose memory it cannot see. A
 * controller is handed down by a cgroup without processes of its own, so the supervisor takes itself out of the scope's.
 * Where one of this fails there is nothing to put right: systemd-oomd then finds nothing here. */
static void hand_down_memory(Scope *s) {
        _cleanup_free_ char *controllers = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (read_file_at(s->fd, "cgroup.controllers", CGROUP_FILE_MAX, &controllers, NULL) < 0 ||
            !strstr(controllers, "memory"))
                return;
        fd = mkdir_open_at(s->fd, "supervisor", 0755);
        if (fd < 0)
                return;
        (void) fchmod(fd, 0755);
        if (write_cgroup(fd, "cgroup.procs", "0") >= 0)
                (void) write_cgroup(s->fd, "cgroup.subtree_control", "+memory");
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
        r = cgroup_own(&s->path);
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
        /* Whatever the umask: everybody may see what runs, as in any other cgroup (systemd-cgls). */
        (void) fchmod(s->agent_fd, 0755);
        s->events_fd = openat(s->agent_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (s->events_fd < 0)
                return -errno;
        (void) snprintf(pid, sizeof(pid), "%d", (int) agent);
        r = write_cgroup(s->agent_fd, "cgroup.procs", pid);
        if (r >= 0)
                hand_down_memory(s);
        return r;
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

bool scope_is_oomd_victim(Scope *s) {
        return cgroup_is_oomd_victim(s->agent_fd);
}

void scope_usage(Scope *s, CgroupUsage *ret) {
        cgroup_usage(s->fd, ret);
}
