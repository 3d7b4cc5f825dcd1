/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/run/timeouts.h"

typedef struct Run Run;

/* `timeouts` of one run. */
typedef struct RunWatchdog {
        Watchdog *clocks; /* NULL: it has no timeouts */
        sd_event_source *timer;
        uint64_t usec; /* when that is; USEC_INFINITY: it is not set */
} RunWatchdog;

/* Starts them unless they run. */
int run_watchdog_begin(Run *r, const Timeouts *timeouts);
/* The agent's phase may have changed. heard: the agent wrote or received something. */
void run_watchdog_update(Run *r, bool heard);
void run_watchdog_freeze(Run *r, bool frozen);
/* After an upgrade: denies open questions above the present size limit. */
void run_deny_overlong_questions(Run *r);
void run_watchdog_done(RunWatchdog *w);
