/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/conversation/conversation-end.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-report.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/run/run-input.h"
#include "runner/run/run-orders.h"
#include "runner/run/run-start.h"
#include "runner/run/run-state.h"
#include "runner/run/run-stop.h"
#include "runner/store/transaction.h"

#define STEP_USEC (5 * USEC_PER_SEC)

static void step(Conversation *c);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        step(c);
        return 0;
}

static void arm(Conversation *c, uint64_t usec) {
        int r;

        if (conversation_is_frozen(c)) {
                /* Frozen processes cannot use the time: it begins with the thaw. */
                c->stop.left_usec = usec;
                return;
        }
        r = oneshot_start(&c->stop.timer, c->ctx->run.event, usec, on_timer, c);
        if (r < 0)
                log_error_errno(r, "Failed to set the timer for the stop of conversation %s: %m", c->row.id);
}

/* Stops the clock of the stop. */
static void pause_timer(Conversation *c) {
        uint64_t at = oneshot_time(c->stop.timer), now = now_usec(CLOCK_MONOTONIC);

        if (at == USEC_INFINITY)
                return;
        oneshot_disarm(c->stop.timer);
        c->stop.left_usec = MAX(at > now ? at - now : 0, (uint64_t) 1);
}

/* Frozen processes can still be killed. */
static void kill_frozen(Conversation *c) {
        run_set_frozen(c->run, false);
        c->stop.left_usec = 0;
        c->stop.stage = STOP_KILL;
        step(c);
}

/* Thaws the run: its processes can do nothing before. Orders that wait make no sense for a run that is being ended.
 * False: the thaw cannot be ordered, and the run is killed. */
static bool thaw(Conversation *c) {
        if (c->stop.thaws)
                return true;
        run_cancel_orders(c->run);
        c->stop.thaws = run_order(c->run, LAUNCHER_THAW, NULL, 0) >= 0;
        if (!c->stop.thaws)
                kill_frozen(c);
        return c->stop.thaws;
}

void conversation_stop_thawed(Conversation *c, int error) {
        c->stop.thaws = false;
        if (error >= 0) {
                conversation_set_frozen(c, false);
                run_wake(c->run);
        } else if (conversation_is_frozen(c))
                kill_frozen(c);
}

void conversation_set_frozen(Conversation *c, bool frozen) {
        uint64_t left = c->stop.left_usec;

        if (!c->run || run_is_frozen(c->run) == frozen || !conversation_is_live(c))
                return;
        run_set_frozen(c->run, frozen);
        if (conversation_is_stopping(c)) {
                if (frozen) {
                        pause_timer(c);
                        (void) thaw(c);
                } else if (left > 0) {
                        c->stop.left_usec = 0;
                        arm(c, left);
                }
        }
        (void) conversation_emit_state(c);
        conversation_announce(c);
}

static void step(Conversation *c) {
        if (!c->run || run_has_ended(c->run) || c->row.state != CONVERSATION_LIVE)
                return;
        switch (c->stop.stage) {
        case STOP_NONE:
                return;
        case STOP_ASKED:
                c->stop.stage = STOP_TERM;
                run_terminate(c->run);
                break;
        case STOP_TERM:
                c->stop.stage = STOP_KILL;
                run_kill(c->run);
                break;
        case STOP_KILL:
        case STOP_FORCED:
                c->stop.stage = STOP_FORCED;
                if (!run_has_order(c->run, LAUNCHER_KILL))
                        (void) run_order(c->run, LAUNCHER_KILL, NULL, 0);
                break;
        }
        arm(c, STEP_USEC);
}

/* ---- the order ---- */

static int store_and_say(Conversation *c, bool state) {
        _cleanup_(transaction_done) Transaction t = {};
        int r;

        r = transaction_begin(c->ctx->run.store, &t);
        if (r >= 0)
                r = conversation_stop_store(c);
        if (r >= 0 && state)
                r = conversation_emit_state(c);
        return transaction_finish(&t, r);
}

/* A full store does not keep an agent alive: the stop continues without a record of it. */
static void store_it(Conversation *c, bool state) {
        ConversationPhase before = c->last_phase;
        int r = store_and_say(c, state);

        if (r >= 0)
                return;
        /* Nothing was reported: the next change that is stored reports it. */
        c->last_phase = before;
        log_warning_errno(r, "The stop of conversation %s is not stored: %m", c->row.id);
}

/* Stops a conversation that has no process yet. */
static void stop_before_start(Conversation *c) {
        /* The store may not even have the conversation. The stop is ordered again when the store was read again. */
        if (c->ctx->run.broken)
                return;
        if (c->checkout || !run_start_is_under_way(c->run)) {
                /* A launcher that an earlier runner has asked may still be starting it. */
                run_abandon_start(c->run);
                conversation_fail_start(c, NULL);
                return;
        }
        /* The launcher is starting it: its answer leads here again. */
        store_it(c, false);
        conversation_changed(c);
}

void conversation_stop_resume(Conversation *c) {
        uint64_t grace_usec = c->stop.grace_usec;
        bool first, killed;
        LOG_ABOUT_CONVERSATION(c);

        if (c->checkout || c->row.state != CONVERSATION_LIVE) {
                stop_before_start(c);
                return;
        }
        first = c->stop.stage == STOP_NONE || !run_end_was_sent(c->run);
        if (c->stop.stage == STOP_NONE)
                c->stop.stage = STOP_ASKED;
        store_it(c, true);
        conversation_announce(c);
        killed = conversation_is_frozen(c) && !thaw(c);
        if (first && run_ask_to_end(c->run) > 0)
                c->send.dirty = true;
        if (grace_usec == 0) {
                /* No grace was requested: the next step is taken now. */
                c->stop.stage = MAX(c->stop.stage, STOP_TERM);
                step(c);
        } else if (!killed && c->stop.stage == STOP_ASKED)
                arm(c, grace_usec);
        run_wake(c->run);
}

void conversation_stop(Conversation *c, const StopOrder *order) {
        /* A live conversation has a run. */
        if (!conversation_is_live(c) || !c->run)
                return;
        conversation_stop_take(c, order);
        conversation_stop_resume(c);
}
