/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* The usage of all conversations of one agent since the start of the program; no value ever decreases. */
#define RUNNER_END_REASONS 10
/* Returns the name of the i-th reason of an end; static. */
const char *totals_end_reason(size_t i);
#define RUNNER_LIMIT_EVENTS 3
typedef struct RunnerTotals {
        char *agent;
        uint64_t started; /* resumed ones as well */
        uint64_t ended[RUNNER_END_REASONS];
        uint64_t turns, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cpu_usec;
        uint64_t oversize_lines, ambiguous_lines;
        double cost_usd;
        uint64_t limit_events[RUNNER_LIMIT_EVENTS]; /* by LimitEvent */
} RunnerTotals;

/* The totals of all agents. */
typedef struct Totals Totals;

int totals_new(Totals **ret);
Totals *totals_free(Totals *all);
/* Adds the usage of the conversation since it was counted last. */
void totals_count(Totals *all, Conversation *c);
/* The usage of the conversation up to now is not counted: it was before the start of this program. */
void totals_skip(Conversation *c);
void totals_started(Totals *all, Conversation *c);
/* Counts the conversation a last time, and its end by its reason. */
void totals_ended(Totals *all, Conversation *c);
/* Returns the totals of the i-th agent, counted from 0, borrowed; NULL: there are no more. */
const RunnerTotals *totals_get(const Totals *all, size_t i);
