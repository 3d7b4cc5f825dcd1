/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-orders.h"
#include "runner/run/run-state.h"

static void log_failure(Run *r, LauncherVerb verb, int error, const char *text) {
        const char *why = text ? text : strerrordesc_np(-error);
        int level = error == -ECANCELED ? LOG_DEBUG : LOG_WARNING;

        if (verb == LAUNCHER_KILL) {
                /* It is ordered again and again. */
                log_full(
                        r->check.kill_failed ? LOG_DEBUG : level,
                        error,
                        NULL,
                        "Failed to kill %s: %s",
                        strempty(r->row.unit),
                        why);
                r->check.kill_failed = true;
        } else
                log_full(
                        level,
                        error,
                        NULL,
                        "%s failed for conversation %s: %s",
                        launcher_verb_to_string(verb),
                        r->row.conversation,
                        why);
}

static void on_done(LauncherVerb verb, int error, const char *text, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        if (error < 0)
                log_failure(r, verb, error, text);
        /* Whatever the answer: it may be gone. */
        if (verb == LAUNCHER_KILL)
                run_wake(r);
        r->report->ordered(verb, error, text, r->userdata);
}

int run_order(Run *r, LauncherVerb verb, const LauncherLimit *limits, size_t n_limits) {
        LauncherQueue *q = r->ctx->launcher;
        int k = q ? launcher_order(q, r->row.unit, verb, limits, n_limits, on_done, r) : -ENOTCONN;

        if (k < 0)
                log_failure(r, verb, k, NULL);
        return k;
}

void run_order_unheard(Run *r, LauncherVerb verb) {
        LauncherQueue *q = r->ctx->launcher;
        int k = q ? launcher_order(q, r->row.unit, verb, NULL, 0, NULL, NULL) : -ENOTCONN;

        if (k < 0)
                log_failure(r, verb, k, NULL);
}

bool run_has_order(const Run *r, LauncherVerb verb) {
        return r->ctx->launcher && launcher_has_order(r->ctx->launcher, r->row.unit, verb);
}

bool run_has_room_for_order(const Run *r) {
        return !r->ctx->launcher || launcher_has_room(r->ctx->launcher, r->row.unit);
}

void run_forget_orders(Run *r) {
        if (r->ctx->launcher)
                launcher_forget(r->ctx->launcher, r);
}

void run_cancel_orders(Run *r) {
        if (r->ctx->launcher)
                launcher_cancel(r->ctx->launcher, r->row.unit);
}
