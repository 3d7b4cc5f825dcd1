/* SPDX-License-Identifier: MIT */
#include "runner/bus/statistics-bus.h"
#include "runner/conversation/conversation-statistics.h"
#include "runner/limits/limit-watch.h"
#include "runner/runner-status.h"

/* Statistics for monitoring: all conversations in one reply, since a monitor asks again and again. */

static void append_resources(BusAnswer *a, Conversation *c) {
        ConversationStatistics f;

        conversation_statistics(c, &f);
        bus_answer_open(a, 'r', "sa{st}");
        bus_answer_add(a, "s", conversation_id(c));
        bus_answer_open(a, 'a', "{st}");
        for (size_t i = 0; i < f.n; i++)
                bus_answer_add(a, "{st}", f.list[i].name, f.list[i].value);
        bus_answer_close(a);
        bus_answer_close(a);
}

int statistics_bus_resources(const BusRequest *q, sd_bus_error *error) {
        BusAnswer a;

        bus_answer_begin(
                &a, q->message, BUS_LIST_MAX, "GetManagedObjects() has the counters of each conversation.");
        bus_answer_open(&a, 'a', "(sa{st})");
        for (ConversationObject *o = q->bus_objects->index.first; o; o = o->next)
                if (conversation_is_live(o->conversation))
                        append_resources(&a, o->conversation);
        bus_answer_close(&a);
        return bus_answer_send(&a);
}

/* One entry, a dictionary of counts by name; those that are 0 as well, so that a reader sees where they begin. */
static void
append_counts(BusAnswer *a, const char *key, const char *const *names, const uint64_t *counts, size_t n) {
        bus_answer_open(a, 'e', "sv");
        bus_answer_add(a, "s", key);
        bus_answer_open(a, 'v', "a{st}");
        bus_answer_open(a, 'a', "{st}");
        for (size_t i = 0; i < n; i++)
                bus_answer_add(a, "{st}", names[i], counts[i]);
        for (int i = 0; i < 3; i++)
                bus_answer_close(a);
}

static void append_count(BusAnswer *a, const char *name, uint64_t value) {
        bus_answer_open(a, 'e', "sv");
        bus_answer_add(a, "s", name);
        bus_answer_open(a, 'v', "t");
        bus_answer_add(a, "t", value);
        bus_answer_close(a);
        bus_answer_close(a);
}

static void append_totals(BusAnswer *a, const RunnerTotals *t) {
        static const char *const limits[RUNNER_LIMIT_EVENTS] = {
                [LIMIT_EVENT_OOM_KILL] = "memoryMax",
                [LIMIT_EVENT_MEMORY_HIGH] = "memoryHigh",
                [LIMIT_EVENT_TASKS] = "tasksMax",
        };
        const char *reasons[RUNNER_END_REASONS];

        bus_answer_open(a, 'r', "sa{sv}");
        bus_answer_add(a, "s", t->agent);
        bus_answer_open(a, 'a', "{sv}");
        append_count(a, "started", t->started);
        append_count(a, "turns", t->turns);
        append_count(a, "inputTokens", t->input_tokens);
        append_count(a, "outputTokens", t->output_tokens);
        append_count(a, "cacheReadTokens", t->cache_read_tokens);
        append_count(a, "cacheWriteTokens", t->cache_write_tokens);
        append_count(a, "oversizeLines", t->oversize_lines);
        append_count(a, "ambiguousLines", t->ambiguous_lines);
        append_count(a, "cpuUsec", t->cpu_usec);
        bus_answer_open(a, 'e', "sv");
        bus_answer_add(a, "s", "costUsd");
        bus_answer_open(a, 'v', "d");
        bus_answer_add(a, "d", t->cost_usd);
        bus_answer_close(a);
        bus_answer_close(a);
        for (size_t i = 0; i < RUNNER_END_REASONS; i++)
                reasons[i] = totals_end_reason(i);
        append_counts(a, "ended", reasons, t->ended, RUNNER_END_REASONS);
        append_counts(a, "limitHits", limits, t->limit_events, RUNNER_LIMIT_EVENTS);
        bus_answer_close(a);
        bus_answer_close(a);
}

int statistics_bus_totals(const BusRequest *q, sd_bus_error *error) {
        const RunnerTotals *t;
        BusAnswer a;

        bus_answer_begin(&a, q->message, BUS_CONTENTS_MAX, NULL);
        bus_answer_open(&a, 'a', "(sa{sv})");
        for (size_t i = 0; (t = runner_get_totals(q->bus_objects->runner, i)); i++)
                append_totals(&a, t);
        bus_answer_close(&a);
        return bus_answer_send(&a);
}
