/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <stdio.h>

#include "common/log.h"
#include "common/scope-name.h"
#include "runner/conversation/conversation-adopt.h"
#include "runner/conversation/conversation-input.h"
#include "runner/conversation/conversation-life.h"
#include "runner/conversation/conversation-start.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/runner-adopt.h"
#include "runner/runner-conversations.h"
#include "runner/runner-internal.h"

/* Names only: rows have what was asked of the agent, and there may be many. */
static int collect(const ConversationRow *row, void *userdata) {
        char ***ids = userdata;

        return strv_extend(ids, row->id);
}

typedef struct PendingStop {
        StopCause cause;
        uint64_t grace_ms;
        char *words;
} PendingStop;

/* An orchestrator chooses the ids of its messages. */
static bool is_local(const InboundMessage *m) {
        const char *digits = startswith(m->envelope_id, LOCAL_MESSAGE_PREFIX);

        return digits && !m->request_id && strlen(digits) == LOCAL_MESSAGE_DIGITS &&
                strspn(digits, "0123456789abcdef") == LOCAL_MESSAGE_DIGITS;
}

static int pending_stop(const InboundMessage *m, void *userdata) {
        PendingStop *stop = userdata;
        _cleanup_json_ Json *params = NULL;
        const char *words;

        if (!streq(m->method, "conversation.stop"))
                return 0;
        stop->cause = is_local(m) ? STOP_BY_PERSON : STOP_BY_ORCHESTRATOR;
        if (m->params && json_parse_from(JSON_OF_STORE, m->params, strlen(m->params), &params, NULL) >= 0)
                (void) json_get_u64(params, "graceMs", &stop->grace_ms);
        words = json_get_string(params, "reason");
        if (words)
                stop->words = strdup(words);
        return 1;
}

/* What was ordered and accepted, and not begun or not carried through. */
static bool resume_stop(Runner *r, Conversation *c) {
        PendingStop stop = { .grace_ms = r->config->stop_grace_ms };

        if (conversation_is_stopping(c)) {
                conversation_stop_resume(c);
                return true;
        }
        if (c->n_pending == 0 || store_pending_inbound(r->store, c->row.id, pending_stop, &stop) <= 0)
                return false;
        conversation_stop(
                c,
                &(StopOrder){
                        .cause = stop.cause,
                        .words = stop.words,
                        .grace_usec = MIN(stop.grace_ms, STOP_GRACE_MAX_MS) * USEC_PER_MSEC,
                });
        free(stop.words);
        return true;
}

/* 1, or 0 where the store has none of that name. */
static int load(Runner *r, const char *id, char *const *units, Conversation **ret) {
        ConversationRow row = {};
        Conversation *c;
        int k;
        LOG_ABOUT(.conversation = id);

        k = store_get_conversation(r->store, id, &row);
        if (k <= 0)
                return k;
        k = conversation_new(r->ctx, &row, &c);
        if (k < 0)
                return k;
        runner_add_conversation(r, c);
        k = conversation_adopt(c, units, recovery_is_active(r->recovery), r->link);
        if (k < 0) {
                runner_remove_conversation(r, c);
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
        LOG_ABOUT(.conversation = id);

        if (c || r->ctx->run.broken)
                return c;
        k = load(r, id, NULL, &c);
        if (k < 0)
                log_warning_errno(k, "Failed to read conversation %s from the store: %m", id);
        /* Another one leaves for it, but not before the caller is done. */
        if (c)
                housekeeping_arm(r->housekeeping);
        return c;
}

static bool is_wanted(Runner *r, const char *unit) {
        ScopeName name;

        if (!scope_name_parse(unit, &name) || name.kind != SCOPE_AGENT)
                return false; /* a git or hook job of the runner before us: it is done again */
        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c))
                if (!conversation_is_live(c))
                        continue;
                else if (c->run && streq_ptr(run_row(c->run)->unit, unit))
                        return true;
                else if (
                        c->run && c->row.state == CONVERSATION_STARTING && streq(c->row.id, name.id) &&
                        c->row.run == name.run)
                        return true;
        return false;
}

static void on_orphan(LauncherVerb verb, int error, const char *text, void *userdata) {
        if (error < 0)
                log_full(
                        verb == LAUNCHER_KILL ? LOG_WARNING : LOG_DEBUG,
                        error,
                        NULL,
                        "Failed to %s a scope that belongs to no conversation: %s",
                        verb == LAUNCHER_KILL ? "kill" : "collect",
                        text ? text : strerrordesc_np(-error));
}

static void kill_orphans(Runner *r, char *const *units) {
        STRV_FOREACH(u, units) {
                if (is_wanted(r, *u))
                        continue;
                log_notice("%s belongs to no conversation of this store and is killed.", *u);
                (void) launcher_order(r->ctx->run.launcher, *u, LAUNCHER_KILL, NULL, 0, on_orphan, r);
                /* One that is empty has nothing to kill; one that has failed keeps its name. */
                (void) launcher_order(r->ctx->run.launcher, *u, LAUNCHER_STOP, NULL, 0, on_orphan, r);
                (void) launcher_order(r->ctx->run.launcher, *u, LAUNCHER_COLLECT, NULL, 0, on_orphan, r);
        }
}

int runner_list_scopes(Runner *r, char ***ret) {
        int k = units_list(r->ctx->run.units, ret);

        return k < 0 ? log_error_errno(k, "Failed to list the scopes of systemd: %m") : 0;
}

int runner_adopt(Runner *r, char *const *scopes) {
        _cleanup_strv_free_ char **ended = NULL, **others = NULL;
        int k;

        k = recovery_make_rows(r->recovery, scopes);
        if (k >= 0)
                k = store_list_ended(r->store, ENDED_KEPT_MAX, collect, &ended);
        if (k >= 0)
                k = store_list_conversations(r->store, true, collect, &others);
        /* The newest of those that have ended is the first. */
        for (size_t i = strv_length(ended); i > 0 && k >= 0; i--)
                k = load(r, ended[i - 1], scopes, NULL);
        for (char **id = others; id && *id && k >= 0; id++)
                k = load(r, *id, scopes, NULL);
        if (k < 0)
                return k;
        /* What was read of those that have ended lay among what stays of them. */
        (void) malloc_trim(0);
        kill_orphans(r, scopes);
        recovery_done(r->recovery);
        return 0;
}

void runner_begin_all(Runner *r) {
        for (Conversation *c = registry_next(r->conversations, NULL), *next; c; c = next) {
                next = registry_next(r->conversations, c);
                if (!conversation_is_live(c) || !c->run)
                        continue;
                if (resume_stop(r, c) || shutdown_stop_late(r->shutdown, c) || drain_stop_late(r->drain, c))
                        continue;
                conversation_advance(c);
                conversation_pump_input(c);
        }
}
