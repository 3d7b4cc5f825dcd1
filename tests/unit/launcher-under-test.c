/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/fileio.h"
#include "launcher/dropped/settings-file.h"
#include "launcher/privileges.h"

/* Linked into the launcher that tests run: users that this machine does not have, directories of the test's own, a
 * supervisor that is the test's, and time that passes when the test says so, however slow the machine is. */

/* By this process and those it was forked from: the first one parses the settings, of a start one checks it and one
 * becomes its supervisor. */
static int forks;

/* $NF_TEST_FAIL: "CALL N FORKS": the Nth call of a function by a process and those it was forked from fails, as if the disk's
 * quota was used up; those before so many forks do not count. CALL is the function's name, or that, a colon and the number
 * that says what the call does. */
static bool fails(const char *name, long what) {
        static int n;
        const char *text = getenv("NF_TEST_FAIL");
        char call[64], with[80];
        int nth, from;

        if (!text || sscanf(text, "%63s %d %d", call, &nth, &from) != 3 || forks < from)
                return false;
        (void) snprintf(with, sizeof(with), "%s:%ld", name, what);
        if ((!streq(call, name) && !streq(call, with)) || ++n != nth)
                return false;
        errno = EDQUOT;
        return true;
}

#define CALL(name, what, parameters, ...)                                    \
        int __real_##name parameters;                                        \
        int __wrap_##name parameters;                                        \
        int __wrap_##name parameters {                                       \
                return fails(#name, what) ? -1 : __real_##name(__VA_ARGS__); \
        }
/* This one is to fail: a test lets it succeed. */
#define CALL_TO_FAIL(name, parameters, ...)                              \
        int __real_##name parameters;                                    \
        int __wrap_##name parameters;                                    \
        int __wrap_##name parameters {                                   \
                return fails(#name, 0) ? 0 : __real_##name(__VA_ARGS__); \
        }

CALL(chdir, 0, (const char *path), path)
CALL(close_range, (long) from, (unsigned from, unsigned to, int flags), from, to, flags)
CALL(dup2, to, (int from, int to), from, to)
CALL(fchdir, 0, (int fd), fd)
/* With large files these two are others to the linker. */
CALL(fcntl64, command, (int fd, int command, long value), fd, command, value)
CALL(fds_pack, n, (int fds[], unsigned n), fds, n)
CALL(pipe2, 0, (int fds[2], int flags), fds, flags)
CALL(setgroups, 0, (size_t n, const gid_t *groups), n, groups)
CALL(setresgid, 0, (gid_t r, gid_t e, gid_t s), r, e, s)
CALL(setresuid, 0, (uid_t r, uid_t e, uid_t s), r, e, s)
CALL(setsid, 0, (void) )
CALL(sigprocmask, how, (int how, const sigset_t *set, sigset_t *old), how, set, old)
CALL(socketpair, type, (int family, int type, int protocol, int fds[2]), family, type, protocol, fds)
CALL_TO_FAIL(setgid, (gid_t gid), gid)
CALL_TO_FAIL(setuid, (uid_t uid), uid)

int __real_fork(void);
int __wrap_fork(void);
int __wrap_fork(void) {
        forks++;
        return fails("fork", 0) ? -1 : __real_fork();
}

int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
        /* $NF_TEST_LATE: a child takes its time behind its gate. */
        if (option == PR_SET_PDEATHSIG && a == 0 && getenv("NF_TEST_LATE"))
                (void) usleep(300 * USEC_PER_MSEC);
        return fails("prctl", option) ? -1 : __real_prctl(option, a, b, c, d);
}

long __real_syscall(long n, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long n, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long n, long a, long b, long c, long d, long e, long f) {
        return fails("syscall", n) ? -1 : __real_syscall(n, a, b, c, d, e, f);
}

ssize_t __real_sendfile64(int to, int from, off_t *offset, size_t n);
ssize_t __wrap_sendfile64(int to, int from, off_t *offset, size_t n);
ssize_t __wrap_sendfile64(int to, int from, off_t *offset, size_t n) {
        return fails("sendfile64", 0) ? -1 : __real_sendfile64(to, from, offset, n);
}

sighandler_t __real_signal(int n, sighandler_t handler);
sighandler_t __wrap_signal(int n, sighandler_t handler);
sighandler_t __wrap_signal(int n, sighandler_t handler) {
        return fails("signal", n) ? SIG_ERR : __real_signal(n, handler);
}

/* The journal is a file that shows what it was told. */
int __wrap_sd_journal_stream_fd(const char *identifier, int priority, int prefix);
int __wrap_sd_journal_stream_fd(const char *identifier, int priority, int prefix) {
        const char *path = getenv("NF_TEST_JOURNAL");
        int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -ENOENT;

        if (fd >= 0 && dprintf(fd, "%s %d %d\n", identifier, priority, prefix) < 0)
                abort();
        return fd;
}

/* In place of any time that the launcher waits for at most. */
#define NEVER_USEC (24 * 3600 * USEC_PER_SEC)

int __real_drop_privileges(const User *user);
int __wrap_drop_privileges(const User *user);
long __real_sysconf(int name);
long __wrap_sysconf(int name);
int __real_openat64(int dirfd, const char *path, int flags, ...);
int __wrap_openat64(int dirfd, const char *path, int flags, mode_t mode);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
__attribute__((noreturn)) void __real_answer_end(int socket, Answer *answer, size_t size);
__attribute__((noreturn)) void __wrap_answer_end(int socket, Answer *answer, size_t size);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __real_settings_file_parse(SettingsFile *f, const char *text, size_t size, char *ret_error);
int __wrap_settings_file_parse(SettingsFile *f, const char *text, size_t size, char *ret_error);
struct passwd *__wrap_getpwnam(const char *name);
int __wrap_getgrouplist(const char *user, gid_t gid, gid_t *groups, int *n);
int __real_execve(const char *path, char *const argv[], char *const envp[]);
int __wrap_execve(const char *path, char *const argv[], char *const envp[]);
int __real_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size);
int __wrap_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size);
int __real_sd_event_add_time_relative(
        sd_event *e,
        sd_event_source **s,
        clockid_t clock,
        uint64_t usec,
        uint64_t accuracy,
        sd_event_time_handler_t callback,
        void *userdata);
int __wrap_sd_event_add_time_relative(
        sd_event *e,
        sd_event_source **s,
        clockid_t clock,
        uint64_t usec,
        uint64_t accuracy,
        sd_event_time_handler_t callback,
        void *userdata);
int __real_sd_event_source_set_time_relative(sd_event_source *s, uint64_t usec);
int __wrap_sd_event_source_set_time_relative(sd_event_source *s, uint64_t usec);
int __real_sd_bus_call_async(
        sd_bus *bus,
        sd_bus_slot **slot,
        sd_bus_message *m,
        sd_bus_message_handler_t callback,
        void *userdata,
        uint64_t usec);
int __wrap_sd_bus_call_async(
        sd_bus *bus,
        sd_bus_slot **slot,
        sd_bus_message *m,
        sd_bus_message_handler_t callback,
        void *userdata,
        uint64_t usec);

/* $NF_TEST_USERS: NAME UID GID GROUPS, which is a number of them, and the last one; more of these behind. */
static bool find(const char *name, unsigned *uid, unsigned *gid, int *n, unsigned *last) {
        static char found[64];
        const char *users = getenv("NF_TEST_USERS");
        int used;

        for (; users && sscanf(users, " %63s %u %u %d %u%n", found, uid, gid, n, last, &used) == 5;
             users += used)
                if (streq(found, name))
                        return true;
        return false;
}

struct passwd *__wrap_getpwnam(const char *name) {
        static char home[256];
        static struct passwd p;
        unsigned uid, gid, last;
        int n;

        if (!find(name, &uid, &gid, &n, &last))
                return NULL;
        (void) snprintf(home, sizeof(home), "%s/%u", getenv("NF_TEST_HOMES"), uid);
        p = (struct passwd){ .pw_name = (char *) name, .pw_uid = uid, .pw_gid = gid, .pw_dir = home };
        return &p;
}

int __wrap_getgrouplist(const char *user, gid_t gid, gid_t *groups, int *n) {
        unsigned uid, own, last;
        int count, room = *n;

        if (!find(user, &uid, &own, &count, &last))
                return -1;
        for (int i = 0; i < count && i < room; i++)
                groups[i] = i == 0 ? gid : i == count - 1 ? last : 70000 + (gid_t) i;
        *n = count;
        return count > room ? -1 : count;
}

int __wrap_execve(const char *path, char *const argv[], char *const envp[]) {
        if (streq(path, NF_LIBEXECDIR "/northflare-supervisor"))
                path = getenv("NF_TEST_SUPERVISOR") ?: path;
        if (streq(path, NF_LIBEXECDIR "/northflare-git"))
                path = "/bin/sh";
        return __real_execve(path, argv, envp);
}

int __wrap_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size) {
        const char *below = startswith(name, NF_SYSCONFDIR);
        _cleanup_free_ char *path = below ? xasprintf("%s%s", getenv("NF_TEST_SYSCONFDIR"), below) : NULL;

        return __real_read_file_at(dirfd, path ?: name, max, ret, ret_size);
}

/* The latest start's bound. */
static sd_event_source *timeout;

static int on_elapse(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        return __real_sd_event_source_set_time_relative(timeout, 0);
}

/* At SIGUSR2 the launcher leaves, ahead of calls that have come. */
static sd_event_time_handler_t on_idle;

static int on_leave(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        return on_idle(source, 0, userdata);
}

/* Whether the launcher leaves by its own time: when nobody calls, or once the first call has come. */
static bool leaves(bool called) {
        const char *when = getenv("NF_TEST_LEAVES");

        return streq_ptr(when, "always") || (called && streq_ptr(when, "called"));
}

/* The first one is that after which the launcher leaves. Those below a second are between two attempts. The others bound
 * a start, and elapse at SIGUSR1. */
int __wrap_sd_event_add_time_relative(
        sd_event *e,
        sd_event_source **s,
        clockid_t clock,
        uint64_t usec,
        uint64_t accuracy,
        sd_event_time_handler_t callback,
        void *userdata) {
        const char *faster = getenv("NF_TEST_FASTER"), *slower = getenv("NF_TEST_SLOWER");
        static bool called;
        bool first = !called, attempt = usec < USEC_PER_SEC;
        sd_event_source *leave;
        sigset_t mask;
        int r;

        called = true;
        /* The times that the launcher knows. */
        if (usec !=
                    (first           ? 60 * USEC_PER_SEC :
                             attempt ? 50 * USEC_PER_MSEC :
                                       20 * USEC_PER_SEC) &&
            !(first && usec == USEC_PER_SEC))
                abort();
        if (first)
                usec = leaves(false) ? usec : NEVER_USEC;
        else if (attempt)
                usec = usec * (slower ? strtoul(slower, NULL, 10) : 1) /
                        (faster ? strtoul(faster, NULL, 10) : 1);
        else
                usec = NEVER_USEC;
        r = fails("sd_event_add_time_relative", 0) ?
                -EDQUOT :
                __real_sd_event_add_time_relative(e, s, clock, usec, accuracy, callback, userdata);
        if (first && r >= 0) {
                (void) sigemptyset(&mask);
                (void) sigaddset(&mask, SIGUSR1);
                (void) sigaddset(&mask, SIGUSR2);
                (void) sigprocmask(SIG_BLOCK, &mask, NULL);
                on_idle = callback;
                r = sd_event_add_signal(e, NULL, SIGUSR1, on_elapse, NULL);
                if (r >= 0)
                        r = sd_event_add_signal(e, &leave, SIGUSR2, on_leave, userdata);
                if (r >= 0)
                        r = sd_event_source_set_priority(leave, SD_EVENT_PRIORITY_IMPORTANT);
        } else if (!attempt && r >= 0) {
                sd_event_source_unref(timeout);
                timeout = sd_event_source_ref(*s);
        }
        return r;
}

int __wrap_sd_event_source_set_time_relative(sd_event_source *s, uint64_t usec) {
        return __real_sd_event_source_set_time_relative(s, leaves(true) ? usec : NEVER_USEC);
}

/* $NF_TEST_NO_ANSWER: a call of systemd that the test leaves without an answer. */
int __wrap_sd_bus_call_async(
        sd_bus *bus,
        sd_bus_slot **slot,
        sd_bus_message *m,
        sd_bus_message_handler_t callback,
        void *userdata,
        uint64_t usec) {
        bool none = streq_ptr(getenv("NF_TEST_NO_ANSWER"), sd_bus_message_get_member(m));

        if (fails("sd_bus_call_async", 0))
                return -EDQUOT;
        /* 0: the bus's own bound. Any other would be none of ours. */
        if (none && usec == 0)
                usec = 50 * USEC_PER_MSEC;
        return __real_sd_bus_call_async(bus, slot, m, callback, userdata, usec);
}

/* $NF_TEST_DISK: "full", or nothing is sure to stay on it. */
int __wrap_openat64(int dirfd, const char *path, int flags, mode_t mode) {
        bool full = (flags & O_APPEND) && streq_ptr(getenv("NF_TEST_DISK"), "full");

        return __real_openat64(dirfd, full ? "/dev/full" : path, flags, mode);
}

int __wrap_fsync(int fd) {
        if (!streq_ptr(getenv("NF_TEST_DISK"), "unsure"))
                return __real_fsync(fd);
        errno = EDQUOT;
        return -1;
}

/* The machine has 2 GiB. */
long __wrap_sysconf(int name) {
        return name == _SC_PHYS_PAGES ? (INT64_C(2) << 30) / __real_sysconf(_SC_PAGESIZE) :
                                        __real_sysconf(name);
}

/* The capabilities of root are those of northflare-launcher.service. */
static __attribute__((constructor)) void drop_capabilities(void) {
        const uint32_t kept = 1U << CAP_KILL | 1U << CAP_SETGID | 1U << CAP_SETUID;
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        const struct __user_cap_data_struct data[2] = { { .effective = kept, .permitted = kept } };

        if (geteuid() != 0)
                return;
        for (int i = 0; i < 64; i++)
                if ((i >= 32 || !(kept & 1U << i)) &&
                    __real_prctl(PR_CAPBSET_READ, (unsigned long) i, 0, 0, 0) > 0 &&
                    __real_prctl(PR_CAPBSET_DROP, (unsigned long) i, 0, 0, 0) < 0)
                        abort();
        if (__real_syscall(SYS_capset, (long) &header, (long) data, 0, 0, 0, 0) < 0)
                abort();
}

/* Notes which descriptors are open when the process changes its user. */
int __wrap_drop_privileges(const User *user) {
        int fd = open(getenv("NF_TEST_DROPS"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        char text[256] = "";
        size_t n = 0;

        for (int i = 3; i < 64; i++)
                if (i != fd && fcntl(i, F_GETFD) >= 0)
                        n += (size_t) snprintf(text + n, sizeof(text) - n, " %d", i);
        text[n++] = '\n';
        if (write(fd, text, n) != (ssize_t) n)
                abort();
        safe_close(fd);
        return streq_ptr(getenv("NF_TEST_PARSER"), "not-dropped") ? -EPERM : __real_drop_privileges(user);
}

/* The launcher waits so for an answer, ten seconds at most, and for a child that passes its gate: for long where the process
 * does it by itself. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int milliseconds) {
        bool stops = streq_ptr(getenv("NF_TEST_PARSER"), "stop") ||
                streq_ptr(getenv("NF_TEST_CHECKER"), "stop");
        bool elapses = milliseconds == 10000 ? stops : milliseconds == 1000 && getenv("NF_TEST_STUCK");

        return __real_poll(fds, n, elapses ? 100 : -1);
}

/* What the process is that parses. */
static int say_facts(char *ret) {
        uid_t u[3];
        gid_t g[3];
        int death, n;

        if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0 ||
            prctl(PR_GET_PDEATHSIG, &death) < 0)
                return 0;
        n = snprintf(
                ret,
                ANSWER_ERROR_SIZE,
                "uids %u %u %u gids %u %u %u groups %d nnp %d dumpable %d death %d fds",
                (unsigned) u[0],
                (unsigned) u[1],
                (unsigned) u[2],
                (unsigned) g[0],
                (unsigned) g[1],
                (unsigned) g[2],
                getgroups(0, NULL),
                prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
                prctl(PR_GET_DUMPABLE),
                death);
        for (int i = 0; i < 64; i++)
                if (fcntl(i, F_GETFD) >= 0)
                        n += snprintf(ret + n, ANSWER_ERROR_SIZE - (size_t) n, " %d", i);
        (void) snprintf(ret + n, ANSWER_ERROR_SIZE - (size_t) n, ".");
        return -EINVAL;
}

/* $NF_TEST_CHECKER: what the process does that checks a start, when an attacker has taken it over. */
void __wrap_answer_end(int socket, Answer *answer, size_t size) {
        const char *how = size == sizeof(*answer) ? getenv("NF_TEST_CHECKER") : NULL;

        if (streq_ptr(how, "exit"))
                _exit(EXIT_SUCCESS);
        if (streq_ptr(how, "stop"))
                (void) raise(SIGSTOP);
        if (how)
                answer->r = streq(how, "positive") ? 1 : streq(how, "memory") ? -ENOMEM : -EINVAL;
        if (streq_ptr(how, "not-utf8") || streq_ptr(how, "no-end"))
                memset(answer->error, streq(how, "no-end") ? 'a' : 0xff, sizeof(answer->error));
        __real_answer_end(socket, answer, streq_ptr(how, "short") ? size - 1 : size);
}

/* $NF_TEST_PARSER: what a parser does that an attacker has taken over. */
int __wrap_settings_file_parse(SettingsFile *f, const char *text, size_t size, char *ret_error) {
        const char *how = getenv("NF_TEST_PARSER");

        if (!how)
                return __real_settings_file_parse(f, text, size, ret_error);
        if (streq(how, "facts"))
                return say_facts(ret_error);
        (void) __real_settings_file_parse(f, "{}", 2, ret_error);
        f->max_scopes = 1;
        if (streq(how, "exit0"))
                _exit(EXIT_SUCCESS);
        if (streq(how, "kill"))
                (void) raise(SIGKILL);
        if (streq(how, "stop") || streq(how, "stop-for-good"))
                (void) raise(SIGSTOP);
        if (streq(how, "enoent"))
                return -ENOENT;
        if (streq(how, "minimum"))
                return INT32_MIN;
        if (streq(how, "not-utf8") || streq(how, "no-end")) {
                memset(ret_error, streq(how, "no-end") ? 'a' : 0xff, ANSWER_ERROR_SIZE);
                return -EINVAL;
        }
        if (streq(how, "positive"))
                return 1;
        if (streq(how, "no-nul")) {
                f->n_agents = 1;
                memset(f->agents[0], 'a', sizeof(f->agents[0]));
        } else if (streq(how, "user-not-utf8")) {
                f->n_agents = 1;
                memcpy(f->agents[0], "\xff", 2);
        } else if (streq(how, "n=65"))
                f->n_agents = AGENT_USERS_MAX + 1;
        else if (streq(how, "value-without-set"))
                f->ceilings.value[LIMIT_MEMORY_MAX] = UINT64_MAX;
        else if (streq(how, "no-default")) {
                f->defaults[SCOPE_AGENT].set[LIMIT_MEMORY_MAX] = false;
                f->defaults[SCOPE_AGENT].value[LIMIT_MEMORY_MAX] = 0;
        } else if (streq(how, "no-time")) {
                f->defaults[SCOPE_HOOK].set[LIMIT_RUNTIME_MAX] = false;
                f->defaults[SCOPE_HOOK].value[LIMIT_RUNTIME_MAX] = 0;
        } else if (streq(how, "above-ceiling")) {
                f->ceilings.set[LIMIT_TASKS_MAX] = true;
                f->ceilings.value[LIMIT_TASKS_MAX] = f->defaults[SCOPE_AGENT].value[LIMIT_TASKS_MAX] - 1;
        } else if (streq(how, "ceiling-without-default")) {
                f->ceilings.set[LIMIT_IO_WEIGHT] = true;
                f->ceilings.value[LIMIT_IO_WEIGHT] = 1;
        } else if (streq(how, "no-default-swap"))
                f->defaults[SCOPE_HOOK].set[LIMIT_MEMORY_SWAP_MAX] = false;
        else if (streq(how, "no-default-tasks")) {
                f->defaults[SCOPE_GIT].set[LIMIT_TASKS_MAX] = false;
                f->defaults[SCOPE_GIT].value[LIMIT_TASKS_MAX] = 0;
        } else if (streq(how, "no-default-weight")) {
                f->defaults[SCOPE_AGENT].set[LIMIT_CPU_WEIGHT] = false;
                f->defaults[SCOPE_AGENT].value[LIMIT_CPU_WEIGHT] = 0;
        } else if (streq(how, "slice-runtime")) {
                f->workspace_limits.set[LIMIT_RUNTIME_MAX] = true;
                f->workspace_limits.value[LIMIT_RUNTIME_MAX] = USEC_PER_SEC;
        } else if (streq(how, "slice-out-of-range"))
                f->workspace_limits.set[LIMIT_TASKS_MAX] = true;
        else if (streq(how, "default-out-of-range"))
                f->defaults[SCOPE_HOOK].value[LIMIT_TASKS_MAX] = 0;
        else if (streq(how, "no-scopes"))
                f->max_scopes = 0;
        else if (streq(how, "scopes=4097"))
                f->max_scopes = MAX_SCOPES_MAX + 1;
        else if (streq(how, "no-log"))
                f->out_log_max = 0;
        else if (streq(how, "out-of-range")) {
                f->ceilings.set[LIMIT_TASKS_MAX] = true;
                f->ceilings.value[LIMIT_TASKS_MAX] = 0;
        } else if (streq(how, "no-bool")) {
                memset(&f->ceilings.set[LIMIT_TASKS_MAX], 2, 1);
                f->ceilings.value[LIMIT_TASKS_MAX] = 5;
        }
        return 0;
}
