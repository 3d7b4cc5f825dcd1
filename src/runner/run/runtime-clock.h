/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* How much of its time (runtimeMaxSec) a run has left. The clock stands still while the run is frozen, and continues while
 * no runner checks it: all times are CLOCK_MONOTONIC, so that a runner that starts again reads on. */
typedef struct RuntimeClock {
        uint64_t limit_usec; /* 0: no limit */
        uint64_t started_usec;
        uint64_t frozen_usec;       /* in all, but for the present time */
        uint64_t frozen_since_usec; /* 0: it is not */
} RuntimeClock;

/* Returns whether that changes the clock. */
bool runtime_clock_freeze(RuntimeClock *c, bool frozen, uint64_t now);
/* 0: its time has expired. USEC_INFINITY: it does not expire at present. */
uint64_t runtime_clock_left(const RuntimeClock *c, uint64_t now);

Json *runtime_clock_to_json(const RuntimeClock *c); /* NULL: out of memory */
/* -EINVAL: not what was written by the above, or of an earlier boot. */
int runtime_clock_from_json(Json *o, uint64_t now, RuntimeClock *ret);
