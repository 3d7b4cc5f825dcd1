/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>

#include <systemd/sd-journal.h>

#include "common/fileio.h"
#include "common/ident.h"
#include "launcher/child.h"
#include "launcher/manager-internal.h"

/* The time of a run is the runner's to keep. For as long as there is none, the supervisor ends it, somewhat later: its
 * clock stands still where that of systemd's goes on, in a frozen scope. 0: there is no such limit. */
static uint64_t backstop(const Limits *l) {
        uint64_t limit = l->value[LIMIT_RUNTIME_MAX];

        return limit > 0 ? limit + MAX(MIN(limit / 4, 60 * USEC_PER_SEC), 5 * USEC_PER_SEC) : 0;
}

static void become_supervisor(const Task *t, pid_t agent, int control, int dirfd) {
        const Settings *settings = &t->manager->settings;
        char *envp[] = { NULL },
             *argv[] = {
                     (char *) "northflare-supervisor",
                     xasprintf("%d", (int) agent),
                     xasprintf("%" PRIu64, settings->out_log_max),
                     xasprintf("%" PRIu64, backstop(&t->request.limits)),
                     NULL,
             };

        /* Both lie above 4 or are there already. */
        if (dup2(dirfd, 4) < 0 || dup2(control, 3) < 0 || close_range(5, ~0U, 0) < 0 ||
            drop_privileges(settings->user_mode ? NULL : &settings->runner) < 0)
                return;
        (void) execve(NF_LIBEXECDIR "/northflare-supervisor", argv, envp);
}

__attribute__((noreturn)) static void become_agent(const Task *t, const int extra[], int control) {
        const Settings *settings = &t->manager->settings;
        const Request *q = &t->request;
        const char *base = t->user->home;
        char key[WORKSPACE_KEY_SIZE], run[IDENT_MAX + 16] = "";
        AgentPlan plan = {
                .user = settings->user_mode ? NULL : t->user,
                .base = base,
                .tmp = run,
                .cwd = q->cwd,
                .private_fd = q->kind == SCOPE_AGENT && q->n_extra > 0 ? extra[0] : -EBADF,
                .n_extra = q->kind == SCOPE_AGENT ? 0 : q->n_extra,
        };
        Place place = { .user = t->user->name, .shell = settings->shell, .home = base, .tmp = "/tmp" };
        int log;

        memcpy(plan.extra, extra, plan.n_extra * sizeof(int));
        if (q->kind != SCOPE_GIT) {
                workspace_key(q->workspace, key);
                (void) snprintf(run, sizeof(run), "%s-%" PRIu32, q->id, q->run);
                plan.key = key;
                place.home = xasprintf("%s/%s/home", base, key);
                place.tmp = xasprintf("%s/%s/tmp/%s", base, key, run);
        }
        plan.argv = place.tmp ? request_argv(q, &place) : NULL;
        plan.envp = place.home ? request_environment(q, &place) : NULL;
        log = sd_journal_stream_fd("northflare-agent", LOG_INFO, 1);
        if (log < 0)
                log = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (!plan.argv || !plan.envp || dup2(log, STDERR_FILENO) < 0)
                _exit(EXIT_FAILURE);
        agent_half_run(&plan, control);
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
        (void) dprintf(STDERR_FILENO,
                       "northflare-launcher: the supervisor of %s was not started: %m\n",
                       t->unit);
        _exit(EXIT_FAILURE);
}
