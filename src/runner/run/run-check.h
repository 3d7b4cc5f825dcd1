/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/json.h"

typedef struct Run Run;

typedef enum Supervision {
        SUPERVISED,
        ORPHANED, /* the supervisor was killed */
        ORPHAN_KILLED, /* so were the remaining processes, at least once: they are again when the timer has expired */
} Supervision;

/* Whether anything of a run still runs. */
typedef struct RunCheck {
        char *cgroup;                /* of its scope, from `started`; NULL: not known yet */
        sd_event_source *supervisor; /* its pidfd */
        sd_event_source *timer;
        sd_bus_slot *question; /* to systemd, for the scope's Result */
        bool new_files;        /* in the run's directory, not read yet */
        bool asked;            /* systemd said that something happened to the scope */
        Supervision supervision;
        bool kill_failed; /* that was said */
        unsigned tries;   /* to find the line with which systemd stopped it */
} RunCheck;

void run_check_done(RunCheck *c);
/* The run has ended: nothing is checked any more. What is known stays. */
void run_check_close(RunCheck *c);
/* Notices changes in its directory from now on, and checks what is there. */
int run_watch(Run *r);
/* Checks the scope first, the outcome second. Where both say that the run is over, reads the rest of its output; then it is
 * concluded. */
void run_check(Run *r);
/* systemd is being asked. */
bool run_check_is_under_way(const RunCheck *c);
/* In the agent's cgroup, the agent itself among them; 0 where that cannot be read. */
unsigned run_count_processes(const Run *r);
/* The supervisor has begun with it, as its directory says. */
bool run_is_started(const Run *r);
