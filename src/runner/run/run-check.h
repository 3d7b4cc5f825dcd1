/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/json.h"

typedef struct Run Run;

typedef enum Supervision {
        SUPERVISED,
        ORPHANED,      /* the supervisor was killed */
        ORPHAN_KILLED, /* so were the remaining processes, at least once; the timer repeats that */
} Supervision;

/* The checks whether a process of a run still runs. */
typedef struct RunCheck {
        char *cgroup;                /* of its scope, from `started`; NULL: not known yet */
        sd_event_source *supervisor; /* its pidfd */
        sd_event_source *timer;
        sd_bus_slot *question; /* to systemd, for the scope's Result */
        bool new_files;        /* in the run's directory, not read yet */
        bool asked;            /* systemd has reported a change of the scope */
        Supervision supervision;
        bool kill_failed; /* that was logged */
        unsigned tries;   /* to find the line with which systemd stopped it */
} RunCheck;

void run_check_done(RunCheck *c);
/* The run has ended: stops all checks. The results stay. */
void run_check_close(RunCheck *c);
/* Watches its directory from now on, and checks the files that it has. */
int run_watch(Run *r);
/* Checks the scope first, the outcome second. If both show that the run has ended, reads the rest of its output and
 * concludes it. */
void run_check(Run *r);
/* Reports whether systemd is being asked. */
bool run_check_is_under_way(const RunCheck *c);
/* Returns the number of processes in the agent's cgroup, including the agent; 0 if it cannot be read. */
unsigned run_count_processes(const Run *r);
/* Reports whether the supervisor has written `started` in the run's directory. */
bool run_is_started(const Run *r);
