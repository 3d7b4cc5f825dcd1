/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-control.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/limits/limits.h"
#include "runner/method/method-control.h"
#include "runner/method/method-input.h"
#include "runner/method/method-params.h"
#include "runner/run/run-limits.h"
#include "runner/run/run-orders.h"
#include "runner/runner-adopt.h"
#include "runner/runner-audit.h"
#include "runner/runner-internal.h"

/* What is done to a conversation that lives: conversation.stop, conversation.config, conversation.freeze and
 * conversation.thaw. */

void method_check_stop(MethodCall *c) {
        Conversation *v = method_find(c);
        uint64_t grace;

        if (!v)
                return;
        if (json_get_u64(c->params, "graceMs", &grace) < 0)
                method_refuse(c, RPC_INVALID_PARAMS, "graceMs is not a whole number");
        if (json_get(c->params, "reason") && !json_get_string(c->params, "reason"))
                method_refuse(c, RPC_INVALID_PARAMS, "reason is not a string");
        if (c->code != 0)
                return;
        if (!conversation_is_live(v)) {
                c->result = conversation_stopped_result(v, v->row.reason);
                return;
        }
        c->deferred = c->pending = true;
}

void method_act_stop(MethodCall *c) {
        uint64_t grace = c->runner->config->stop_grace_ms;

        if (!c->deferred)
                return;
        (void) json_get_u64(c->params, "graceMs", &grace);
        c->conversation->n_pending++;
        conversation_stop(
                c->conversation,
                &(StopOrder){
                        .cause = streq(c->origin, "local") ? STOP_BY_PERSON : STOP_BY_ORCHESTRATOR,
                        .words = json_get_string(c->params, "reason"),
                        .grace_usec = MIN(grace, STOP_GRACE_MAX_MS) * USEC_PER_MSEC,
                });
}

static AuditEntry limits_entry(MethodCall *c, Json *limits) {
        return (AuditEntry){
                .kind = "limits",
                .verdict = "asked",
                .caller = c->caller,
                .method = c->method,
                .conversation = c->conversation->row.id,
                .detail = json_text(limits),
        };
}

/* What is accepted is carried out: an order for the scope that could not even wait is refused. */
static void check_orders(MethodCall *c) {
        Conversation *v = c->conversation;

        if (c->code == 0 && v->run && !run_has_room_for_order(v->run))
                method_refuse(
                        c,
                        RPC_AT_CAPACITY,
                        "%d requests already wait for the scope of conversation %s",
                        LAUNCHER_WAITING_MAX,
                        v->row.id);
}

void method_check_config(MethodCall *c) {
        if (!method_find_live(c) || !method_has_room(c))
                return;
        method_check_types(c);
        method_check_policy(c);
        if (c->code == 0 && json_get(c->params, "limits") && c->conversation->row.state != CONVERSATION_LIVE)
                method_refuse(
                        c, RPC_WRONG_STATE, "conversation %s has no scope yet", c->conversation->row.id);
        if (json_get(c->params, "limits"))
                check_orders(c);
        if (c->code != 0)
                return;
        method_accepted(c);
        c->pending = json_get(c->params, "model") || json_get(c->params, "permissionMode");
}

/* What was asked for last is asked for again when the conversation is resumed. */
int method_store_config(MethodCall *c) {
        Json *limits = json_get(c->params, "limits"), *all = json_get(c->conversation->params, "limits");
        _cleanup_json_ Json *params = NULL;
        Conversation *v = c->conversation;
        AuditEntry e;
        int r;

        if (!limits)
                return 0;
        e = limits_entry(c, limits);
        r = audit_store(c->runner->store, &e);
        if (r < 0)
                return r;
        if (!all) {
                all = json_object_new_object();
                r = json_set(v->params, "limits", all);
                if (r < 0)
                        return r;
        }
        json_object_object_foreach(limits, name, value) {
                r = json_set(all, name, json_object_get(value));
                if (r < 0)
                        return r;
        }
        r = conversation_all_params(v, &params);
        if (r >= 0)
                r = json_set(params, "limits", json_object_get(all));
        if (r >= 0)
                r = free_and_strdup(&v->row.params, json_text(params));
        if (r >= 0)
                r = conversation_store_row(v);
        return r < 0 || !v->run ? r : run_limits_ask(v->run, limits);
}

void method_act_config(MethodCall *c) {
        _cleanup_free_ char *error = NULL;
        Json *limits = json_get(c->params, "limits");
        Limits parsed;

        if (c->code != 0)
                return;
        method_act_pump(c);
        if (limits && limits_parse(limits, NULL, &parsed, &error) >= 0) {
                AuditEntry e = limits_entry(c, limits);

                audit_log(&e);
                conversation_order(c->conversation, LAUNCHER_SET_LIMITS, parsed.list, parsed.n);
        }
}

void method_check_freeze(MethodCall *c) {
        Conversation *v = method_find_live(c);

        if (v && v->row.state != CONVERSATION_LIVE)
                method_refuse(c, RPC_WRONG_STATE, "conversation %s is not running yet", v->row.id);
        else if (v && conversation_is_stopping(v))
                method_refuse(c, RPC_WRONG_STATE, "conversation %s is being stopped", v->row.id);
        if (v)
                check_orders(c);
        if (c->code == 0)
                method_accepted(c);
}

void method_act_freeze(MethodCall *c) {
        if (c->code == 0)
                conversation_order(
                        c->conversation,
                        streq(c->method, "conversation.freeze") ? LAUNCHER_FREEZE : LAUNCHER_THAW,
                        NULL,
                        0);
}
