/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/run/runtime-clock.h"

typedef struct Run Run;

/* runtimeMaxSec of one run: the clock is in the store, the timer here. */
typedef struct RunRuntime {
        RuntimeClock clock;
        sd_event_source *timer;
} RunRuntime;

/* The agent runs from now on; part of an open transaction. unknown_secs: its limit, where nothing is known of its limits. */
int run_runtime_begin(Run *r, uint64_t unknown_secs);
/* The same for a run that an earlier runner has begun. */
int run_runtime_restore(Run *r, uint64_t unknown_secs);
void run_runtime_freeze(Run *r, bool frozen);
/* It has ended; part of an open transaction. */
int run_runtime_forget(Run *r);
void run_runtime_done(RunRuntime *t);
