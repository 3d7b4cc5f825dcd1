/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/runner-totals.h"
#include "runner/runner.h"

/* The state of the runner, for D-Bus and the heartbeat. */

/* Properties of org.northflare.Runner1.Manager. */
typedef struct RunnerStatus {
        const char *version, *runner_id, *runner_uid, *state, *orchestrator_url; /* "" where there is none */
        const char *
                refusing; /* why new conversations are refused: draining, capacity, disk, …; "": they are not */
        bool connected, active, draining;
        uint32_t conversations, capacity;
        uint64_t queued_events, queued_bytes, oldest_queued_usec;
        uint64_t last_ack_usec, reconnects, duplicates, set_aside;
        uint64_t started_usec; /* CLOCK_REALTIME */
} RunnerStatus;
void runner_get_status(Runner *r, RunnerStatus *ret);

/* Returns the i-th totals, counted from 0; NULL: there are no more. Borrowed; i = 0 updates all of them. */
const RunnerTotals *runner_get_totals(Runner *r, size_t i);

/* Returns starting, draining, local, or the link's state. */
const char *runner_state_name(Runner *r);
/* These make members of the heartbeat. */
int runner_queue_json(Runner *r, Json **ret);
int runner_delivery_json(Runner *r, Json **ret);
/* Called by the announcer before the observer is notified of a change. userdata: the Runner */
void runner_update_status(void *userdata);
