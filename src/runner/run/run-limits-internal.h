/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/cgroup.h"
#include "runner/limits/limit-filter.h"
#include "runner/limits/limit-watch.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-limits.h"

/* The limits that are in force (run-limits.c), and limit events (run-limit-events.c). */

struct RunLimits {
        Run *run;
        Json *asked, *effective, *missing; /* effective, missing: as last reported */
        Json *filter;                      /* of addresses, as last reported; NULL: none */
        LimitFilterQuery *filter_query;
        bool filter_again;   /* something has changed while systemd was asked */
        bool addresses_held; /* it was seen once that filters are */
        LimitCounts reported;
        int fd;                   /* the scope's directory */
        char *cgroup, *workspace; /* of the scope, and of the workspace's slice that it is in, or NULL */
        CgroupUsage usage;        /* as last read */
        uint64_t slice_ooms, slice_ooms_reported;
        LimitWatch *watch;
        WatchSlot *slot;
        sd_event_source *reread, *victim;

        /* a kill that waits for its name */
        LimitCounts kill_now;
        uint64_t kill_events, kill_since_usec;
        unsigned kill_tries;
        uint64_t kill_reported_usec;  /* CLOCK_REALTIME; 0: none, or before the runner was restarted */
        uint64_t workspace_kill_usec; /* the last one because of the workspace's limit */
};
