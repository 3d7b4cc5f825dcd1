/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"
#include "runner/limits/limit-watch.h"

/* The part of a run that the runner's totals include already. */
typedef struct Counted {
        unsigned run;
        DriverUsage usage;
        uint64_t cpu_usec, events[_LIMIT_EVENT_MAX];
        bool cpu_before; /* the first value includes what was used before the first check */
} Counted;

/* Another run is counted from now on. before: it has used something already that is not to be counted. */
void counted_begin(Counted *k, unsigned run, bool before);
/* By what it has grown since the last time. A counter that is smaller than before has begun again. */
void counted_take_usage(Counted *k, const DriverUsage *now, DriverUsage *ret_grown);
uint64_t counted_take_cpu(Counted *k, uint64_t now);
uint64_t counted_take_events(Counted *k, LimitEvent what, uint64_t now);
