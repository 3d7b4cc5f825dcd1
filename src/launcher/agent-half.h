/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* The process that becomes the agent (or git, or a hook): from the fork inside the scope to the exec. */

#define AGENT_EXTRA_MAX 2

typedef struct User {
        char *name, *home;
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        int n_groups;
} User;

typedef struct AgentPlan {
        char **argv, **envp;
        const User *user; /* whom to become; NULL: the ids are right already */
        const char *base; /* absolute: the user's home; made where it is missing only without a user to become */
        const char *key; /* the workspace's folder below base; NULL: base itself is where it works */
        const char *tmp; /* name of the folder for temporary files of this run */
        const char *cwd;
        int private_fd;             /* contents of tmp/private; -EBADF: none */
        int extra[AGENT_EXTRA_MAX]; /* become 3 and 4 */
        unsigned n_extra;
} AgentPlan;

/* No new privileges, and becomes the user for good where there is one. Returns 0 or negative errno. */
int drop_privileges(const User *user);

/* Runs in the forked child. control: a SOCK_SEQPACKET to the supervisor; see common/agent-control.h. Of the caller's
 * descriptors the program has 0 to 2 and extra, no others. */
__attribute__((noreturn)) void agent_half_run(const AgentPlan *plan, int control);
