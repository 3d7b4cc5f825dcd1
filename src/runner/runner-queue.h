/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/run/run-context.h"
#include "runner/runner-registry.h"

/* The events that the orchestrator has not acknowledged. */
typedef struct QueueStatistics {
        uint64_t events, bytes, oldest_usec, set_aside;
        unsigned conversations;
} QueueStatistics;

/* Counts these events. That reads every conversation, and for some the store, so it is done once a turn of the loop,
 * for all callers and all properties that come from it. */
typedef struct QueueCounter QueueCounter;

/* All are borrowed. */
int queue_counter_new(const RunContext *ctx, const Registry *conversations, QueueCounter **ret);
QueueCounter *queue_counter_free(QueueCounter *q);
void queue_counter_get(QueueCounter *q, QueueStatistics *ret);
