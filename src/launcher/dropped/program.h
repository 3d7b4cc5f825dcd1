/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/dropped/arguments.h"
#include "launcher/privileges.h"

/* The programs in a scope: what they are called with, and their start. */

/* Where the program lives and what it is called. */
typedef struct Place {
        const char *user, *shell;
        const char *home, *tmp; /* $HOME and $TMPDIR */
} Place;

/* The arguments with {private} replaced by tmp/private, and git's program put in front. For the caller to free, NULL where
 * memory is out; so is what follows. */
char **request_argv(const Request *r, const Arguments *a, const Place *place);
/* The launcher's own variables, then those of the request. */
char **request_environment(const Request *r, const Arguments *a, const Place *place);

/* Creates the directories of the request's program and executes it, as the current user of the process. make_base: the
 * user's home is made where it is missing. extra, control: as of agent_half_run(). */
__attribute__((noreturn)) void
program_run(const Request *r, const User *user, bool make_base, const int extra[], int control);

/* Executes the supervisor of the process agent. limits: of the request. control: the other end of the agent's. dirfd: the
 * run's directory. Returns where that fails, with errno set. */
void supervisor_exec(const Limits *limits, pid_t agent, uint64_t out_log_max, int control, int dirfd);
