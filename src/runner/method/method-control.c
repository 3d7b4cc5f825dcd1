/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/limits/limits.h"
#include "runner/method/method-control.h"
#include "runner/method/method-input.h"
#include "runner/method/method-params.h"
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
                method_refuse(c, CODE_INVALID_PARAMS, "graceMs is not a whole number");
        if (json_get(c->params, "reason") && !json_get_string(c->params, "reason"))
                method_refuse(c, CODE_INVALID_PARAMS, "reason is not a string");
        if (c->code != 0)
                return;
        if (!conversation_is_live(v)) {
                c->result = json_object_new_object();
                (void) json_set_string(c->result, "conversationId", v->row.id);
                (void) json_set_bool(c->result, "stopped", true);
                (void) json_set_string(c->result, "reason", v->row.reason);
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
                        json_get_string(c->params, "reason"),
                        MIN(grace, (uint64_t) 3600000) * USEC_PER_MSEC);
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

void method_check_config(MethodCall *c) {
        if (!method_find_live(c) || !method_has_room(c))
                return;
        method_check_types(c);
        method_check_policy(c);
        if (c->code == 0 && json_get(c->params, "limits") && !streq(c->conversation->row.state, "live"))
                method_refuse(c,
                              CODE_WRONG_STATE,
                              "conversation %s has no scope yet",
                              c->conversation->row.id);
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

typedef struct VerbCall {
        LauncherCall *call;
        Runner *runner;
        char *id;
        const char *verb;
} VerbCall;

static void on_verb(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        VerbCall *v = userdata;
        Conversation *c = runner_find_conversation(v->runner, v->id);

        if (error < 0)
                log_warning_errno(error, "%s of conversation %s: %s", v->verb, v->id, strempty(text));
        if (c && conversation_is_live(c)) {
                if (error < 0) {
                        _cleanup_free_ char *what = xasprintf("%s failed: %s", v->verb, strempty(text));
                        (void) conversation_report(c, "control-failed", strempty(what), NULL);
                } else if (streq(v->verb, "Freeze") || streq(v->verb, "Thaw"))
                        conversation_set_frozen(c, streq(v->verb, "Freeze"));
                else if (streq(v->verb, "SetLimits") && c->run)
                        run_limits_set(c->run);
        }
        launcher_call_free(v->call);
        free(v->id);
        free(v);
}

static void launcher_verb(MethodCall *c, const char *verb, const Limits *limits) {
        VerbCall *v = new0(VerbCall, 1);
        const char *unit = conversation_scope(c->conversation);
        int r;

        if (!v)
                return;
        *v = (VerbCall){ .runner = c->runner, .id = strdup(c->conversation->row.id), .verb = verb };
        r = !v->id ? -ENOMEM :
                        limits ?
                     launcher_set_limits(
                                     c->runner->ctx->run.bus,
                                     unit,
                                     limits->list,
                                     limits->n,
                                     on_verb,
                                     v,
                                     &v->call) :
                     launcher_unit_verb(c->runner->ctx->run.bus, verb, unit, on_verb, v, &v->call);
        if (r < 0) {
                log_warning_errno(r, "%s of conversation %s: %m", verb, c->conversation->row.id);
                free(v->id);
                free(v);
        }
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
                launcher_verb(c, "SetLimits", &parsed);
        }
}

void method_check_freeze(MethodCall *c) {
        Conversation *v = method_find_live(c);

        if (v && !streq(v->row.state, "live"))
                method_refuse(c, CODE_WRONG_STATE, "conversation %s does not run yet", v->row.id);
        else if (v && v->stop != STOP_NONE)
                method_refuse(c, CODE_WRONG_STATE, "conversation %s is being stopped", v->row.id);
        if (c->code == 0)
                method_accepted(c);
}

void method_act_freeze(MethodCall *c) {
        if (c->code == 0)
                launcher_verb(c, streq(c->method, "conversation.freeze") ? "Freeze" : "Thaw", NULL);
}
