/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/run/run-limits.h"
#include "runner/run/run-state.h"
#include "runner/runner-adopt.h"
#include "runner/runner-audit.h"
#include "runner/runner-conversations.h"
#include "runner/runner-hooks.h"
#include "runner/runner-internal.h"

/* The unit has RestartForceExitStatus= for it. */
#define EXIT_START_AGAIN 75
#define READOPT_USEC (1 * USEC_PER_SEC)

static void on_changed(Conversation *c, void *userdata) {
        Runner *r = userdata;

        announcer_conversation_changed(r->announcer, c);
        announcer_changed(r->announcer);
        drain_check(r->drain);
        housekeeping_arm(r->housekeeping);
}

static void on_events(Conversation *c, void *userdata) {
        Runner *r = userdata;

        announcer_events_available(r->announcer, c);
        drain_check(r->drain);
        housekeeping_arm(r->housekeeping);
}

static void on_responded(Conversation *c, int64_t seq, EndReason reason, void *userdata) {
        Runner *r = userdata;

        if (r->methods)
                r->methods->responded(c, seq, reason, r->methods_data);
        control_wake(r->control);
}

static void on_ended(Conversation *c, void *userdata) {
        Runner *r = userdata;

        registry_count_end(r->conversations);
        totals_ended(r->totals, c);
        announcer_changed(r->announcer);
        /* The caller that ended it still uses it, and may iterate over the list: the timer removes it. */
        if (c->row.delivered)
                housekeeping_arm(r->housekeeping);
}

static void on_acked(Conversation *c, void *userdata) {
        Runner *r = userdata;

        housekeeping_arm(r->housekeeping);
}

static void on_delivered(Conversation *c, void *userdata) {
        Runner *r = userdata;

        announcer_changed(r->announcer);
        drain_check(r->drain);
        /* The source that reports this is on the stack: the timer removes it from the list. */
        housekeeping_arm(r->housekeeping);
}

static int on_readopt(sd_event_source *source, uint64_t usec, void *userdata) {
        _cleanup_strv_free_ char **scopes = NULL;
        Runner *r = userdata;
        int k;

        runner_forget_all(r);
        r->ctx->run.broken = false;
        k = runner_list_scopes(r, &scopes);
        if (k >= 0)
                k = runner_adopt(r, scopes);
        if (k < 0) {
                log_warning_errno(k, "Failed to read the store, retrying: %m");
                r->ctx->run.broken = true;
                oneshot_arm(r->readopt_timer, 5 * READOPT_USEC);
                return 0;
        }
        runner_begin_all(r);
        if (!r->link)
                return 0;
        /* At the start of the program it waits for the adoption. */
        k = link_start(r->link);
        if (k < 0)
                (void) sd_event_exit(r->event, EXIT_FAILURE);
        link_confirm(r->link);
        return 0;
}

void runner_store_failed(Runner *r, int error) {
        if (r->ctx->run.broken)
                return;
        if (error == -EUCLEAN) {
                /* The next start checks all of it, and creates it again if necessary. */
                log_error("The store is damaged; restarting.");
                (void) store_suspect(r->store);
                r->ctx->run.broken = true;
                r->exit_code = EXIT_START_AGAIN;
                (void) sd_event_exit(r->event, r->exit_code);
                return;
        }
        log_error_errno(error, "Failed to write the store; conversations wait until it can be written: %m");
        r->ctx->run.broken = true;
        disk_check(r->disk);
        if (oneshot_start(&r->readopt_timer, r->event, READOPT_USEC, on_readopt, r) < 0)
                (void) sd_event_exit(r->event, EXIT_FAILURE);
        announcer_changed(r->announcer);
}

static void on_store_failed(int error, void *userdata) {
        runner_store_failed(userdata, error);
}

static void on_no_room(void *userdata) {
        disk_wait(((Runner *) userdata)->disk);
}

static AuditEntry expired_entry(Conversation *c, const char *request_id) {
        return (AuditEntry){
                .kind = "permission",
                .verdict = "expired",
                .conversation = c->row.id,
                .detail = request_id,
        };
}

static int on_question_expiring(Conversation *c, const char *request_id, void *userdata) {
        AuditEntry e = expired_entry(c, request_id);

        return audit_store(((Runner *) userdata)->store, &e);
}

static void on_question_expired(Conversation *c, const char *request_id, void *userdata) {
        AuditEntry e = expired_entry(c, request_id);

        audit_log(&e);
}

const ConversationHooks runner_conversation_hooks = {
        .changed = on_changed,
        .events_available = on_events,
        .responded = on_responded,
        .ended = on_ended,
        .acked = on_acked,
        .delivered = on_delivered,
        .store_failed = on_store_failed,
        .no_room = on_no_room,
        .question_expiring = on_question_expiring,
        .question_expired = on_question_expired,
};

void runner_unit_changed(const char *unit, void *userdata) {
        Runner *r = userdata;

        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c))
                if (c->run && streq_ptr(run_row(c->run)->unit, unit)) {
                        LOG_ABOUT_CONVERSATION(c);
                        run_wake(c->run);
                        run_limits_check(c->run);
                        return;
                }
}
