/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"

/* runtimeMaxSec of one run: the clock in the store, the timer here, the stop when it is over. */

static char *store_key(Run *r) {
        return xasprintf("runtime:%s:%u", r->row.conversation, r->row.run);
}

static int save(Run *r) {
        _cleanup_free_ char *key = store_key(r);
        _cleanup_json_ Json *o = runtime_clock_to_json(&r->runtime);

        return key && o ? store_set(r->conversation->ctx->run.store, key, json_text(o)) : -ENOMEM;
}

static int on_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *r = userdata;
        Conversation *c = r->conversation;

        if (r->over || c->ctx->run.broken || c->stop != STOP_NONE)
                return 0;
        log_notice("Conversation %s has had its time (runtimeMaxSec) and is stopped.", c->row.id);
        conversation_stop(c, "timeout", c->ctx->run.config->stop_grace_ms * USEC_PER_MSEC);
        return 0;
}

static void arm(Run *r) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), left = runtime_clock_left(&r->runtime, now);
        int k = 0;

        if (left == USEC_INFINITY) {
                r->runtime_timer = sd_event_source_disable_unref(r->runtime_timer);
                return;
        }
        if (!r->runtime_timer)
                k = sd_event_add_time(
                                r->conversation->ctx->run.event,
                                &r->runtime_timer,
                                CLOCK_MONOTONIC,
                                now + left,
                                USEC_PER_MSEC,
                                on_over,
                                r);
        else {
                k = sd_event_source_set_time(r->runtime_timer, now + left);
                if (k >= 0)
                        k = sd_event_source_set_enabled(r->runtime_timer, SD_EVENT_ONESHOT);
        }
        if (k < 0)
                log_error_errno(k, "No timer for runtimeMaxSec of conversation %s: %m", r->row.conversation);
}

/* As it was asked for, by whomever. */
static uint64_t limit_usec(Run *r) {
        _cleanup_json_ Json *limits = run_limits_describe(r);
        uint64_t seconds = 0;

        /* Nothing is known of a run whose rows were made anew, but what its conversation was started with. */
        if (json_get_u64(limits ? json_get(limits, "asked") : json_get(r->conversation->params, "limits"),
                         "runtimeMaxSec",
                         &seconds) <= 0 &&
            !limits)
                seconds = r->conversation->ctx->run.config->limits.runtime_max_sec;
        return seconds * USEC_PER_SEC;
}

int run_runtime_begin(Run *r) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), real = now_usec(CLOCK_REALTIME),
                 ago = real > r->row.started_usec && r->row.started_usec > 0 ? real - r->row.started_usec :
                                                                               0;

        r->runtime = (RuntimeClock){ .limit_usec = limit_usec(r), .started_usec = now - MIN(now, ago) };
        arm(r);
        return r->runtime.limit_usec > 0 ? save(r) : 0;
}

int run_runtime_restore(Run *r) {
        _cleanup_free_ char *key = store_key(r), *text = NULL;
        _cleanup_json_ Json *o = NULL;
        int k;

        if (!key)
                return -ENOMEM;
        k = store_get(r->conversation->ctx->run.store, key, &text);
        if (k < 0)
                return k;
        if (k > 0)
                k = json_parse_from(JSON_OF_STORE, text, strlen(text), &o, NULL);
        if (!o || k < 0 || runtime_clock_from_json(o, now_usec(CLOCK_MONOTONIC), &r->runtime) < 0)
                return run_runtime_begin(r);
        arm(r);
        return 0;
}

void run_runtime_freeze(Run *r, bool frozen) {
        int k;

        if (r->runtime.limit_usec == 0 ||
            !runtime_clock_freeze(&r->runtime, frozen, now_usec(CLOCK_MONOTONIC)))
                return;
        arm(r);
        k = save(r);
        if (k < 0)
                log_debug_errno(k, "The clock of conversation %s is not stored: %m", r->row.conversation);
}

int run_runtime_forget(Run *r) {
        _cleanup_free_ char *key = store_key(r);

        r->runtime_timer = sd_event_source_disable_unref(r->runtime_timer);
        return key ? store_set(r->conversation->ctx->run.store, key, NULL) : -ENOMEM;
}
