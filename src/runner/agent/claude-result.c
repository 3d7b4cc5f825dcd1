/* SPDX-License-Identifier: MIT */
#include "runner/agent/claude-ask.h"
#include "runner/agent/claude-result.h"
#include "runner/agent/driver-util.h"

/* The end of a turn: how it went, what it took, what it cost. */

/* Larger numbers are nonsense, and sums of them would overflow. */
#define TOKENS_MAX (UINT64_C(1) << 50)
#define COST_MAX 1e9

static uint64_t tokens(Slice usage, const char *name) {
        uint64_t v;

        return json_scan_u64(slice_member(usage, name, SCAN_NUMBER), &v) >= 0 && v <= TOKENS_MAX ? v : 0;
}

static bool cost(Slice o, const char *name, double *ret) {
        double v;

        if (json_scan_double(slice_member(o, name, SCAN_NUMBER), &v) < 0 || v < 0 || v > COST_MAX)
                return false;
        *ret = v;
        return true;
}

/* What newer versions say themselves about the time since the last result: a sum for each model. */
static bool cost_since_last(Slice line, double *ret) {
        Slice models = slice_member(line, "model_usage_since_last_result", SCAN_OBJECT), model, usage;
        double sum = 0, one;
        size_t iter = 0;

        if (!slice_is_set(models))
                return false;
        while (json_scan_next_member(models, &iter, &model, &usage))
                if (cost(usage, "costUSD", &one))
                        sum += one;
        *ret = sum;
        return true;
}

/* The agent counts its cost on, turn after turn. Where it resumed an older session, it may or may not have
 * kept the sum of that one (2.1.197 starts at zero, 2.1.330 continues), so the cost of the first turn there is what it
 * reports about this turn alone. */
static double turn_cost(Claude *c, Slice line, double total) {
        double before = c->total_cost, since;

        if (!c->has_cost && c->resumed && cost_since_last(line, &since))
                before = total - since;
        return total >= before ? total - before : total;
}

static const char *turn_reason(Slice line, bool ok) {
        Slice terminal = slice_member(line, "terminal_reason", SCAN_STRING);
        Slice subtype = slice_member(line, "subtype", SCAN_STRING);

        if (json_scan_string_is(terminal, "aborted_streaming") ||
            json_scan_string_is(terminal, "aborted_tools"))
                return "interrupted";
        if (json_scan_string_is(subtype, "error_max_turns") ||
            json_scan_string_is(subtype, "error_max_budget_usd"))
                return "limit";
        return ok ? "done" : "error";
}

static Slice turn_text(Slice line) {
        Slice text = slice_member(line, "result", SCAN_STRING), v;
        size_t iter = 0;

        if (!slice_is_set(text) && json_scan_element(slice_member(line, "errors", SCAN_ARRAY), &iter, &v) &&
            json_scan_type(v) == SCAN_STRING)
                text = v;
        return text;
}

static int feed_error(Claude *c, DriverFeed *f, Slice line) {
        Slice kind = { c->error_kind, strlen(strempty(c->error_kind)) };
        Slice http = slice_member(line, "api_error_status", SCAN_NUMBER), text = turn_text(line);

        return feed_error_event(f, kind, http, slice_is_set(text) ? text : SLICE_LITERAL("\"\""), false);
}

/* An interrupt takes the open questions with it, whether the agent says so or not. At another turn's end they may
 * be those of a task in the background, and stay. */
static int drop_asks(Claude *c, DriverFeed *f) {
        while (c->n_asks > 0) {
                int r = claude_ask_drop(c, f, 0, true);
                if (r < 0)
                        return r;
        }
        return 0;
}

int claude_feed_result(Claude *c, DriverFeed *f, Slice line) {
        Slice usage = slice_member(line, "usage", SCAN_OBJECT), total_text = {}, v;
        /* Never the subtype: every error of the API comes as "success". */
        bool ok = !(json_scan_member(line, "is_error", &v) && json_scan_is_true(v));
        const char *reason = turn_reason(line, ok);
        uint64_t input = tokens(usage, "input_tokens"), output = tokens(usage, "output_tokens");
        uint64_t cache_read = tokens(usage, "cache_read_input_tokens");
        uint64_t cache_write = tokens(usage, "cache_creation_input_tokens"), waiting = 0;
        double total, this_turn = 0;
        bool has_total;
        int r;

        has_total = cost(line, "total_cost_usd", &total);
        if (has_total) {
                total_text = slice_member(line, "total_cost_usd", SCAN_NUMBER);
                this_turn = turn_cost(c, line, total);
                c->total_cost = total;
                c->cost += this_turn;
                c->has_cost = true;
        }
        c->turns++;
        c->input_tokens += input;
        c->output_tokens += output;
        c->cache_read_tokens += cache_read;
        c->cache_write_tokens += cache_write;
        c->last_failed = streq(reason, "error") || streq(reason, "limit");
        c->ready = true;
        c->in_turn = c->sent = false;
        if (json_scan_u64(slice_member(line, "queued_turn_count", SCAN_NUMBER), &waiting) >= 0) {
                c->sent = waiting > 0;
                c->queued = false;
        }

        r = streq(reason, "interrupted") ? drop_asks(c, f) : 0;
        if (r >= 0 && streq(reason, "error"))
                r = feed_error(c, f, line);
        free(c->error_kind);
        c->error_kind = NULL;
        if (r < 0)
                return r;

        feed_begin(f, "turn_end");
        feed_bool(f, "ok", ok);
        feed_string(f, "reason", reason);
        feed_json(f, "text", slice_member(line, "result", SCAN_STRING));
        feed_open(f, "usage");
        feed_u64(f, "inputTokens", input);
        feed_u64(f, "outputTokens", output);
        feed_u64(f, "cacheReadTokens", cache_read);
        feed_u64(f, "cacheWriteTokens", cache_write);
        feed_close(f);
        if (has_total)
                feed_double(f, "costUsd", this_turn);
        feed_json(f, "totalCostUsd", total_text);
        return feed_end(f);
}
