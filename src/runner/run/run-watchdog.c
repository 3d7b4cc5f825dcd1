/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "common/log.h"
#include "runner/conversation/conversation-internal.h"

/* `timeouts` of one run. What runs anyway looks at them; the timer is set no more often than they are over. */

#define DENIED "Nobody has answered in time, so this was not allowed."
#define OVERLONG "The request is longer than this host passes on, so this was not allowed."

static void look(Run *r);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        look(userdata);
        return 0;
}

static void stop_silent(Run *r) {
        Conversation *c = r->conversation;

        log_notice("The agent of conversation %s says nothing (timeouts.silenceSec) and is stopped.",
                   c->row.id);
        r->silent = true;
        conversation_stop(c, "timeout", c->ctx->run.config->stop_grace_ms * USEC_PER_MSEC);
}

/* Denied in the name of those who did not answer, or cannot. */
static int deny(Run *r, uint64_t offset, unsigned n, const char *why) {
        _cleanup_json_ Json *params = json_object_new_object();
        _cleanup_free_ char *id = xasprintf("%s:%" PRIu64 ".%u", r->row.run_id, offset, n);
        Conversation *c = r->conversation;

        if (!params || !id || json_set_string(params, "behavior", "deny") < 0 ||
            json_set_string(params, "message", why) < 0)
                return -ENOMEM;
        DriverCommand command = {
                .type = DRIVER_COMMAND_ANSWER, .params = params, .offset = offset, .n = n
        };
        int k = conversation_expire_question(c, id, &command);
        if (k <= 0)
                return k;
        c->ctx->hooks->question_expired(c, id, c->ctx->userdata);
        return 0;
}

void run_deny_overlong_questions(Run *r) {
        Conversation *c = r->conversation;
        uint64_t offset;
        int k = 0;
        unsigned n;

        while (k >= 0 && r->ops->overlong_question && r->ops->overlong_question(r->driver, &offset, &n)) {
                log_warning("Conversation %s: an open question is longer than is passed on and is denied.",
                            c->row.id);
                k = deny(r, offset, n, OVERLONG);
        }
        if (k < 0)
                c->ctx->hooks->store_failed(k, c->ctx->userdata);
}

static void arm(Run *r) {
        uint64_t next = watchdog_next(r->watchdog);
        int k = 0;

        r->watchdog_usec = next;
        if (next == USEC_INFINITY)
                r->watchdog_timer = sd_event_source_disable_unref(r->watchdog_timer);
        else if (!r->watchdog_timer)
                k = sd_event_add_time(
                                r->conversation->ctx->run.event,
                                &r->watchdog_timer,
                                CLOCK_MONOTONIC,
                                next,
                                USEC_PER_MSEC,
                                on_timer,
                                r);
        else {
                k = sd_event_source_set_time(r->watchdog_timer, next);
                if (k >= 0)
                        k = sd_event_source_set_enabled(r->watchdog_timer, SD_EVENT_ONESHOT);
        }
        if (k < 0)
                log_error_errno(k, "No timer for the timeouts of conversation %s: %m", r->row.conversation);
}

static int take_phase(Run *r, uint64_t now) {
        DriverPhase phase = r->ops->phase(r->driver);
        DriverQuestion questions[DRIVER_QUESTIONS_MAX];
        size_t n = phase == DRIVER_WAITING_PERMISSION ? run_questions(r, questions) : 0;

        return watchdog_update(r->watchdog, phase, questions, n, now);
}

static void look(Run *r) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), offset;
        Conversation *c = r->conversation;
        unsigned n;
        int k;

        if (r->over || c->ctx->run.broken || c->stop != STOP_NONE) {
                r->watchdog_timer = sd_event_source_disable_unref(r->watchdog_timer);
                r->watchdog_usec = USEC_INFINITY;
                return;
        }
        k = take_phase(r, now);
        while (k >= 0 && watchdog_take_expired(r->watchdog, now, &offset, &n)) {
                k = deny(r, offset, n, DENIED);
                if (k >= 0)
                        k = take_phase(r, now);
        }
        if (k < 0) {
                c->ctx->hooks->store_failed(k, c->ctx->userdata);
                return;
        }
        if (watchdog_is_silent(r->watchdog, now))
                stop_silent(r);
        else
                arm(r);
}

void run_watchdog_look(Run *r, bool heard) {
        uint64_t now;

        if (!r->watchdog)
                return;
        now = now_usec(CLOCK_MONOTONIC);
        if (heard)
                watchdog_heard(r->watchdog, now);
        /* A timer that comes too early sets itself anew: an agent that talks without end sets none. */
        if (take_phase(r, now) < 0 || watchdog_next(r->watchdog) < r->watchdog_usec)
                look(r);
}

void run_watchdog_freeze(Run *r, bool frozen) {
        if (!r->watchdog)
                return;
        watchdog_freeze(r->watchdog, frozen, now_usec(CLOCK_MONOTONIC));
        look(r);
}

int run_watchdog_begin(Run *r) {
        Conversation *c = r->conversation;
        Timeouts timeouts = {
                .silence_usec = c->ctx->run.config->silence_secs * USEC_PER_SEC,
                .answer_usec = c->ctx->run.config->answer_secs * USEC_PER_SEC,
        };
        _cleanup_free_ char *error = NULL;
        int k;

        /* It was checked when it came. */
        (void) timeouts_parse(json_get(c->params, "timeouts"), &timeouts, &error);
        if (r->watchdog || (timeouts.silence_usec == 0 && timeouts.answer_usec == 0))
                return 0;
        r->watchdog_usec = USEC_INFINITY;
        k = watchdog_new(&timeouts, now_usec(CLOCK_MONOTONIC), &r->watchdog);
        if (k >= 0)
                look(r);
        return k;
}
