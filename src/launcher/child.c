/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>

#include <systemd/sd-journal.h>

#include "common/agent-control.h"
#include "common/fileio.h"
#include "launcher/child.h"
#include "launcher/dropped/program.h"

#define ANSWER_TIMEOUT_MSEC 10000

/* The user that the process becomes; NULL in user mode, where the ids are right already. */
static int become(const Settings *s, const User *user) {
        return drop_privileges(s->user_mode ? NULL : user);
}

static void become_supervisor(const Settings *s, const Limits *limits, pid_t agent, int control, int dirfd) {
        int fds[] = { control, dirfd };

        if (fds_pack(fds, ELEMENTSOF(fds)) >= 0 && become(s, &s->runner) >= 0)
                supervisor_exec(limits, agent, s->file.out_log_max, fds[0], fds[1]);
}

__attribute__((noreturn)) static void
become_agent(const Settings *s, const Request *q, const User *user, const int extra[], int control) {
        int log, r, fds[1 + REQUEST_EXTRA_MAX] = { control };

        /* The journal notes who has connected: all output of agents is from root's connections. */
        log = sd_journal_stream_fd("northflare-agent", LOG_INFO, 1);
        if (log < 0)
                log = open("/dev/null", O_WRONLY | O_CLOEXEC);
        memcpy(fds + 1, extra, q->n_extra * sizeof(int));
        /* The agent's user never has the run's directory. */
        if (dup2(log, STDERR_FILENO) < 0 || fds_pack(fds, 1 + q->n_extra) < 0)
                _exit(EXIT_FAILURE);
        r = setsid() < 0 ? -errno : become(s, user);
        if (r < 0) {
                const AgentReport failed = { AGENT_CONTROL_VERSION, AGENT_SETUP, -r, "" };

                (void) fds_send(fds[0], &failed, sizeof(failed), NULL, 0);
                _exit(EXIT_FAILURE);
        }
        program_run(q, user, s->user_mode, fds + 1, fds[0]);
}

void child_run(const Settings *s, const Request *q, const User *user, pid_t parent, int gate) {
        char *unit = scope_name(q->kind, q->id, q->run);
        int fds[REQUEST_FDS_MAX] = { gate }, control[2];
        sigset_t none;
        pid_t agent;
        char go;

        /* At once, for the ends of other starts' gates are open here: as long as they are, those gates cannot close. */
        if (!unit || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
            fds_pack(fds, request_fds(q, fds)) < 0 || sigemptyset(&none) < 0 ||
            sigprocmask(SIG_SETMASK, &none, NULL) < 0 || signal(SIGPIPE, SIG_DFL) == SIG_ERR ||
            read(fds[0], &go, 1) != 1)
                _exit(EXIT_FAILURE);
        /* In the scope now, and to stay when the launcher leaves. */
        if (prctl(PR_SET_PDEATHSIG, 0) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
                _exit(EXIT_FAILURE);
        safe_close(fds[0]);
        agent = fork();
        if (agent == 0) {
                safe_close(control[0]);
                become_agent(s, q, user, fds + 2, control[1]);
        }
        safe_close(control[1]);
        if (agent > 0)
                become_supervisor(s, &q->limits, agent, control[0], fds[1]);
        /* The other half sees its control socket end and ends. */
        (void) dprintf(
                STDERR_FILENO, "northflare-launcher: Failed to start the supervisor of %s: %m\n", unit);
        _exit(EXIT_FAILURE);
}

/* The child may be stopped, never end, or answer anything. */
static int wait_answer(pid_t pid, int socket, Answer *answer, size_t size) {
        struct pollfd p = { .fd = socket, .events = POLLIN };
        int status, n = poll(&p, 1, ANSWER_TIMEOUT_MSEC);
        bool whole = n > 0 && recv(socket, answer, size, 0) == (ssize_t) size;

        (void) kill(pid, SIGKILL);
        if (waitpid(pid, &status, 0) < 0)
                return -errno;
        return whole ? 0 : n <= 0 ? -ETIMEDOUT : status == ANSWER_NOT_DROPPED << 8 ? -EPERM : -EIO;
}

int child_ask(
        const Settings *s,
        AnswerFunction function,
        const void *about,
        const Request *request,
        Answer *answer,
        size_t size) {
        int pair[2] = { -EBADF, -EBADF }, r;
        pid_t parent = getpid(), pid;

        pid = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -1 : fork();
        if (pid == 0) {
                int fds[REQUEST_FDS_MAX] = { pair[1] };

                if (fds_pack(fds, request ? request_fds(request, fds) : 1) >= 0 &&
                    become(s, &s->runner) >= 0)
                        function(about, fds, parent);
                _exit(ANSWER_NOT_DROPPED);
        }
        safe_close(pair[1]);
        r = pid < 0 ? -errno : wait_answer(pid, pair[0], answer, size);
        safe_close(pair[0]);
        answer->error[sizeof(answer->error) - 1] = 0;
        if (r >= 0)
                return answer->r == 0 ? 0 : answer->r == -ENOMEM ? -ENOMEM : -EINVAL;
        errno = -r;
        (void) snprintf(answer->error, sizeof(answer->error), "Failed to parse it without privileges: %m");
        return r;
}
