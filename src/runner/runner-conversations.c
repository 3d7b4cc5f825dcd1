/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <stdio.h>

#include "common/log.h"
#include "runner/conversation/conversation-adopt.h"
#include "runner/runner-internal.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"

/* The list of conversations: hooks, adoption after a restart, housekeeping. */

#define FLUSH_USEC (250 * USEC_PER_MSEC)
#define READOPT_USEC (1 * USEC_PER_SEC)

Conversation *runner_next_conversation(Runner *r, Conversation *after) {
        return registry_next(r->conversations, after);
}

void runner_link_conversation(Runner *r, Conversation *c) {
        registry_add(r->conversations, c);
        if (conversation_send_open(c) < 0)
                log_oom();
        announcer_conversation_added(r->announcer, c);
        announcer_changed(r->announcer);
}

void runner_unlink_conversation(Runner *r, Conversation *c) {
        announcer_conversation_removed(r->announcer, c);
        totals_count(r->totals, c);
        registry_remove(r->conversations, c);
        conversation_free(c);
}

/* Keeps the newest that ended and drops the rest from memory; those with events to send stay. Never where somebody who called
 * has a conversation in his hands. */
static void forget_old(Runner *r) {
        for (Conversation *c = registry_next(r->conversations, NULL), *next;
             c && registry_count_ended(r->conversations) > ENDED_KEPT_MAX;
             c = next) {
                next = registry_next(r->conversations, c);
                if (!conversation_is_live(c) && c->row.delivered && !c->streams)
                        runner_unlink_conversation(r, c);
        }
}

/* ---- hooks ---- */

static void arm_flush(Runner *r) {
        int enabled = SD_EVENT_OFF;

        if (!r->flush_timer || sd_event_source_get_enabled(r->flush_timer, &enabled) != 0)
                return;
        (void) sd_event_source_set_time_relative(r->flush_timer, FLUSH_USEC);
        (void) sd_event_source_set_enabled(r->flush_timer, SD_EVENT_ONESHOT);
}

static void on_changed(Conversation *c, void *userdata) {
        Runner *r = userdata;

        announcer_conversation_changed(r->announcer, c);
        announcer_changed(r->announcer);
        runner_drain_look(r);
        arm_flush(r);
}

static void on_events(Conversation *c, void *userdata) {
        Runner *r = userdata;

        announcer_events_available(r->announcer, c);
        runner_drain_look(r);
        arm_flush(r);
}

static void on_responded(Conversation *c, int64_t seq, const char *reason, void *userdata) {
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
        /* Whoever ended it goes on with it, and may walk through the list: that is tidied by the timer. */
        if (c->row.delivered)
                arm_flush(r);
}

static void on_acked(Conversation *c, void *userdata) {
        arm_flush(userdata);
}

static void on_delivered(Conversation *c, void *userdata) {
        announcer_changed(((Runner *) userdata)->announcer);
        runner_drain_look(userdata);
        /* The source that tells us so is on the stack: the list is tidied by the timer. */
        arm_flush(userdata);
}

static int on_readopt(sd_event_source *source, uint64_t usec, void *userdata) {
        Runner *r = userdata;
        int k;

        runner_forget_all(r);
        r->ctx.run.broken = false;
        k = runner_adopt(r);
        if (k < 0) {
                log_warning_errno(k, "The store cannot be read yet, trying again: %m");
                r->ctx.run.broken = true;
                (void) sd_event_source_set_time_relative(r->readopt_timer, 5 * READOPT_USEC);
                (void) sd_event_source_set_enabled(r->readopt_timer, SD_EVENT_ONESHOT);
                return 0;
        }
        runner_begin_all(r);
        if (r->link)
                link_confirm(r->link);
        return 0;
}

static void on_store_failed(int error, void *userdata) {
        Runner *r = userdata;

        if (r->ctx.run.broken)
                return;
        if (error == -EUCLEAN) {
                /* It is looked at as a whole at the next start, and made anew if need be. */
                log_error("The store is damaged; starting again.");
                (void) store_suspect(r->store);
                r->ctx.run.broken = true;
                r->exit_code = EXIT_START_AGAIN;
                (void) sd_event_exit(r->event, r->exit_code);
                return;
        }
        log_error_errno(error, "The store cannot be written; nothing goes on until it can be: %m");
        r->ctx.run.broken = true;
        runner_disk_look(r);
        int k = r->readopt_timer ? sd_event_source_set_time_relative(r->readopt_timer, READOPT_USEC) :
                                   sd_event_add_time_relative(
                                                   r->event,
                                                   &r->readopt_timer,
                                                   CLOCK_MONOTONIC,
                                                   READOPT_USEC,
                                                   1,
                                                   on_readopt,
                                                   r);
        if (k >= 0)
                k = sd_event_source_set_enabled(r->readopt_timer, SD_EVENT_ONESHOT);
        if (k < 0)
                (void) sd_event_exit(r->event, EXIT_FAILURE);
        announcer_changed(r->announcer);
}

static void on_no_room(void *userdata) {
        runner_disk_wait(userdata);
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

void runner_flush_cursors(Runner *r) {
        int k;

        if (r->ctx.run.broken)
                return;
        k = store_begin(r->store);
        if (k >= 0) {
                for (Conversation *c = registry_next(r->conversations, NULL); c && k >= 0;
                     c = registry_next(r->conversations, c))
                        k = conversation_flush(c);
                if (k < 0)
                        store_rollback(r->store);
                else
                        k = store_commit(r->store);
                for (Conversation *c = registry_next(r->conversations, NULL); c && k < 0;
                     c = registry_next(r->conversations, c))
                        conversation_flush_undone(c);
        }
        if (k < 0 && k != -EUCLEAN)
                log_warning_errno(k, "Cursors could not be stored, some events may be sent again: %m");
        forget_old(r);
        /* What was acknowledged may have been all that a drain waited for. */
        runner_drain_look(r);
        /* What could not be read for a batch, which no timer of its own tries again. */
        control_wake(r->control);
        resend_wake(r->resend);
}

void runner_forget_all(Runner *r) {
        for (Conversation *c; (c = registry_next(r->conversations, NULL));)
                runner_unlink_conversation(r, c);
}

/* ---- adoption ---- */

/* Names only: rows have what was asked of the agent, and there may be many. */
static int collect(const ConversationRow *row, void *userdata) {
        char ***ids = userdata;

        return strv_extend(ids, row->id);
}

static int pending_stop(const InboundMessage *m, void *userdata) {
        uint64_t *grace = userdata;
        _cleanup_json_ Json *params = NULL;

        if (!streq(m->method, "conversation.stop"))
                return 0;
        if (m->params && json_parse_from(JSON_OF_STORE, m->params, strlen(m->params), &params, NULL) >= 0)
                (void) json_get_u64(params, "graceMs", grace);
        return 1;
}

/* 1, or 0 where the store has none of that name. */
static int load(Runner *r, const char *id, char *const *units, Conversation **ret) {
        ConversationRow row = {};
        Conversation *c;
        int k;

        k = store_get_conversation(r->store, id, &row);
        if (k <= 0)
                return k;
        k = conversation_new(&r->ctx, &row, &c);
        if (k < 0)
                return k;
        runner_link_conversation(r, c);
        k = conversation_adopt(c, units, r->recovering, r->link);
        if (k < 0) {
                runner_unlink_conversation(r, c);
                return k;
        }
        totals_skip(c);
        conversation_rest(c);
        if (ret)
                *ret = c;
        return 1;
}

/* Of those that ended only the newest are in memory; the store knows all that were not removed as old. */
Conversation *runner_find_conversation(Runner *r, const char *id) {
        Conversation *c = registry_find(r->conversations, id);
        int k;

        if (c || r->ctx.run.broken)
                return c;
        k = load(r, id, NULL, &c);
        if (k < 0)
                log_warning_errno(k, "Conversation %s cannot be read from the store: %m", id);
        /* Another one leaves for it, but not before whoever asks is done. */
        if (c)
                arm_flush(r);
        return c;
}

static bool is_wanted(Runner *r, const char *unit) {
        if (!startswith(unit, "northflare-conversation-"))
                return false; /* a git or hook job of the runner before us: it is done anew */
        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c))
                if (!conversation_is_live(c))
                        continue;
                else if (c->run && streq_ptr(c->run->row.unit, unit))
                        return true;
                else if (c->run && streq(c->row.state, "starting")) {
                        _cleanup_free_ char *its = xasprintf(
                                        "northflare-conversation-%s-%u.scope", c->row.id, c->row.run);
                        if (streq_ptr(its, unit))
                                return true;
                }
        return false;
}

static void
on_orphan_killed(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        if (error < 0)
                log_warning_errno(
                                error,
                                "A scope that belongs to nobody could not be killed: %s",
                                strempty(text));
}

static void
on_orphan_collected(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        if (error < 0)
                log_debug_errno(error,
                                "A scope that belongs to nobody could not be collected: %s",
                                strempty(text));
}

static void kill_orphans(Runner *r, char *const *units) {
        STRV_FOREACH(u, units) {
                if (is_wanted(r, *u))
                        continue;
                log_notice("%s belongs to no conversation of this store and is killed.", *u);
                (void) launcher_unit_verb(r->bus, "Kill", *u, on_orphan_killed, r, NULL);
                /* One that is empty has nothing to kill; one that has failed keeps its name. */
                (void) launcher_unit_verb(r->bus, "Stop", *u, on_orphan_collected, r, NULL);
                (void) launcher_unit_verb(r->bus, "Collect", *u, on_orphan_collected, r, NULL);
        }
}

int runner_adopt(Runner *r) {
        _cleanup_strv_free_ char **units = NULL, **ended = NULL, **others = NULL;
        int k;

        /* Scopes first, rows and outcomes second: the other way round an end between the two looks like a loss. */
        k = units_list(r->ctx.run.units, &units);
        if (k < 0)
                return log_error_errno(k, "systemd does not tell its scopes: %m");
        k = runner_recover(r, units);
        if (k >= 0)
                k = store_list_ended(r->store, ENDED_KEPT_MAX, collect, &ended);
        if (k >= 0)
                k = store_list_conversations(r->store, true, collect, &others);
        /* The newest of those that have ended is the first. */
        for (size_t i = strv_length(ended); i > 0 && k >= 0; i--)
                k = load(r, ended[i - 1], units, NULL);
        for (char **id = others; id && *id && k >= 0; id++)
                k = load(r, *id, units, NULL);
        if (k < 0)
                return k;
        /* What was read of those that have ended lay among what stays of them. */
        (void) malloc_trim(0);
        kill_orphans(r, units);
        runner_recovered(r);
        return 0;
}

void runner_begin_all(Runner *r) {
        uint64_t grace;

        for (Conversation *c = registry_next(r->conversations, NULL), *next; c; c = next) {
                next = registry_next(r->conversations, c);
                if (!conversation_is_live(c) || !c->run)
                        continue;
                grace = r->config->stop_grace_ms;
                if (c->n_pending > 0 &&
                    store_pending_inbound(r->store, c->row.id, pending_stop, &grace) > 0) {
                        conversation_stop(c, NULL, grace * USEC_PER_MSEC);
                        continue;
                }
                conversation_advance(c);
                conversation_pump_input(c);
        }
}

void runner_unit_changed(const char *unit, void *userdata) {
        Runner *r = userdata;

        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c))
                if (c->run && streq_ptr(c->run->row.unit, unit)) {
                        run_look(c->run);
                        run_limits_look(c->run);
                        return;
                }
}
