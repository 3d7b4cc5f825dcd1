/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/util.h"

/* Watches the limit events of one scope, which the kernel reports in memory.events, pids.events and cgroup.events of its
 * cgroup. A file that does not exist is not watched. */
typedef struct LimitWatch LimitWatch;

typedef enum LimitEvent {
        LIMIT_EVENT_OOM_KILL,    /* a process was killed for memory */
        LIMIT_EVENT_MEMORY_HIGH, /* slowed down */
        LIMIT_EVENT_TASKS,       /* a fork was refused */
        _LIMIT_EVENT_MAX,
} LimitEvent;

/* Counters that only grow, as far as they were reported. oom: how often the scope's own MemoryMax was the cause. */
typedef struct LimitCounts {
        uint64_t events[_LIMIT_EVENT_MAX];
        uint64_t oom;
} LimitCounts;

typedef struct LimitWatchOps {
        /* events: how many more events of this kind there were. now: the counters with them. Kills are reported within a
         * second. The first of the other events is reported at once, and those that follow together, once a minute. The
         * watch may be freed in here. */
        void (*event)(LimitEvent what, uint64_t events, const LimitCounts *now, void *userdata);
        /* A file has changed. Statistics can be read now; the cgroup may be removed soon. Called before the others. */
        void (*changed)(void *userdata);
        /* All processes in it were frozen, or continue. Not called for the state at the beginning. */
        void (*frozen)(bool frozen, void *userdata);
} LimitWatchOps;

/* dirfd: the cgroup's directory, borrowed for the call. Events above `reported` are reported soon. */
int limit_watch_new(
        sd_event *event,
        int dirfd,
        const LimitCounts *reported,
        const LimitWatchOps *ops,
        void *userdata,
        LimitWatch **ret);
LimitWatch *limit_watch_free(LimitWatch *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(LimitWatch *, limit_watch_free);
bool limit_watch_is_frozen(LimitWatch *w);

/* Decides which events are reported when. It does not read any file. */
typedef struct LimitMeter {
        uint64_t reported, again_usec; /* CLOCK_MONOTONIC: no report before it */
} LimitMeter;
/* Returns how many events to report now. *ret_at: when to call again; USEC_INFINITY: when the counter has changed. */
uint64_t limit_meter_take(LimitMeter *m, LimitEvent what, uint64_t count, uint64_t now, uint64_t *ret_at);
