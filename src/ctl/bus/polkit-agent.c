/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ctl/bus/polkit-agent.h"
#include "ctl/options.h"

/* polkit asks for a password by an agent of the session; a plain terminal has none, so pkttyagent is run beside us for as
 * long as we are there, as systemctl does. Where it is missing or not needed, polkit simply says no. */

static pid_t agent;

void polkit_agent_open(void) {
        char number[16], process[32];
        struct pollfd p;
        int ready[2];

        if (arg.no_ask_password || arg.host || arg.machine || arg.user || geteuid() == 0 ||
            !isatty(STDIN_FILENO))
                return;
        if (pipe(ready) < 0)
                return;
        (void) snprintf(number, sizeof(number), "%d", ready[1]);
        (void) snprintf(process, sizeof(process), "%d", (int) getpid());
        agent = fork();
        if (agent == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
                (void) close(ready[0]);
                (void) execlp(
                        "pkttyagent",
                        "pkttyagent",
                        "--process",
                        process,
                        "--notify-fd",
                        number,
                        "--fallback",
                        (char *) NULL);
                _exit(127);
        }
        (void) close(ready[1]);
        /* It closes its end once it is registered, or when it ends. */
        p = (struct pollfd){ .fd = ready[0], .events = POLLIN };
        if (agent > 0)
                (void) poll(&p, 1, 5000);
        (void) close(ready[0]);
}

void polkit_agent_close(void) {
        if (agent <= 0)
                return;
        (void) kill(agent, SIGTERM);
        (void) kill(agent, SIGCONT);
        while (waitpid(agent, NULL, 0) < 0 && errno == EINTR)
                ;
        agent = 0;
}
