/* SPDX-License-Identifier: MIT */
#include "runner/bus/bus-internal.h"
#include "runner/conversation/limit-watch.h"

/* Figures for whoever watches: all conversations in one reply, since who watches asks again and again. */

static int append_figures(sd_bus_message *reply, Conversation *c) {
        ConversationFigures f;
        int r;

        conversation_figures(c, &f);
        r = sd_bus_message_open_container(reply, 'r', "sa{st}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", conversation_id(c));
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (size_t i = 0; r >= 0 && i < f.n; i++)
                r = sd_bus_message_append(reply, "{st}", f.list[i].name, f.list[i].value);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int figures_bus_resources(const BusRequest *q, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(q->message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sa{st})");
        for (ConversationObject *o = q->bus_objects->conversations; r >= 0 && o; o = o->next)
                if (conversation_is_live(o->conversation))
                        r = append_figures(reply, o->conversation);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* One entry, a dictionary of counts by name; those that are 0 as well, so that a reader sees where they begin. */
static int
append_counts(sd_bus_message *reply,
              const char *key,
              const char *const *names,
              const uint64_t *counts,
              size_t n) {
        int r = sd_bus_message_open_container(reply, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append(reply, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'v', "a{st}");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(reply, "{st}", names[i], counts[i]);
        for (int i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(reply);
        return r;
}

static int append_totals(sd_bus_message *reply, const RunnerTotals *t) {
        static const char *const limits[RUNNER_LIMIT_HITS] = {
                [LIMIT_HIT_OOM_KILL] = "memoryMax",
                [LIMIT_HIT_MEMORY_HIGH] = "memoryHigh",
                [LIMIT_HIT_TASKS] = "tasksMax",
        };
        int r;

        r = sd_bus_message_open_container(reply, 'r', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", t->agent);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(
                                reply,
                                "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}",
                                "started",
                                "t",
                                t->started,
                                "turns",
                                "t",
                                t->turns,
                                "inputTokens",
                                "t",
                                t->input_tokens,
                                "outputTokens",
                                "t",
                                t->output_tokens,
                                "cacheReadTokens",
                                "t",
                                t->cache_read_tokens,
                                "cacheWriteTokens",
                                "t",
                                t->cache_write_tokens,
                                "oversizeLines",
                                "t",
                                t->oversize_lines,
                                "ambiguousLines",
                                "t",
                                t->ambiguous_lines,
                                "cpuUsec",
                                "t",
                                t->cpu_usec,
                                "costUsd",
                                "d",
                                t->cost_usd);
        if (r >= 0)
                r = append_counts(reply, "ended", runner_end_reasons, t->ended, RUNNER_END_REASONS);
        if (r >= 0)
                r = append_counts(reply, "limitHits", limits, t->limit_hits, RUNNER_LIMIT_HITS);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int figures_bus_totals(const BusRequest *q, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const RunnerTotals *t;
        int r;

        r = sd_bus_message_new_method_return(q->message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sa{sv})");
        for (size_t i = 0; r >= 0 && (t = runner_get_totals(q->bus_objects->runner, i)); i++)
                r = append_totals(reply, t);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
