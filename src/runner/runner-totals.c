/* SPDX-License-Identifier: MIT */
#include "runner/runner-internal.h"

/* What conversations have used since the start of the program, summed up by agent: sums that never go down, whichever
 * conversation is forgotten. Each conversation remembers what of it was counted, so it does not matter when and how often
 * it is looked at, as long as that happens before it goes. */

const char *const runner_end_reasons[RUNNER_END_REASONS] = {
        "completed",    "stopped", "timeout",    "budget",   "failed",
        "agent-exited", "lost",    "oom-killed", "shutdown", "other",
};

static RunnerTotals *totals_of(Runner *r, const char *agent) {
        size_t i = 0;

        while (i < r->n_totals && !streq(r->totals[i].agent, agent))
                i++;
        if (i < r->n_totals)
                return &r->totals[i];
        /* The last one is for all that have no place of their own: the configuration may be another every day. */
        if (i >= TOTALS_MAX)
                return &r->totals[TOTALS_MAX - 1];
        r->totals[i].agent = strdup(i == TOTALS_MAX - 1 ? "other" : agent);
        if (!r->totals[i].agent)
                return NULL;
        r->n_totals++;
        return &r->totals[i];
}

/* What a counter has grown by; one that is smaller than before began anew. */
static uint64_t grown(uint64_t *counted, uint64_t now) {
        uint64_t by = now >= *counted ? now - *counted : now;

        *counted = now;
        return by;
}

static bool cpu_of(Conversation *c, uint64_t *ret) {
        ConversationFigures f;

        if (c->run->over)
                return json_get_u64(c->run->outcome ? json_get(c->run->outcome, "resources") : c->run->usage,
                                    "cpuUsec",
                                    ret) > 0;
        conversation_figures(c, &f);
        for (size_t i = 0; i < f.n; i++)
                if (streq(f.list[i].name, "cpuUsec")) {
                        *ret = f.list[i].value;
                        return true;
                }
        return false;
}

static void count_driver(Conversation *c, RunnerTotals *t) {
        Counted *k = &c->counted;
        DriverUsage now = {};

        if (!c->run->driver)
                return;
        c->run->ops->usage(c->run->driver, &now);
        t->turns += grown(&k->usage.turns, now.turns);
        t->input_tokens += grown(&k->usage.input_tokens, now.input_tokens);
        t->output_tokens += grown(&k->usage.output_tokens, now.output_tokens);
        t->cache_read_tokens += grown(&k->usage.cache_read_tokens, now.cache_read_tokens);
        t->cache_write_tokens += grown(&k->usage.cache_write_tokens, now.cache_write_tokens);
        t->oversize_lines += grown(&k->usage.oversize_lines, now.oversize_lines);
        t->ambiguous_lines += grown(&k->usage.ambiguous_lines, now.ambiguous_lines);
        t->cost_usd += now.cost_usd >= k->usage.cost_usd ? now.cost_usd - k->usage.cost_usd : now.cost_usd;
        k->usage.cost_usd = now.cost_usd;
}

static void count(Conversation *c, RunnerTotals *t) {
        Counted *k = &c->counted;
        uint64_t cpu;

        if (!c->run)
                return;
        if (k->run != c->row.run)
                *k = (Counted){ .run = c->row.run };
        count_driver(c, t);
        for (LimitHit i = 0; i < _LIMIT_HIT_MAX; i++)
                t->limit_hits[i] += grown(&k->hits[i], run_limits_hits(c->run, i));
        if (!cpu_of(c, &cpu))
                return;
        cpu = grown(&k->cpu_usec, cpu);
        t->cpu_usec += k->cpu_before ? 0 : cpu;
        k->cpu_before = false;
}

void runner_totals_count(Runner *r, Conversation *c) {
        RunnerTotals *t = totals_of(r, c->row.agent);

        if (t)
                count(c, t);
}

void runner_totals_skip(Runner *r, Conversation *c) {
        RunnerTotals nothing = {};

        c->counted = (Counted){ .run = c->row.run, .cpu_before = true };
        count(c, &nothing);
}

void runner_totals_started(Runner *r, Conversation *c) {
        RunnerTotals *t = totals_of(r, c->row.agent);

        if (t)
                t->started++;
}

void runner_totals_ended(Runner *r, Conversation *c) {
        RunnerTotals *t = totals_of(r, c->row.agent);
        size_t i = 0;

        if (!t)
                return;
        count(c, t);
        while (i < RUNNER_END_REASONS - 1 && !streq_ptr(runner_end_reasons[i], c->row.reason))
                i++;
        t->ended[i]++;
}

const RunnerTotals *runner_get_totals(Runner *r, size_t i) {
        if (i == 0)
                for (Conversation *c = r->first; c; c = c->next)
                        if (conversation_is_live(c))
                                runner_totals_count(r, c);
        return i < r->n_totals ? &r->totals[i] : NULL;
}

void runner_totals_done(Runner *r) {
        for (size_t i = 0; i < r->n_totals; i++)
                free(r->totals[i].agent);
        r->n_totals = 0;
}
