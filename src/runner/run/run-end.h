/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/json.h"

typedef struct Run Run;

/* Whether all of the system goes down, as far as that was asked. */
typedef enum SystemAnswer {
        SYSTEM_NOT_ASKED,
        SYSTEM_ASKED,
        SYSTEM_STAYS,
        SYSTEM_STOPS,
} SystemAnswer;

/* How a run ended, as far as it is known. */
typedef struct RunEnd {
        Json *outcome;         /* of the supervisor; NULL: it left none */
        char *result;          /* systemd's, where it was asked for */
        Json *usage;           /* read by us, where the supervisor cannot say it any more */
        uint64_t stopped_usec; /* CLOCK_REALTIME; systemd stopped it, though no outcome says so; 0: not known */
        sd_bus_slot *question; /* to the system, of which `system` is the answer */
        SystemAnswer system;
} RunEnd;

/* What the owner of a run is given at its end. Borrowed. */
typedef struct RunEndFacts {
        Json *outcome;      /* or NULL */
        Json *resources;    /* what it used, or NULL */
        const char *result; /* systemd's Result of the scope, or NULL */
        bool shutdown;      /* the machine goes down, or went down */
        bool stopped_by_systemd;
        bool is_short;         /* nothing below was found out: the runner died of that before */
        bool oom;              /* something in it was killed for memory at about the time of the end … */
        bool oom_by_workspace; /* … because of the limit that its workspace's conversations share … */
        bool oomd;             /* … or by systemd-oomd */
        bool last_turn_failed;
        bool supervisor_lost; /* it had begun, and left no outcome */
} RunEndFacts;

void run_end_done(RunEnd *e);
/* No process is left: its outcome (or NULL) and systemd's Result (or NULL). The output is read to its end then. */
void run_end_begin(Run *r, Json *outcome_consume, const char *result);
/* It never had a process, or has none that is known. */
void run_end_without_process(Run *r);
/* All of its output was read: finds out what else is known of its end, and reports over(), now or when that is known. */
void run_conclude(Run *r);
/* Whether the runner has died so often while it concluded this run that only what is needed for its end is done. */
bool run_conclusion_is_short(const Run *r);
/* Stores that it has ended; part of the open transaction. */
int run_store_end(Run *r);
/* What it used in all, as far as that is known at its end; borrowed, or NULL. */
Json *run_resources(const Run *r);
