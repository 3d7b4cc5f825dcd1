/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"
#include "common/scope-name.h"
#include "runner/conversation/conversation-adopt.h"
#include "runner/conversation/conversation-end.h"
#include "runner/conversation/conversation-input.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-run.h"
#include "runner/conversation/conversation-start.h"
#include "runner/run/run-agent.h"
#include "runner/run/run-check.h"
#include "runner/run/run-limits.h"
#include "runner/run/run-start.h"
#include "runner/run/run-state.h"
#include "runner/run/run-watchdog.h"
#include "runner/scope/run-directory.h"
#include "runner/store/state-step.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"

/* Takes over a conversation that was begun under an earlier runner. */

/* in.log may lack bytes that the rows have (they are written again), but never hold more. */
static int check_input(Conversation *c) {
        uint64_t total, written, size;
        int r;

        r = store_input_size(c->ctx->run.store, c->row.id, c->row.run, &total, &written);
        if (r < 0)
                return r;
        r = run_directory_input_size(run_directory_fd(c->run), &size);
        if (r < 0)
                return r;
        return size > total || size < written ? -EUCLEAN : 0;
}

static void adopt_live(Conversation *c, char *const *units, bool recovering) {
        Run *run = c->run;
        int r;
        LOG_ABOUT_CONVERSATION(c);

        r = run_open_directory(run);
        run_directory_mark_conclusion(
                run_directory_fd(run), false); /* the conclusion was counted, or the runner ended in order */
        if (r >= 0)
                r = check_input(c);
        if (r < 0) {
                log_warning_errno(
                        r,
                        "The files of conversation %s do not match the store (log mismatch): %m",
                        c->row.id);
                (void) run_set_failure(run, strdup("log mismatch"));
        }
        if (run_directory_fd(run) < 0) {
                conversation_fail(c, END_LOST, "its directory is missing");
                return;
        }
        if (recovering && run_row(run)->driven == 0) {
                r = run_replay(run);
                if (r < 0)
                        log_warning_errno(
                                r, "Failed to read the output of conversation %s again: %m", c->row.id);
        }
        r = run_watch(run);
        if (r < 0)
                log_warning_errno(r, "Failed to watch conversation %s: %m", c->row.id);
        (void) run_limits_restore(run);
        (void) conversation_restore_clocks(c);
        run_deny_overlong_questions(run);
        /* Reports from before the restart are not repeated. */
        c->last_phase = conversation_phase(c);
        (void) conversation_write_input(c);
        log_info(
                "Conversation %s adopted: %s %s.",
                c->row.id,
                strempty(run_row(run)->unit),
                strv_contains(units, strempty(run_row(run)->unit)) ? "runs" : "is gone");
        run_wake(run);
}

/* A live conversation has a run, even if the run's row is lost: it must be possible to end it. */
static int make_run_row(Conversation *c, RunRow *ret) {
        int k;

        c->row.run = MAX(c->row.run, 1U);
        *ret = (RunRow){
                .conversation = strdup(c->row.id),
                .run = c->row.run,
                .state = run_state_of_conversation(c->row.state),
                .unit = scope_name(SCOPE_AGENT, c->row.id, c->row.run),
                .spec = strdup("{}"),
                .out_bytes = UINT64_MAX,
        };
        (void) snprintf(ret->run_id, sizeof(ret->run_id), "%016llx", (unsigned long long) random_u64());
        if (!ret->conversation || !ret->unit || !ret->spec)
                return -ENOMEM;
        k = conversation_store_row(c);
        return k < 0 ? k : store_put_run(c->ctx->run.store, ret);
}

static int load_run(Conversation *c) {
        _cleanup_(run_row_done) RunRow row = {};
        bool made;
        int k;

        k = store_get_run(c->ctx->run.store, c->row.id, c->row.run, &row);
        made = k == 0;
        if (made)
                k = conversation_is_live(c) ? make_run_row(c, &row) : -ENOENT;
        if (k >= 0)
                k = conversation_make_run(c, &row);
        if (k < 0 || !made)
                return k;
        return run_set_failure(c->run, run_unread_text(c->row.agent));
}

/* The run has ended, which was reported with the stored reason: only the conversation's own row has another state. */
static void settle_ended(Conversation *c) {
        int r;

        conversation_row_set_state(&c->row, CONVERSATION_ENDED);
        if (c->row.reason == END_NONE)
                conversation_row_set_reason(&c->row, END_LOST);
        if (c->row.ended_usec == 0)
                c->row.ended_usec = run_row(c->run)->ended_usec;
        run_set_ended(c->run);
        r = conversation_store_row(c);
        if (r < 0)
                log_warning_errno(r, "The end of conversation %s is not stored: %m", c->row.id);
        c->ctx->hooks->ended(c, c->ctx->userdata);
}

/* Checks for a spelling whose meaning is not known: a live conversation with one cannot be resumed. True: it has ended,
 * or had. */
static bool check_spellings(Conversation *c) {
        const char *what = c->row.state == CONVERSATION_UNKNOWN ? "state" : "reason",
                   *spelling = c->row.unknown;
        _cleanup_free_ char *text = NULL;

        if (!spelling && run_row(c->run)->state == RUN_UNKNOWN) {
                what = "run's state";
                spelling = run_row(c->run)->unknown;
        }
        if (!spelling)
                return false;
        text = xasprintf("its %s is stored as \"%s\", which this program does not know", what, spelling);
        if (c->row.reason == END_UNKNOWN)
                conversation_row_set_reason(&c->row, END_LOST);
        if (conversation_is_live(c) && run_row(c->run)->state == RUN_ENDED) {
                log_error("Conversation %s had ended: %s.", c->row.id, strempty(text));
                settle_ended(c);
                return true;
        }
        log_error("Conversation %s counts as lost: %s.", c->row.id, strempty(text));
        if (conversation_is_live(c) && c->row.reason != END_NONE)
                conversation_row_set_reason(&c->row, END_NONE);
        if (conversation_is_live(c))
                conversation_fail(c, END_LOST, strempty(text));
        else if (run_row(c->run)->state == RUN_UNKNOWN)
                run_set_ended(c->run);
        return true;
}

static void restore_stop(Conversation *c) {
        int r = conversation_stop_restore(c);

        if (r < 0)
                log_warning_errno(
                        r, "Conversation %s: whether it was being stopped cannot be read: %m", c->row.id);
}

int conversation_adopt(Conversation *c, char *const *units, bool recovering, bool may_be_unheard) {
        int k;
        LOG_ABOUT_CONVERSATION(c);

        k = load_run(c);
        if (k < 0) {
                log_warning_errno(k, "Failed to read conversation %s from the store: %m", c->row.id);
                /* If the conversation has ended, the usage stored with its end is reported. */
                return conversation_is_live(c) ? k : 0;
        }
        c->n_pending = (unsigned) store_count_pending(c->ctx->run.store, c->row.id);
        if (check_spellings(c) || !conversation_is_live(c))
                return 0;
        restore_stop(c);
        if (c->row.state == CONVERSATION_STARTING) {
                _cleanup_free_ char *unit = scope_name(SCOPE_AGENT, c->row.id, c->row.run);

                /* In a scope without `started` the child waits in vain, or is gone: the run is started again. */
                if (!unit)
                        return -ENOMEM;
                k = run_open_directory(c->run);
                if (k >= 0 && run_is_started(c->run)) {
                        k = conversation_adopt_started(c, unit);
                        /* Memory is ahead of the store: the next adoption begins with the row. */
                        if (k < 0)
                                return k;
                }
        }
        if (c->row.state == CONVERSATION_LIVE)
                adopt_live(c, units, recovering);
        else if (may_be_unheard && !streq(c->row.origin, "local"))
                /* No process of it has run, and the orchestrator may not know that it is here. */
                (void) store_unheard_start(c->ctx->run.store, c->row.id, &c->held);
        /* If its scope exists by now, it is killed like every scope without a conversation. */
        if (!c->held)
                (void) conversation_refuse_start(c);
        return 0;
}
