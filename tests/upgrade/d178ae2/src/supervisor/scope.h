/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/cgroup.h"

/* The scope that the supervisor was put into, and the cgroups below it: the agent's, and the supervisor's own where the
 * scope has a memory controller. Without cgroups (tests on a machine where none is delegated) the agent's process group and
 * whatever was orphaned to us stand in for it: that is not a wall. */
typedef struct Scope {
        bool without_cgroup;
        pid_t agent;
        char *path;    /* of the scope, as in /proc/self/cgroup */
        int fd;        /* its folder */
        int agent_fd;  /* folder of the agent's cgroup */
        int events_fd; /* cgroup.events of it: POLLPRI when it changes */
} Scope;

/* Finds the scope, makes the agent's cgroup and moves the agent there. Returns 0 or negative errno. */
int scope_open(Scope *s, pid_t agent, bool without_cgroup);
void scope_done(Scope *s);

/* SIGKILL to everything that the agent has started. */
int scope_kill(Scope *s);
/* Is anything of it left? 1, 0, or negative errno. Without cgroups it reaps orphans as well. */
int scope_is_populated(Scope *s);
/* Whether systemd-oomd has killed what is in the agent's cgroup. */
bool scope_is_oomd_victim(Scope *s);
/* Figures of the whole scope. */
void scope_usage(Scope *s, CgroupUsage *ret);
