/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "common/agent-control.h"
#include "common/fileio.h"
#include "supervisor/files.h"

/* northflare-supervisor: in the scope of one run, between the run's files and the agent. The launcher executes it in
 * the place of the agent's parent, with the descriptors CONTROL_FD and RUN_FD and the arguments
 *
 *     northflare-supervisor [--without-cgroup] AGENT-PID OUT-LOG-MAX RUNTIME-MAX
 *
 * It does not end before everything that the agent started is gone and all output is in out.log. It logs nothing: what
 * happened is in outcome.json. */

#define CONTROL_FD 3
#define RUN_FD 4

#define CHUNK (64U * 1024U)
/* After the agent's main process has ended, or systemd said stop: for remaining processes to end by themselves. */
#define GRACE_USEC (5 * USEC_PER_SEC)
/* A full disk is tried again this often. */
#define RETRY_USEC (250 * USEC_PER_MSEC)
/* Belt and braces where an event of the kernel's was lost; and the only way without cgroups. */
#define CHECK_USEC USEC_PER_SEC
#define CHECK_WITHOUT_CGROUP_USEC (10 * USEC_PER_MSEC)
/* The time of the run is counted in steps. One that took so much longer than it was to take was not the run's: we are
 * frozen and thawed with it, and we are notified of neither. */
#define STEP_USEC (10 * USEC_PER_SEC)
#define STEP_LATE_USEC USEC_PER_SEC

typedef struct Supervisor {
        Scope scope;
        Outcome outcome;
        pid_t agent;
        int control_fd, signal_fd, bell_fd, in_fd, out_fd, pid_fd, started_fd;
        int agent_fds[AGENT_CONTROL_FDS];
        char cwd[PATH_MAX];
        uint64_t out_max;

        char pending[CHUNK]; /* read from the agent, not yet in out.log */
        size_t pending_begin, pending_end;
        char out_last; /* the last byte in out.log */
        bool input_ended, main_ended, killed, empty, disk_full;
        uint64_t kill_at, check_at;
        uint64_t time_left; /* of the run; USEC_INFINITY: no limit */
        uint64_t counted_at, count_at;
} Supervisor;

static bool is_full(int r) {
        return r == -ENOSPC || r == -EDQUOT;
}

static void wait_for_room(void) {
        struct timespec t = { .tv_nsec = (long) (RETRY_USEC * NSEC_PER_USEC) };

        (void) nanosleep(&t, NULL);
}

static void close_agent_fd(Supervisor *s, int which) {
        s->agent_fds[which] = safe_close(s->agent_fds[which]);
}

static void stopped_by(Supervisor *s, Stopper who) {
        if (s->outcome.stopped_by == STOPPED_BY_NONE)
                s->outcome.stopped_by = who;
}

static void kill_after(Supervisor *s, uint64_t usec) {
        uint64_t at = now_usec(CLOCK_MONOTONIC) + usec;

        if (s->kill_at == 0 || at < s->kill_at)
                s->kill_at = at;
}

/* Input: in.log as far as the agent takes it. The file position of what it has is inBytes. */
static void feed(Supervisor *s) {
        char buffer[CHUNK];

        while (s->agent_fds[AGENT_FD_STDIN] >= 0) {
                ssize_t n = pread(s->in_fd, buffer, sizeof(buffer), (off_t) s->outcome.in_bytes);
                if (n <= 0) {
                        if (n == 0 && s->input_ended)
                                close_agent_fd(s, AGENT_FD_STDIN);
                        return;
                }
                n = write(s->agent_fds[AGENT_FD_STDIN], buffer, (size_t) n);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno != EAGAIN)
                                close_agent_fd(s, AGENT_FD_STDIN); /* the agent has closed it */
                        return;
                }
                s->outcome.in_bytes += (uint64_t) n;
        }
}

static bool has_input(Supervisor *s) {
        struct stat st;

        return s->agent_fds[AGENT_FD_STDIN] >= 0 && fstat(s->in_fd, &st) >= 0 &&
                ((uint64_t) st.st_size > s->outcome.in_bytes || s->input_ended);
}

/* Output that there is no room for by order: whole lines go in as far as they fit, and then it is over. */
static void cut_at_maximum(Supervisor *s) {
        size_t room = s->out_max > s->outcome.out_bytes ? (size_t) (s->out_max - s->outcome.out_bytes) : 0;

        if (s->pending_end - s->pending_begin <= room)
                return;
        char *line_end = memrchr(s->pending + s->pending_begin, '\n', room);
        if (line_end)
                s->pending_end = (size_t) (line_end + 1 - s->pending);
        else
                /* In the middle of a line that does not end in time; else the next one is left out whole. */
                s->pending_end = s->pending_begin + (s->out_last == '\n' ? 0 : room);
        s->outcome.out_full = true;
        close_agent_fd(s, AGENT_FD_STDOUT);
        kill_after(s, 0);
}

/* Writes what is pending. Whatever does not go in stays pending, and nothing more is read meanwhile. */
static void write_output(Supervisor *s) {
        s->disk_full = false;
        while (s->pending_begin < s->pending_end) {
                ssize_t n = write(
                        s->out_fd, s->pending + s->pending_begin, s->pending_end - s->pending_begin);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        /* Any other error of a local file is as little the agent's fault, and may pass as well. */
                        s->disk_full = true;
                        return;
                }
                s->pending_begin += (size_t) n;
                s->outcome.out_bytes += (uint64_t) n;
                s->out_last = s->pending[s->pending_begin - 1];
        }
        s->pending_begin = s->pending_end = 0;
}

/* Reads until the chunk is full or there is no more, then writes once. */
static void relay(Supervisor *s) {
        if (s->pending_end > 0)
                return;
        while (s->pending_end < CHUNK) {
                ssize_t n = read(
                        s->agent_fds[AGENT_FD_STDOUT], s->pending + s->pending_end, CHUNK - s->pending_end);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n <= 0) {
                        close_agent_fd(s, AGENT_FD_STDOUT);
                        break;
                }
                s->pending_end += (size_t) n;
        }
        cut_at_maximum(s);
        write_output(s);
}

static void send_term(Supervisor *s) {
        char c = 't';

        if (s->main_ended)
                return;
        (void) !write(s->agent_fds[AGENT_FD_SIGNAL_WRITE], &c, 1);
        (void) !read(s->agent_fds[AGENT_FD_SIGNAL_READ], &c, 1);
}

static void on_bell(Supervisor *s) {
        char what[64];
        ssize_t n;

        while ((n = read(s->bell_fd, what, sizeof(what))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        switch (what[i]) {
                        case 'e':
                                s->input_ended = true;
                                break;
                        case 't':
                                stopped_by(s, STOPPED_BY_RUNNER);
                                send_term(s);
                                break;
                        case 'k':
                                stopped_by(s, STOPPED_BY_RUNNER);
                                kill_after(s, 0);
                                break;
                        }
        feed(s);
}

/* systemd stops the scope: it has sent the agent the same signal. */
static void on_signal(Supervisor *s) {
        struct signalfd_siginfo si;

        while (read(s->signal_fd, &si, sizeof(si)) == (ssize_t) sizeof(si)) {
                stopped_by(s, STOPPED_BY_SYSTEMD);
                kill_after(s, GRACE_USEC);
        }
}

static void on_main_exit(Supervisor *s) {
        int status;

        if (waitpid(s->agent, &status, WNOHANG) != s->agent)
                return;
        s->main_ended = true;
        s->pid_fd = safe_close(s->pid_fd);
        if (!s->outcome.stage) {
                if (WIFEXITED(status))
                        s->outcome.exit_code = WEXITSTATUS(status);
                else if (WIFSIGNALED(status))
                        s->outcome.signal = WTERMSIG(status);
        }
        kill_after(s, GRACE_USEC);
}

/* After the gate: end of file when the program runs, a report where it could not be executed. */
static void on_control(Supervisor *s) {
        AgentReport report;

        if (recv(s->control_fd, &report, sizeof(report), MSG_DONTWAIT) == (ssize_t) sizeof(report) &&
            report.stage == AGENT_EXEC) {
                s->outcome.stage = "exec";
                s->outcome.error = report.error;
                s->outcome.exit_code = s->outcome.signal = -1;
        }
        s->control_fd = safe_close(s->control_fd);
}

/* 1: the agent is ready and waits; 0: it has failed and outcome says how. */
static int receive_agent(Supervisor *s) {
        AgentReport report = {};
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(AGENT_CONTROL_FDS * sizeof(int))];
        } ancillary = {};
        struct iovec iov = { .iov_base = &report, .iov_len = sizeof(report) };
        struct msghdr m = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &ancillary,
                .msg_controllen = sizeof(ancillary),
        };
        ssize_t n;

        do
                n = recvmsg(s->control_fd, &m, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        s->outcome.stage = "setup";
        s->outcome.error = EPIPE; /* it ended without a word */
        if (n != (ssize_t) sizeof(report) || report.version != AGENT_CONTROL_VERSION)
                return 0;
        if (report.stage != AGENT_READY || ancillary.header.cmsg_type != SCM_RIGHTS ||
            ancillary.header.cmsg_len != CMSG_LEN(sizeof(s->agent_fds))) {
                s->outcome.error = report.error;
                return 0;
        }
        memcpy(s->agent_fds, CMSG_DATA(&ancillary.header), sizeof(s->agent_fds));
        memcpy(s->cwd, report.cwd, sizeof(s->cwd));
        s->cwd[sizeof(s->cwd) - 1] = 0;
        if (fcntl(s->agent_fds[AGENT_FD_STDIN], F_SETFL, O_NONBLOCK) < 0 ||
            fcntl(s->agent_fds[AGENT_FD_STDOUT], F_SETFL, O_NONBLOCK) < 0) {
                s->outcome.error = errno;
                return 0;
        }
        s->outcome.stage = NULL;
        s->outcome.error = 0;
        return 1;
}

static int open_files(Supervisor *s) {
        struct stat st;
        sigset_t mask;

        (void) signal(SIGPIPE, SIG_IGN);
        if (sigemptyset(&mask) < 0 || sigaddset(&mask, SIGTERM) < 0 || sigaddset(&mask, SIGINT) < 0 ||
            sigaddset(&mask, SIGHUP) < 0 || sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (s->signal_fd < 0)
                return -errno;
        s->pid_fd = (int) syscall(SYS_pidfd_open, s->agent, 0);
        if (s->pid_fd < 0)
                return -errno;
        /* For reading and writing, so that it never ends when the runner does. Open before `started` has its
         * contents: who sees those may ring. */
        s->bell_fd = openat(RUN_FD, "bell", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (s->bell_fd < 0 || fstat(s->bell_fd, &st) < 0)
                return -errno;
        if (!S_ISFIFO(st.st_mode))
                return -ENOTUNIQ;
        s->in_fd = openat(RUN_FD, "in.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (s->in_fd < 0)
                return -errno;
        for (;;) {
                s->out_fd = openat(
                        RUN_FD, "out.log", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (s->out_fd >= 0)
                        return 0;
                if (!is_full(-errno))
                        return -errno;
                wait_for_room();
        }
}

/* Everything before the agent's program. Where it fails, closing the control socket ends the agent's half. */
static void set_up(Supervisor *s, bool without_cgroup) {
        int r;

        r = open_files(s);
        if (r >= 0 && receive_agent(s) == 0)
                r = -s->outcome.error;
        if (r >= 0)
                r = scope_open(&s->scope, s->agent, without_cgroup);
        if (r >= 0) {
                s->outcome.started_usec = now_usec(CLOCK_REALTIME);
                while (is_full(r = started_write(RUN_FD, s->started_fd, s->agent, s->scope.path, s->cwd)))
                        wait_for_room();
        }
        if (r >= 0 && send(s->control_fd, "g", 1, MSG_NOSIGNAL) != 1)
                r = -errno;
        s->started_fd = safe_close(s->started_fd);
        if (r >= 0)
                return;
        s->outcome.stage = "setup";
        s->outcome.error = -r;
        s->control_fd = safe_close(s->control_fd);
        for (int i = 0; i < AGENT_CONTROL_FDS; i++)
                close_agent_fd(s, i);
}

static void count_time(Supervisor *s, uint64_t now) {
        if (s->time_left == USEC_INFINITY || s->time_left == 0)
                return;
        if (s->counted_at > 0 && now <= s->count_at + STEP_LATE_USEC)
                s->time_left -= MIN(now - s->counted_at, s->time_left);
        s->counted_at = now;
        s->count_at = now + MIN(s->time_left, STEP_USEC);
        if (s->time_left > 0 || s->main_ended)
                return;
        stopped_by(s, STOPPED_BY_CLOCK);
        send_term(s);
        kill_after(s, GRACE_USEC);
}

/* Kills when it is time, and sees whether anything is left. */
static void check_scope(Supervisor *s) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        count_time(s, now);
        if (s->kill_at > 0 && now >= s->kill_at) {
                (void) scope_kill(&s->scope);
                s->killed = true;
                /* Again, should anything remain at the next check. */
                s->kill_at = now + CHECK_USEC;
        }
        if (s->main_ended && scope_is_populated(&s->scope) == 0)
                s->empty = true;
        s->check_at = now + (s->scope.without_cgroup ? CHECK_WITHOUT_CGROUP_USEC : CHECK_USEC);
}

static int timeout_msec(Supervisor *s) {
        uint64_t at = s->kill_at > 0 ? s->kill_at : USEC_INFINITY, now = now_usec(CLOCK_MONOTONIC);

        if (s->main_ended || s->killed)
                at = MIN(at, s->check_at);
        if (s->disk_full)
                at = MIN(at, now + RETRY_USEC);
        if (s->time_left != USEC_INFINITY && s->time_left > 0)
                at = MIN(at, s->count_at);
        if (at == USEC_INFINITY)
                return -1;
        return at <= now ? 0 : (int) ((at - now) / USEC_PER_MSEC + 1);
}

/* Until the agent's cgroup is empty and its output is written. */
static void run(Supervisor *s) {
        while (!s->empty) {
                int *fds = s->agent_fds;
                struct pollfd polls[] = {
                        { .fd = s->signal_fd, .events = POLLIN },
                        { .fd = s->bell_fd, .events = POLLIN },
                        { .fd = s->control_fd, .events = POLLIN },
                        { .fd = s->pid_fd, .events = POLLIN },
                        /* Reading it is what quiets it, and check_scope() reads it from then on only. */
                        { .fd = s->main_ended ? s->scope.events_fd : -1, .events = POLLPRI },
                        { .fd = s->pending_end > 0 ? -1 : fds[AGENT_FD_STDOUT], .events = POLLIN },
                        { .fd = has_input(s) ? fds[AGENT_FD_STDIN] : -1, .events = POLLOUT },
                };

                if (poll(polls, ELEMENTSOF(polls), timeout_msec(s)) < 0)
                        continue; /* a signal; nothing in polls is to be believed */
                if (polls[0].revents)
                        on_signal(s);
                if (polls[1].revents)
                        on_bell(s);
                if (polls[2].revents)
                        on_control(s);
                if (s->disk_full)
                        write_output(s);
                if (polls[5].revents)
                        relay(s);
                if (polls[6].revents)
                        feed(s);
                if (polls[3].revents)
                        on_main_exit(s);
                check_scope(s);
        }
        if (s->control_fd >= 0)
                on_control(s);
}

/* No process can write to the pipe any more, so what is in it is all there is. */
static void drain(Supervisor *s) {
        for (;;) {
                write_output(s);
                if (s->disk_full) {
                        wait_for_room();
                        continue;
                }
                if (s->agent_fds[AGENT_FD_STDOUT] < 0)
                        break;
                relay(s);
                if (s->pending_end == 0 && s->agent_fds[AGENT_FD_STDOUT] >= 0) {
                        struct pollfd p = { .fd = s->agent_fds[AGENT_FD_STDOUT], .events = POLLIN };
                        if (poll(&p, 1, 0) <= 0)
                                close_agent_fd(s, AGENT_FD_STDOUT);
                }
        }
        if (s->out_last != '\n') {
                s->pending[0] = '\n';
                s->pending_end = 1;
                for (write_output(s); s->disk_full; write_output(s))
                        wait_for_room();
        }
}

int main(int argc, char *argv[]) {
        static Supervisor s = {
                .control_fd = CONTROL_FD,
                .signal_fd = -EBADF,
                .bell_fd = -EBADF,
                .in_fd = -EBADF,
                .out_fd = -EBADF,
                .pid_fd = -EBADF,
                .agent_fds = { -EBADF, -EBADF, -EBADF, -EBADF },
                .outcome = { .exit_code = -1, .signal = -1 },
                .scope = { .fd = -EBADF, .agent_fd = -EBADF, .events_fd = -EBADF },
                .out_last = '\n',
        };
        bool without_cgroup = argc > 1 && streq(argv[1], "--without-cgroup");
        uint64_t pid;
        int r;

        argv += without_cgroup;
        argc -= without_cgroup;
        if (argc != 4 || safe_atou64(argv[1], &pid) < 0 || pid == 0 || pid > INT_MAX ||
            safe_atou64(argv[2], &s.out_max) < 0 || safe_atou64(argv[3], &s.time_left) < 0) {
                (void) fprintf(
                        stderr,
                        "northflare-supervisor cannot be started by hand: northflare-launcher starts it.\n");
                return 2;
        }
        s.agent = (pid_t) pid;
        if (s.time_left == 0)
                s.time_left = USEC_INFINITY;
        (void) umask(0077);
        if (fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) < 0 || fcntl(RUN_FD, F_SETFD, FD_CLOEXEC) < 0)
                return 2;

        do {
                s.started_fd = started_claim(RUN_FD);
                if (is_full(s.started_fd))
                        wait_for_room();
        } while (is_full(s.started_fd));
        if (s.started_fd < 0)
                return EXIT_FAILURE; /* it was started before, or cannot be known not to have been */

        set_up(&s, without_cgroup);
        if (s.outcome.stage) {
                /* Only the agent's half is there; it has seen its socket end. */
                (void) waitpid(s.agent, NULL, 0);
                s.outcome.started_usec = now_usec(CLOCK_REALTIME);
        } else {
                feed(&s);
                count_time(&s, now_usec(CLOCK_MONOTONIC));
                run(&s);
                drain(&s);
                scope_usage(&s.scope, &s.outcome.usage);
                s.outcome.oomd = scope_is_oomd_victim(&s.scope);
        }
        s.outcome.ended_usec = now_usec(CLOCK_REALTIME);
        if (s.out_fd >= 0)
                (void) fdatasync(s.out_fd);
        while ((r = outcome_write(RUN_FD, &s.outcome)) < 0 && is_full(r))
                wait_for_room();
        scope_done(&s.scope);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
