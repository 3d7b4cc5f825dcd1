/* SPDX-License-Identifier: MIT */
#pragma once

typedef struct Run Run;

/* The steps that end a run through its supervisor; those through the launcher are in run-orders.h. */

/* Sends interrupt (in a turn) and end in the agent's protocol, then the end of its input. Returns as run_write_input()
 * does. */
int run_ask_to_end(Run *r);
/* Sends SIGTERM to the agent. */
void run_terminate(Run *r);
/* Sends SIGKILL to all processes in the agent's cgroup. */
void run_kill(Run *r);
