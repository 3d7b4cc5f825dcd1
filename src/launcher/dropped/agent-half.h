/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* The process that becomes the agent (or git, or a hook): from the end of its privileges to the exec. */

#define AGENT_EXTRA_MAX 2

typedef struct AgentPlan {
        char **argv, **envp;
        const char *base; /* absolute: the user's home */
        bool make_base;   /* where it is missing */
        const char *key;  /* the workspace's directory below base; NULL: it works in base itself */
        const char *tmp;  /* name of the directory for temporary files of this run */
        const char *cwd;
        int private_fd;             /* contents of tmp/private; -EBADF: none */
        int extra[AGENT_EXTRA_MAX]; /* become 3 and 4 */
        unsigned n_extra;
} AgentPlan;

/* Runs in the forked child, as the leader of a session, and ends it where its privileges were not dropped. control: a
 * SOCK_SEQPACKET to the supervisor; see common/agent-control.h. Of the caller's descriptors the program has 0 to 2 and
 * extra, no others. */
__attribute__((noreturn)) void agent_half_run(const AgentPlan *plan, int control);
