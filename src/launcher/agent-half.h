/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* The process that becomes the agent (or git, or a hook): from the fork inside the scope to the exec. */

#define AGENT_EXTRA_MAX 2

typedef struct AgentPlan {
        char **argv, **envp;
        bool drop; /* to the ids below; else they are ours already */
        uid_t uid;
        gid_t gid;
        const gid_t *groups;
        size_t n_groups;
        const char *base; /* absolute: the user's home; made where it is missing only without drop */
        const char *key;  /* the workspace's folder below base; NULL: base itself is where it works */
        const char *tmp;  /* name of the folder for temporary files of this run */
        const char *cwd;
        int private_fd;             /* contents of tmp/private; -EBADF: none */
        int extra[AGENT_EXTRA_MAX]; /* become 3 and 4 */
        unsigned n_extra;
} AgentPlan;

/* Drops to the plan's ids for good: groups, gid, uid, no_new_privs. Returns 0 or negative errno. */
int drop_privileges(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups);

/* Runs in the forked child. control: a SOCK_SEQPACKET to the supervisor; see common/agent-control.h. No descriptor
 * but the standard ones, the plan's and control may be open that the program may not have. */
__attribute__((noreturn)) void agent_half_run(const AgentPlan *plan, int control);
