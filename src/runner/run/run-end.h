/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/json.h"

typedef struct Run Run;

/* The answer of systemd to the question whether the system shuts down. */
typedef enum SystemAnswer {
        SYSTEM_NOT_ASKED,
        SYSTEM_ASKED,
        SYSTEM_STAYS,
        SYSTEM_STOPS,
} SystemAnswer;

/* The known facts about the end of a run. */
typedef struct RunEnd {
        Json *outcome; /* of the supervisor; NULL: it wrote none */
        char *result;  /* systemd's, if it was requested */
        Json *usage;   /* read by the runner, if the supervisor cannot report it any more */
        uint64_t
                stopped_usec; /* CLOCK_REALTIME; systemd stopped it, though no outcome says so; 0: not known */
        sd_bus_slot *question; /* to the system, of which `system` is the answer */
        SystemAnswer system;
} RunEnd;

/* The facts that the owner of a run receives at its end. Borrowed. */
typedef struct RunEndFacts {
        Json *outcome;      /* or NULL */
        Json *resources;    /* its resource usage, or NULL */
        const char *result; /* systemd's Result of the scope, or NULL */
        bool shutdown;      /* the machine goes down, or went down */
        bool stopped_by_systemd;
        bool is_short; /* the members below are not set: the runner crashed while it determined them */
        bool oom;      /* something in it was killed for memory at about the time of the end … */
        bool oom_by_workspace; /* … because of the limit that its workspace's conversations share … */
        bool oomd;             /* … or by systemd-oomd */
        bool last_turn_failed;
        bool supervisor_lost; /* it had started, and wrote no outcome */
} RunEndFacts;

void run_end_done(RunEnd *e);
/* No process is left: its outcome (or NULL) and systemd's Result (or NULL). The output is read to its end then. */
void run_end_begin(Run *r, Json *outcome_consume, const char *result);
/* It never had a process, or has none that is known. */
void run_end_without_process(Run *r);
/* All of its output was read: determines the other facts about its end, and reports ended(), now or later. */
void run_conclude(Run *r);
/* Reports whether the runner has crashed so often while it concluded this run that only the necessary steps are
 * done. */
bool run_conclusion_is_short(const Run *r);
/* Stores that it has ended; part of the open transaction. */
int run_store_end(Run *r);
/* Returns the run's total resource usage, as far as it is known at its end; borrowed, or NULL. */
Json *run_resources(const Run *r);
