/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/agent-control.h"
#include "common/fileio.h"
#include "launcher/dropped/agent-half.h"
#include "launcher/dropped/arguments.h"
#include "launcher/privileges.h"

/* Creates each directory of path below fd where it is missing, and opens the last one. All must be ours; their mode does not
 * matter, since other users cannot pass base. */
static int enter(int fd, const char *path) {
        int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        if (at < 0)
                return -errno;
        while (*path && at >= 0) {
                size_t n = strcspn(path, "/");
                _cleanup_free_ char *name = strndup(path, n);
                _cleanup_close_ int parent = at;
                struct stat st;

                at = name ? mkdir_open_at(parent, name, 0700) : -ENOMEM;
                if (at >= 0 && (fstat(at, &st) < 0 || st.st_uid != geteuid())) {
                        safe_close(at);
                        return -EPERM;
                }
                path += n + (path[n] == '/');
        }
        return at;
}

static int copy_private(int from, int dirfd) {
        _cleanup_close_ int fd = -EBADF;
        off_t offset = 0;
        ssize_t n;

        /* From an attempt that was cut short. */
        (void) unlinkat(dirfd, "private", 0);
        fd = openat(dirfd, "private", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        /* The caller, whose file it is, may have made it longer since it was checked. */
        do
                n = sendfile(fd, from, &offset, REQUEST_PRIVATE_MAX + 1 - (size_t) offset);
        while (n > 0 && offset <= (off_t) REQUEST_PRIVATE_MAX);
        return n < 0 ? -errno : n > 0 ? -EFBIG : 0;
}

/* Creates the directories and changes to the working directory. */
static int settle(const AgentPlan *p) {
        static const char *const shared[] = { "home", "checkouts" };
        _cleanup_close_ int base = -EBADF, workspace = -EBADF, all = -EBADF, tmp = -EBADF, cwd = -EBADF;
        struct stat st;
        int r;

        if (p->make_base && (r = mkdir_parents(p->base, 0700)) < 0)
                return r;
        base = open(p->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (base < 0 || fstat(base, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & 022))
                return -EPERM;
        if (!p->key)
                return fchdir(base) < 0 ? -errno : 0;
        if ((r = workspace = enter(base, p->key)) < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(shared); i++) {
                if ((r = enter(workspace, shared[i])) < 0)
                        return r;
                safe_close(r);
        }
        if ((r = all = enter(workspace, "tmp")) < 0 || (r = tmp = enter(all, p->tmp)) < 0)
                return r;
        if (p->private_fd >= 0 && (r = copy_private(p->private_fd, tmp)) < 0)
                return r;
        if (p->cwd[0] == '/')
                return chdir(p->cwd) < 0 ? -errno : 0;
        cwd = enter(workspace, p->cwd);
        if (cwd < 0)
                return cwd;
        return fchdir(cwd) < 0 ? -errno : 0;
}

/* stdin, stdout and the signal pipe, made by the agent's uid, so that it may open /dev/stdin and /dev/stdout again. */
static int make_pipes(int ret[static AGENT_CONTROL_FDS]) {
        int in[2], out[2], term[2];

        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 ||
            pipe2(term, O_CLOEXEC | O_NONBLOCK) < 0 || fcntl(term[0], F_SETOWN, getpid()) < 0 ||
            fcntl(term[0], F_SETSIG, SIGTERM) < 0 || fcntl(term[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0 ||
            dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
                return -errno;
        ret[AGENT_FD_STDIN] = in[1];
        ret[AGENT_FD_STDOUT] = out[0];
        ret[AGENT_FD_SIGNAL_READ] = term[0];
        ret[AGENT_FD_SIGNAL_WRITE] = term[1];
        return 0;
}

static int report(int control, AgentStage stage, int error, const int *fds) {
        AgentReport message = { .version = AGENT_CONTROL_VERSION,
                                .stage = (int32_t) stage,
                                .error = -error };

        if (fds && !getcwd(message.cwd, sizeof(message.cwd)))
                message.cwd[0] = 0;
        return fds_send(control, &message, sizeof(message), fds, fds ? AGENT_CONTROL_FDS : 0);
}

static int prepare(const AgentPlan *p, int fds[static AGENT_CONTROL_FDS]) {
        int r;

        /* After the change of uid, which clears it. An agent whose supervisor was killed has no peer. The kernel asks whether
         * the supervisor may signal the agent, so this has an effect in user mode; elsewhere the runner kills the scope. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        /* Not the launcher's session keyring, which all agents would share; without keyrings there is none to share. */
        (void) syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
        r = make_pipes(fds);
        return r < 0 ? r : settle(p);
}

void agent_half_run(const AgentPlan *plan, int control) {
        int fds[AGENT_EXTRA_MAX + 2], pipes[AGENT_CONTROL_FDS], r;
        AgentPlan p = *plan;
        unsigned n = p.n_extra;
        char go;

        if (!privileges_are_dropped())
                _exit(127);
        memcpy(fds, p.extra, n * sizeof(int));
        fds[n] = control;
        fds[n + 1] = p.private_fd;
        if (fds_pack(fds, n + 1 + (p.private_fd >= 0)) < 0)
                _exit(127);
        control = fds[n];
        p.private_fd = fds[n + 1];

        r = prepare(&p, pipes);
        if (report(control, r < 0 ? AGENT_SETUP : AGENT_READY, r, r < 0 ? NULL : pipes) < 0 || r < 0)
                _exit(127);
        /* The supervisor's ends of the pipes go as well: an agent that kept one would never see its input end. */
        if (read(control, &go, 1) != 1 || close_range(3 + n, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                _exit(127);
        (void) execve(p.argv[0], p.argv, p.envp);
        (void) report(control, AGENT_EXEC, -errno, NULL);
        _exit(127);
}
