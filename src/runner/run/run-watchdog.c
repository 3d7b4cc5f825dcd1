/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-question.h"
#include "runner/run/run-watchdog.h"

/* `timeouts` of one run. Other events of the run check them as well; the timer is set no more often than they are over. */

#define DENIED "The request was not answered in time and is denied."
#define OVERLONG "The request exceeds the size that this host forwards and is denied."

static void check(Run *r);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        check(r);
        return 0;
}

void run_deny_overlong_questions(Run *r) {
        uint64_t offset;
        int k = 1;
        unsigned n;

        while (k > 0 && r->ops->overlong_question && r->ops->overlong_question(r->driver, &offset, &n)) {
                log_warning(
                        "Conversation %s: an open question exceeds the size limit and is denied.",
                        r->row.conversation);
                k = r->report->deny(offset, n, OVERLONG, r->userdata);
        }
        if (k < 0)
                r->report->store_failed(k, r->userdata);
}

static void arm(Run *r) {
        uint64_t next = watchdog_next(r->watchdog.clocks);
        int k = 0;

        r->watchdog.usec = next;
        if (next == USEC_INFINITY)
                r->watchdog.timer = sd_event_source_disable_unref(r->watchdog.timer);
        else
                k = oneshot_start_at(&r->watchdog.timer, r->ctx->event, next, on_timer, r);
        if (k < 0)
                log_error_errno(
                        k,
                        "Failed to set the timer for the timeouts of conversation %s: %m",
                        r->row.conversation);
}

static int take_phase(Run *r, uint64_t now) {
        DriverPhase phase = r->ops->phase(r->driver);
        DriverQuestion questions[DRIVER_QUESTIONS_MAX];
        size_t n = phase == DRIVER_WAITING_PERMISSION ? run_questions(r, questions) : 0;

        return watchdog_update(r->watchdog.clocks, phase, questions, n, now);
}

static void check(Run *r) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), offset;
        unsigned n;
        int k;

        if (r->ended || r->ctx->broken || r->stopping) {
                r->watchdog.timer = sd_event_source_disable_unref(r->watchdog.timer);
                r->watchdog.usec = USEC_INFINITY;
                return;
        }
        k = take_phase(r, now);
        while (k >= 0 && watchdog_take_expired(r->watchdog.clocks, now, &offset, &n)) {
                k = r->report->deny(offset, n, DENIED, r->userdata);
                if (k >= 0)
                        k = take_phase(r, now);
        }
        if (k < 0) {
                r->report->store_failed(k, r->userdata);
                return;
        }
        if (watchdog_is_silent(r->watchdog.clocks, now))
                r->report->silent(r->userdata);
        else
                arm(r);
}

void run_watchdog_update(Run *r, bool heard) {
        uint64_t now;

        if (!r->watchdog.clocks)
                return;
        now = now_usec(CLOCK_MONOTONIC);
        if (heard)
                watchdog_heard(r->watchdog.clocks, now);
        /* A timer that comes too early sets itself again: an agent that talks without end sets none. */
        if (take_phase(r, now) < 0 || watchdog_next(r->watchdog.clocks) < r->watchdog.usec)
                check(r);
}

void run_watchdog_freeze(Run *r, bool frozen) {
        if (!r->watchdog.clocks)
                return;
        watchdog_freeze(r->watchdog.clocks, frozen, now_usec(CLOCK_MONOTONIC));
        check(r);
}

int run_watchdog_begin(Run *r, const Timeouts *timeouts) {
        int k;

        if (r->watchdog.clocks || (timeouts->silence_usec == 0 && timeouts->answer_usec == 0))
                return 0;
        r->watchdog.usec = USEC_INFINITY;
        k = watchdog_new(timeouts, now_usec(CLOCK_MONOTONIC), &r->watchdog.clocks);
        if (k >= 0)
                check(r);
        return k;
}

void run_watchdog_done(RunWatchdog *w) {
        w->timer = sd_event_source_disable_unref(w->timer);
        w->clocks = watchdog_free(w->clocks);
}
