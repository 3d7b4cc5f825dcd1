/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>

#include <systemd/sd-journal.h>

#include "common/agent-control.h"
#include "common/fileio.h"
#include "launcher/child.h"
#include "launcher/dropped/program.h"
#include "launcher/manager-internal.h"

/* The user that the process becomes; NULL in user mode, where the ids are right already. */
static int become(const Task *t, const User *user) {
        return drop_privileges(t->manager->settings.user_mode ? NULL : user);
}

static void become_supervisor(const Task *t, pid_t agent, int control, int dirfd) {
        const Settings *settings = &t->manager->settings;
        int fds[] = { control, dirfd };

        if (fds_pack(fds, ELEMENTSOF(fds)) >= 0 && become(t, &settings->runner) >= 0)
                supervisor_exec(&t->request.limits, agent, settings->file.out_log_max, fds[0], fds[1]);
}

__attribute__((noreturn)) static void become_agent(const Task *t, const int extra[], int control) {
        const Settings *settings = &t->manager->settings;
        int log, r, fds[1 + REQUEST_EXTRA_MAX] = { control };

        /* The journal notes who has connected: all output of agents is from root's connections. */
        log = sd_journal_stream_fd("northflare-agent", LOG_INFO, 1);
        if (log < 0)
                log = open("/dev/null", O_WRONLY | O_CLOEXEC);
        memcpy(fds + 1, extra, t->request.n_extra * sizeof(int));
        /* The agent's user never has the run's directory. */
        if (dup2(log, STDERR_FILENO) < 0 || fds_pack(fds, 1 + t->request.n_extra) < 0)
                _exit(EXIT_FAILURE);
        r = setsid() < 0 ? -errno : become(t, t->user);
        if (r < 0) {
                const AgentReport failed = { AGENT_CONTROL_VERSION, AGENT_SETUP, -r, "" };

                (void) fds_send(fds[0], &failed, sizeof(failed), NULL, 0);
                _exit(EXIT_FAILURE);
        }
        program_run(&t->request, t->user, settings->shell, settings->user_mode, fds + 1, fds[0]);
}

void child_run(const Task *t, pid_t parent, int gate) {
        const Request *q = &t->request;
        int fds[2 + REQUEST_EXTRA_MAX] = { gate, q->dirfd }, control[2];
        sigset_t none;
        pid_t agent;
        char go;

        memcpy(fds + 2, q->extra, q->n_extra * sizeof(int));
        /* At once, for the ends of other starts' gates are open here: as long as they are, those gates cannot close. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
            fds_pack(fds, 2 + q->n_extra) < 0 || sigemptyset(&none) < 0 ||
            sigprocmask(SIG_SETMASK, &none, NULL) < 0 || signal(SIGPIPE, SIG_DFL) == SIG_ERR ||
            read(fds[0], &go, 1) != 1)
                _exit(EXIT_FAILURE);
        /* In the scope now, and to stay when the launcher leaves. */
        if (prctl(PR_SET_PDEATHSIG, 0) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
                _exit(EXIT_FAILURE);
        agent = fork();
        if (agent == 0) {
                safe_close(control[0]);
                become_agent(t, fds + 2, control[1]);
        }
        safe_close(control[1]);
        if (agent > 0)
                become_supervisor(t, agent, control[0], fds[1]);
        /* The other half sees its control socket end and ends. */
        (void) dprintf(
                STDERR_FILENO, "northflare-launcher: Failed to start the supervisor of %s: %m\n", t->unit);
        _exit(EXIT_FAILURE);
}
