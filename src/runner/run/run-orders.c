/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-orders.h"

static void on_done(LauncherVerb verb, int error, const char *text, void *userdata) {
        Run *r = userdata;

        if (error < 0)
                log_full(error == -ECANCELED ? LOG_DEBUG : LOG_WARNING,
                         error,
                         NULL,
                         "%s of %s: %s",
                         launcher_verb_to_string(verb),
                         strempty(r->row.unit),
                         text ? text : strerrordesc_np(-error));
        if (verb == LAUNCHER_KILL)
                run_look(r);
        r->report->ordered(verb, error, text, r->userdata);
}

static int
order(Run *r,
      LauncherVerb verb,
      const LauncherLimit *limits,
      size_t n_limits,
      LauncherOrderDone done,
      void *userdata) {
        int k = !r->ctx->launcher || !r->row.unit ? -ENOTCONN :
                                                    launcher_order(r->ctx->launcher,
                                                                   r->row.unit,
                                                                   verb,
                                                                   limits,
                                                                   n_limits,
                                                                   done,
                                                                   userdata);

        if (k < 0)
                log_warning_errno(k, "%s of %s: %m", launcher_verb_to_string(verb), strempty(r->row.unit));
        return k;
}

int run_order(Run *r, LauncherVerb verb, const LauncherLimit *limits, size_t n_limits) {
        return order(r, verb, limits, n_limits, on_done, r);
}

void run_order_unheard(Run *r, LauncherVerb verb) {
        (void) order(r, verb, NULL, 0, NULL, NULL);
}

bool run_has_order(const Run *r, LauncherVerb verb) {
        return r->ctx->launcher && r->row.unit && launcher_has_order(r->ctx->launcher, r->row.unit, verb);
}

void run_forget_orders(Run *r) {
        if (r->ctx->launcher)
                launcher_forget(r->ctx->launcher, r);
}
