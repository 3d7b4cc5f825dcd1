/* SPDX-License-Identifier: MIT */
#pragma once

typedef struct Run Run;

/* The steps with which a run is ended, each through its supervisor; the launcher's are in run-orders.h. */

/* Interrupt, where it is in a turn, and end, by the agent's own protocol; then the end of its input. As run_write_input(). */
int run_ask_to_end(Run *r);
/* SIGTERM to the agent. */
void run_terminate(Run *r);
/* SIGKILL to all that is in the agent's cgroup. */
void run_kill(Run *r);
