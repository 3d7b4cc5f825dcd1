/* SPDX-License-Identifier: MIT */
#include "runner/conversation/counted.h"

void counted_begin(Counted *k, unsigned run, bool before) {
        *k = (Counted){ .run = run, .cpu_before = before };
}

static uint64_t grown(uint64_t *counted, uint64_t now) {
        uint64_t by = now >= *counted ? now - *counted : now;

        *counted = now;
        return by;
}

void counted_take_usage(Counted *k, const DriverUsage *now, DriverUsage *ret_grown) {
        DriverUsage *u = &k->usage;

        *ret_grown = (DriverUsage){
                .turns = grown(&u->turns, now->turns),
                .input_tokens = grown(&u->input_tokens, now->input_tokens),
                .output_tokens = grown(&u->output_tokens, now->output_tokens),
                .cache_read_tokens = grown(&u->cache_read_tokens, now->cache_read_tokens),
                .cache_write_tokens = grown(&u->cache_write_tokens, now->cache_write_tokens),
                .oversize_lines = grown(&u->oversize_lines, now->oversize_lines),
                .ambiguous_lines = grown(&u->ambiguous_lines, now->ambiguous_lines),
                .has_cost = now->has_cost,
                .cost_usd = now->cost_usd >= u->cost_usd ? now->cost_usd - u->cost_usd : now->cost_usd,
        };
        u->cost_usd = now->cost_usd;
}

uint64_t counted_take_cpu(Counted *k, uint64_t now) {
        uint64_t by = grown(&k->cpu_usec, now);
        bool before = k->cpu_before;

        k->cpu_before = false;
        return before ? 0 : by;
}

uint64_t counted_take_events(Counted *k, LimitEvent what, uint64_t now) {
        return grown(&k->events[what], now);
}
