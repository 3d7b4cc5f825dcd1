/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/util.h"

/* Limits of one scope as they are hit, told by the kernel: memory.events, pids.events and cgroup.events of its cgroup. A
 * file that is not there is not watched. */
typedef struct LimitWatch LimitWatch;

typedef enum LimitEvent {
        LIMIT_EVENT_OOM_KILL,    /* a process was killed for memory */
        LIMIT_EVENT_MEMORY_HIGH, /* slowed down */
        LIMIT_EVENT_TASKS,       /* a fork was refused */
        _LIMIT_EVENT_MAX,
} LimitEvent;

/* Counters that only grow, as far as they were told; oom: how often the scope's own MemoryMax was the cause. */
typedef struct LimitCounts {
        uint64_t hits[_LIMIT_EVENT_MAX];
        uint64_t oom;
} LimitCounts;

typedef struct LimitWatchOps {
        /* now: the counters that are told with this; hits: how many more of this kind. Kills are told within a second, the
         * others at once and then together, once a minute. The watch may be freed in here. */
        void (*hit)(LimitEvent what, uint64_t hits, const LimitCounts *now, void *userdata);
        /* A file has changed: now is when figures are there to be read, for the cgroup may be gone soon. Called before the
         * others. */
        void (*looked)(void *userdata);
        /* Everything in it stands still, or goes on. Not called for what it is at the beginning. */
        void (*frozen)(bool frozen, void *userdata);
} LimitWatchOps;

/* dirfd: the cgroup's folder, borrowed for the call. What is above `told` is told soon. */
int limit_watch_new(
                sd_event *event,
                int dirfd,
                const LimitCounts *told,
                const LimitWatchOps *ops,
                void *userdata,
                LimitWatch **ret);
LimitWatch *limit_watch_free(LimitWatch *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(LimitWatch *, limit_watch_free);
bool limit_watch_is_frozen(LimitWatch *w);

/* The rule of what is told when, without a kernel. */
typedef struct LimitMeter {
        uint64_t told, again_usec; /* not before, CLOCK_MONOTONIC */
} LimitMeter;
/* How many are told now; 0: none. *ret_at: when to ask again, USEC_INFINITY: when the counter has changed. */
uint64_t limit_meter_take(LimitMeter *m, LimitEvent what, uint64_t count, uint64_t now, uint64_t *ret_at);
