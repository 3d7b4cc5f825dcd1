/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-statistics.h"
#include "runner/run/run-limit-events.h"
#include "runner/run/run-limits.h"
#include "runner/runner-totals.h"

/* What conversations have used since the start of the program, summed up by agent: sums that never go down, whichever
 * conversation is forgotten. Each conversation remembers what of it was counted, so it does not matter when and how often
 * it is counted, as long as that happens before it goes. */

/* Agents that are counted by themselves, and one for all others. */
#define TOTALS_MAX 32
static_assert(RUNNER_LIMIT_EVENTS == _LIMIT_EVENT_MAX, "one for each limit");

struct Totals {
        RunnerTotals list[TOTALS_MAX];
        size_t n;
};

/* All but END_NONE and END_UNKNOWN, and one more for what is neither. */
static_assert(RUNNER_END_REASONS == END_UNKNOWN - END_NONE, "one for each reason");

const char *totals_end_reason(size_t i) {
        return i == RUNNER_END_REASONS - 1 ? "other" : end_reason_to_string((EndReason) (END_NONE + 1 + i));
}

static RunnerTotals *totals_of(Totals *all, const char *agent) {
        size_t i = 0;

        while (i < all->n && !streq(all->list[i].agent, agent))
                i++;
        if (i < all->n)
                return &all->list[i];
        /* The last one is for all that have no place of their own: the configuration may be another every day. */
        if (i >= TOTALS_MAX)
                return &all->list[TOTALS_MAX - 1];
        all->list[i].agent = strdup(i == TOTALS_MAX - 1 ? "other" : agent);
        if (!all->list[i].agent)
                return NULL;
        all->n++;
        return &all->list[i];
}

static bool cpu_of(Conversation *c, uint64_t *ret) {
        ConversationStatistics f;

        if (run_has_ended(c->run))
                return json_get_u64(run_resources(c->run), "cpuUsec", ret) > 0;
        conversation_statistics(c, &f);
        for (size_t i = 0; i < f.n; i++)
                if (streq(f.list[i].name, "cpuUsec")) {
                        *ret = f.list[i].value;
                        return true;
                }
        return false;
}

static void count_driver(Conversation *c, RunnerTotals *t) {
        DriverUsage now = {}, more;

        run_usage(c->run, &now);
        counted_take_usage(&c->counted, &now, &more);
        t->turns += more.turns;
        t->input_tokens += more.input_tokens;
        t->output_tokens += more.output_tokens;
        t->cache_read_tokens += more.cache_read_tokens;
        t->cache_write_tokens += more.cache_write_tokens;
        t->oversize_lines += more.oversize_lines;
        t->ambiguous_lines += more.ambiguous_lines;
        t->cost_usd += more.cost_usd;
}

static void count(Conversation *c, RunnerTotals *t) {
        uint64_t cpu;

        if (!c->run)
                return;
        if (c->counted.run != c->row.run)
                counted_begin(&c->counted, c->row.run, false);
        count_driver(c, t);
        for (LimitEvent i = 0; i < _LIMIT_EVENT_MAX; i++)
                t->limit_events[i] += counted_take_events(&c->counted, i, run_limits_events(c->run, i));
        if (cpu_of(c, &cpu))
                t->cpu_usec += counted_take_cpu(&c->counted, cpu);
}

void totals_count(Totals *all, Conversation *c) {
        RunnerTotals *t = totals_of(all, c->row.agent);

        if (t)
                count(c, t);
}

void totals_skip(Conversation *c) {
        RunnerTotals nothing = {};

        counted_begin(&c->counted, c->row.run, true);
        count(c, &nothing);
}

void totals_started(Totals *all, Conversation *c) {
        RunnerTotals *t = totals_of(all, c->row.agent);

        if (t)
                t->started++;
}

void totals_ended(Totals *all, Conversation *c) {
        RunnerTotals *t = totals_of(all, c->row.agent);
        EndReason reason = c->row.reason;

        if (!t)
                return;
        count(c, t);
        t
                ->ended[reason == END_NONE || reason == END_UNKNOWN ? RUNNER_END_REASONS - 1 :
                                                                      reason - END_NONE - 1]++;
}

const RunnerTotals *totals_get(const Totals *all, size_t i) {
        return i < all->n ? &all->list[i] : NULL;
}

int totals_new(Totals **ret) {
        *ret = new0(Totals, 1);
        return *ret ? 0 : -ENOMEM;
}

Totals *totals_free(Totals *all) {
        if (!all)
                return NULL;
        for (size_t i = 0; i < all->n; i++)
                free(all->list[i].agent);
        free(all);
        return NULL;
}
