/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-runtime.h"

/* runtimeMaxSec of one run: the clock in the store, the timer here, the stop when it is over. */

static char *store_key(Run *r) {
        return xasprintf("runtime:%s:%u", r->row.conversation, r->row.run);
}

static int save(Run *r) {
        _cleanup_free_ char *key = store_key(r);
        _cleanup_json_ Json *o = runtime_clock_to_json(&r->runtime.clock);

        return key && o ? store_set(r->ctx->store, key, json_text(o)) : -ENOMEM;
}

static int on_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        if (!r->ended && !r->ctx->broken && !r->stopping)
                r->report->time_over(r->userdata);
        return 0;
}

static void arm(Run *r) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), left = runtime_clock_left(&r->runtime.clock, now);
        int k;

        if (left == USEC_INFINITY) {
                r->runtime.timer = sd_event_source_disable_unref(r->runtime.timer);
                return;
        }
        k = oneshot_start_at(&r->runtime.timer, r->ctx->event, now + left, on_over, r);
        if (k < 0)
                log_error_errno(
                        k,
                        "Failed to set the timer for runtimeMaxSec of conversation %s: %m",
                        r->row.conversation);
}

/* As it was asked for, by whomever. */
static uint64_t limit_usec(Run *r, uint64_t unknown_secs) {
        _cleanup_json_ Json *limits = run_limits_describe(r);
        uint64_t seconds = 0;

        if (!limits)
                seconds = unknown_secs;
        else
                (void) json_get_u64(json_get(limits, "asked"), "runtimeMaxSec", &seconds);
        return seconds * USEC_PER_SEC;
}

int run_runtime_begin(Run *r, uint64_t unknown_secs) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), real = now_usec(CLOCK_REALTIME),
                 ago = real > r->row.started_usec && r->row.started_usec > 0 ? real - r->row.started_usec :
                                                                               0;

        r->runtime.clock = (RuntimeClock){ .limit_usec = limit_usec(r, unknown_secs),
                                           .started_usec = now - MIN(now, ago) };
        arm(r);
        return r->runtime.clock.limit_usec > 0 ? save(r) : 0;
}

int run_runtime_restore(Run *r, uint64_t unknown_secs) {
        _cleanup_free_ char *key = store_key(r), *text = NULL;
        _cleanup_json_ Json *o = NULL;
        int k;

        if (!key)
                return -ENOMEM;
        k = store_get(r->ctx->store, key, &text);
        if (k < 0)
                return k;
        if (k > 0)
                k = json_parse_from(JSON_OF_STORE, text, strlen(text), &o, NULL);
        if (!o || k < 0 || runtime_clock_from_json(o, now_usec(CLOCK_MONOTONIC), &r->runtime.clock) < 0)
                return run_runtime_begin(r, unknown_secs);
        arm(r);
        return 0;
}

void run_runtime_done(RunRuntime *t) {
        t->timer = sd_event_source_disable_unref(t->timer);
}

void run_runtime_freeze(Run *r, bool frozen) {
        int k;

        if (r->runtime.clock.limit_usec == 0 ||
            !runtime_clock_freeze(&r->runtime.clock, frozen, now_usec(CLOCK_MONOTONIC)))
                return;
        arm(r);
        k = save(r);
        if (k < 0)
                log_debug_errno(k, "Failed to store the clock of conversation %s: %m", r->row.conversation);
}

int run_runtime_forget(Run *r) {
        _cleanup_free_ char *key = store_key(r);

        r->runtime.timer = sd_event_source_disable_unref(r->runtime.timer);
        return key ? store_set(r->ctx->store, key, NULL) : -ENOMEM;
}
