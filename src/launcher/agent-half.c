/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/agent-control.h"
#include "common/fileio.h"
#include "launcher/agent-half.h"

/* Above everything that the launcher's child has open. */
#define HIGH_FD 64

int drop_privileges(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};

        if (setgroups(n_groups, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;
        /* The change of uid clears all sets but the inheritable one. */
        if (syscall(SYS_capset, &header, none) < 0)
                return -errno;
        /* Not to be regained: trying must fail. */
        if (setuid(0) >= 0 || setgid(0) >= 0)
                return -EPERM;
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Makes name below fd (consumed) where it is missing and opens it: a directory of ours. What its mode is does not matter,
 * since nobody else gets through base. */
static int enter(int fd, const char *name) {
        _cleanup_close_ int parent = fd;
        _cleanup_close_ int child = -EBADF;
        struct stat st;

        child = mkdir_open_at(parent, name, 0700);
        if (child < 0)
                return child;
        if (fstat(child, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid())
                return -EPERM;
        return TAKE_FD(child);
}

static int enter_copy(int fd, const char *name) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return copy < 0 ? -errno : enter(copy, name);
}

static int enter_path(int fd, const char *path) {
        char name[NAME_MAX + 1];

        while (*path && fd >= 0) {
                size_t n = strcspn(path, "/");
                if (n > NAME_MAX)
                        n = NAME_MAX; /* longer names were refused */
                memcpy(name, path, n);
                name[n] = 0;
                fd = enter(fd, name);
                path += n;
                path += strspn(path, "/");
        }
        return fd;
}

static int copy_private(int from, int dirfd) {
        _cleanup_close_ int fd = -EBADF;
        char buffer[16 * 1024];
        off_t offset = 0;

        /* From an attempt that was cut short. */
        if (unlinkat(dirfd, "private", 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(dirfd, "private", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        for (;;) {
                ssize_t n = pread(from, buffer, sizeof(buffer), offset);
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                int r = write_all(fd, buffer, (size_t) n);
                if (r < 0)
                        return r;
                offset += n;
        }
}

/* Makes the folders and goes to the working directory. */
static int settle(const AgentPlan *p) {
        _cleanup_close_ int base = -EBADF, folder = -EBADF, tmp = -EBADF, other = -EBADF;
        struct stat st;

        if (!p->drop) {
                int r = mkdir_parents(p->base, 0700);
                if (r < 0)
                        return r;
        }
        base = open(p->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (base < 0 || fstat(base, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & 022))
                return -EPERM;
        if (!p->key)
                return fchdir(base) < 0 ? -errno : 0;
        folder = enter_copy(base, p->key);
        if (folder < 0)
                return folder;
        other = enter_copy(folder, "home");
        if (other < 0)
                return other;
        safe_close(other);
        other = enter_copy(folder, "checkouts");
        if (other < 0)
                return other;
        tmp = enter_copy(folder, "tmp");
        if (tmp >= 0)
                tmp = enter(tmp, p->tmp);
        if (tmp < 0)
                return tmp;
        if (p->private_fd >= 0) {
                int r = copy_private(p->private_fd, tmp);
                if (r < 0)
                        return r;
        }
        if (p->cwd[0] == '/')
                return chdir(p->cwd) < 0 ? -errno : 0;
        folder = enter_path(folder, p->cwd);
        if (folder < 0)
                return folder;
        return fchdir(folder) < 0 ? -errno : 0;
}

/* stdin, stdout and the signal pipe, made by the agent's uid, so that it may open /dev/stdin and /dev/stdout anew. */
static int make_pipes(int ret[static AGENT_CONTROL_FDS]) {
        int in[2], out[2], term[2];

        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(term, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        if (fcntl(term[0], F_SETOWN, getpid()) < 0 || fcntl(term[0], F_SETSIG, SIGTERM) < 0 ||
            fcntl(term[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
                return -errno;
        if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
                return -errno;
        safe_close(in[0]);
        safe_close(out[1]);
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
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(AGENT_CONTROL_FDS * sizeof(int))];
        } ancillary = {};
        struct iovec iov = { .iov_base = &message, .iov_len = sizeof(message) };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fds) {
                if (!getcwd(message.cwd, sizeof(message.cwd)))
                        message.cwd[0] = 0;
                m.msg_control = &ancillary;
                m.msg_controllen = sizeof(ancillary);
                ancillary.header = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(AGENT_CONTROL_FDS * sizeof(int)),
                };
                memcpy(CMSG_DATA(&ancillary.header), fds, AGENT_CONTROL_FDS * sizeof(int));
        }
        return sendmsg(control, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int prepare(const AgentPlan *p, int fds[static AGENT_CONTROL_FDS]) {
        int r;

        if (setsid() < 0)
                return -errno;
        r = p->drop ? drop_privileges(p->uid, p->gid, p->groups, p->n_groups) :
                        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno :
                                                                     0;
        if (r < 0)
                return r;
        /* After the change of uid, which clears it. An agent whose supervisor was killed has nobody to talk to. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        /* Not the launcher's session keyring, which all agents would share; without keyrings there is none to share. */
        (void) syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
        r = make_pipes(fds);
        return r < 0 ? r : settle(p);
}

void agent_half_run(const AgentPlan *plan, int control) {
        int fds[AGENT_CONTROL_FDS] = { -EBADF, -EBADF, -EBADF, -EBADF },
            extra[AGENT_EXTRA_MAX] = { -EBADF, -EBADF }, r;
        AgentPlan p = *plan;
        char go;

        control = fcntl(control, F_DUPFD_CLOEXEC, HIGH_FD);
        if (p.private_fd >= 0)
                p.private_fd = fcntl(p.private_fd, F_DUPFD_CLOEXEC, HIGH_FD);
        for (unsigned i = 0; i < p.n_extra; i++)
                extra[i] = fcntl(p.extra[i], F_DUPFD_CLOEXEC, HIGH_FD);
        if (control < 0 || close_range(3, HIGH_FD - 1, 0) < 0)
                _exit(127);

        r = prepare(&p, fds);
        if (r < 0) {
                (void) report(control, AGENT_SETUP, r, NULL);
                _exit(127);
        }
        if (report(control, AGENT_READY, 0, fds) < 0)
                _exit(127);
        /* The supervisor's ends: an agent that kept one would never see its input end. */
        for (size_t i = 0; i < AGENT_CONTROL_FDS; i++)
                safe_close(fds[i]);
        if (read(control, &go, 1) != 1)
                _exit(127);

        for (unsigned i = 0; i < p.n_extra; i++)
                if (dup2(extra[i], 3 + (int) i) < 0)
                        _exit(127);
        if (close_range(3 + p.n_extra, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                _exit(127);
        (void) execve(p.argv[0], p.argv, p.envp);
        (void) report(control, AGENT_EXEC, -errno, NULL);
        _exit(127);
}
