/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "common/ident.h"
#include "common/log.h"
#include "runner/limits/limits.h"
#include "runner/method/method-internal.h"

/* The methods of the protocol, for the wire and for D-Bus alike. A method's check looks and touches nothing; what it finds
 * decides the response; then message, response, cursor and rows go into the store in one transaction; only then does the
 * method act. */

typedef struct Method {
        const char *name;
        void (*check)(MethodCall *c);
        int (*store)(MethodCall *c); /* more rows of the same transaction */
        void (*act)(MethodCall *c);
} Method;

void method_refuse(MethodCall *c, int code, const char *format, ...) {
        va_list ap;

        if (c->code != 0)
                return;
        c->code = code;
        va_start(ap, format);
        if (vasprintf(&c->text, format, ap) < 0)
                c->text = NULL;
        va_end(ap);
}

void method_call_done(MethodCall *c) {
        if (c->result)
                json_object_put(c->result);
        free(c->text);
        conversation_free(c->created);
        c->created = NULL;
}

Json *method_error(MethodCall *c) {
        Json *e = json_object_new_object(), *data = json_object_new_object();
        const char *id = json_get_string(c->params, "conversationId");

        if (!e || !data)
                return e;
        (void) json_set(e, "code", json_object_new_int(c->code));
        (void) json_set_string(e, "message", strempty(c->text));
        if (id && strlen(id) <= 256)
                (void) json_set_string(data, "conversationId", id);
        (void) json_set_string(data, "reason", c->reason);
        (void) json_set(e, "data", data);
        return e;
}

static void method_accepted(MethodCall *c) {
        c->result = json_object_new_object();
        (void) json_set_bool(c->result, "accepted", true);
}

/* The id of that name; NULL after a refusal, or where it is missing and may be. */
const char *method_id_param(MethodCall *c, const char *name, bool required) {
        Json *v = json_get(c->params, name);
        const char *s;

        if (!v) {
                if (required)
                        method_refuse(c, CODE_INVALID_PARAMS, "%s is missing", name);
                return NULL;
        }
        s = json_get_string(c->params, name);
        if (!s || !ident_is_valid(s)) {
                method_refuse(c,
                              CODE_INVALID_PARAMS,
                              "%s \"%.*s\" is not an id: a letter or digit, then up to 63 letters, digits, _, . or -, no \"..\"",
                              name,
                              utf8_cut(json_object_get_string(v), 100),
                              json_object_get_string(v));
                return NULL;
        }
        return s;
}

static Conversation *find(MethodCall *c) {
        const char *id = method_id_param(c, "conversationId", true);

        if (!id)
                return NULL;
        c->conversation = runner_find_conversation(c->runner, id);
        if (!c->conversation)
                method_refuse(c, CODE_UNKNOWN_CONVERSATION, "conversation %s is not known here", id);
        return c->conversation;
}

static Conversation *find_live(MethodCall *c) {
        Conversation *v = find(c);

        if (v && !conversation_is_live(v)) {
                method_refuse(c,
                              CODE_WRONG_STATE,
                              "conversation %s has ended (%s)",
                              v->row.id,
                              strempty(v->row.reason));
                return NULL;
        }
        return v;
}

static void check_stop(MethodCall *c) {
        Conversation *v = find(c);
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

static void act_stop(MethodCall *c) {
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

static bool has_room_for_message(MethodCall *c) {
        if (c->conversation->n_pending < PENDING_MESSAGES_MAX)
                return true;
        method_refuse(c,
                      CODE_CAPACITY,
                      "%u messages wait for conversation %s already",
                      c->conversation->n_pending,
                      c->conversation->row.id);
        return false;
}

static void check_user(MethodCall *c) {
        Json *content = json_get(c->params, "content");

        if (!find_live(c) || !has_room_for_message(c))
                return;
        if (!json_object_is_type(content, json_type_string) &&
            !json_object_is_type(content, json_type_array)) {
                method_refuse(c,
                              CODE_INVALID_PARAMS,
                              "content is neither text nor a list of content blocks");
                return;
        }
        method_accepted(c);
        c->pending = true;
}

static void check_interrupt(MethodCall *c) {
        if (!find_live(c) || !has_room_for_message(c))
                return;
        method_accepted(c);
        c->pending = true;
}

static void act_pump(MethodCall *c) {
        if (!c->pending)
                return;
        c->conversation->n_pending++;
        conversation_pump_input(c->conversation);
}

static void check_respond(MethodCall *c) {
        const char *id = json_get_string(c->params, "requestId"),
                   *behavior = json_get_string(c->params, "behavior");

        if (!find_live(c) || !has_room_for_message(c))
                return;
        if (!id)
                method_refuse(c, CODE_INVALID_PARAMS, "requestId is missing");
        else if (!behavior || (!streq(behavior, "allow") && !streq(behavior, "deny")))
                method_refuse(c, CODE_INVALID_PARAMS, "behavior is neither \"allow\" nor \"deny\"");
        else if (!conversation_has_question(c->conversation, id))
                method_refuse(c,
                              CODE_WRONG_STATE,
                              "conversation %s has no open question %.*s",
                              c->conversation->row.id,
                              utf8_cut(id, 64),
                              id);
        if (c->code != 0)
                return;
        method_accepted(c);
        c->pending = true;
}

static AuditEntry answer_entry(MethodCall *c) {
        return (AuditEntry){
                .kind = "permission",
                .verdict = json_get_string(c->params, "behavior"),
                .caller = c->caller,
                .method = c->method,
                .conversation = c->conversation->row.id,
                .detail = json_get_string(c->params, "requestId"),
        };
}

static int store_respond(MethodCall *c) {
        AuditEntry e = answer_entry(c);

        return runner_audit_store(c->runner, &e);
}

static void act_respond(MethodCall *c) {
        AuditEntry e;

        if (!c->pending)
                return;
        e = answer_entry(c);
        runner_audit_log(&e);
        act_pump(c);
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

static void check_config(MethodCall *c) {
        if (!find_live(c) || !has_room_for_message(c))
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
static int store_config(MethodCall *c) {
        Json *limits = json_get(c->params, "limits"), *all = json_get(c->conversation->params, "limits");
        _cleanup_json_ Json *params = NULL;
        Conversation *v = c->conversation;
        AuditEntry e;
        int r;

        if (!limits)
                return 0;
        e = limits_entry(c, limits);
        r = runner_audit_store(c->runner, &e);
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
                                     c->runner->bus, unit, limits->list, limits->n, on_verb, v, &v->call) :
                     launcher_unit_verb(c->runner->bus, verb, unit, on_verb, v, &v->call);
        if (r < 0) {
                log_warning_errno(r, "%s of conversation %s: %m", verb, c->conversation->row.id);
                free(v->id);
                free(v);
        }
}

static void act_config(MethodCall *c) {
        _cleanup_free_ char *error = NULL;
        Json *limits = json_get(c->params, "limits");
        Limits parsed;

        if (c->code != 0)
                return;
        act_pump(c);
        if (limits && limits_parse(limits, NULL, &parsed, &error) >= 0) {
                AuditEntry e = limits_entry(c, limits);

                runner_audit_log(&e);
                launcher_verb(c, "SetLimits", &parsed);
        }
}

static void check_freeze(MethodCall *c) {
        Conversation *v = find_live(c);

        if (v && !streq(v->row.state, "live"))
                method_refuse(c, CODE_WRONG_STATE, "conversation %s does not run yet", v->row.id);
        else if (v && v->stop != STOP_NONE)
                method_refuse(c, CODE_WRONG_STATE, "conversation %s is being stopped", v->row.id);
        if (c->code == 0)
                method_accepted(c);
}

static void act_freeze(MethodCall *c) {
        if (c->code == 0)
                launcher_verb(c, streq(c->method, "conversation.freeze") ? "Freeze" : "Thaw", NULL);
}

static void check_ping(MethodCall *c) {
        c->result = json_object_new_object();
        (void) json_set_bool(c->result, "pong", true);
}

static void check_drain(MethodCall *c) {
        uint64_t deadline;

        if (json_get_u64(c->params, "deadlineSecs", &deadline) < 0) {
                method_refuse(c, CODE_INVALID_PARAMS, "deadlineSecs is not a whole number");
                return;
        }
        method_accepted(c);
}

static uint64_t drain_deadline(MethodCall *c) {
        uint64_t secs;

        return json_get_u64(c->params, "deadlineSecs", &secs) > 0 ?
                        MIN(secs, (uint64_t) UINT32_MAX) * USEC_PER_SEC :
                        USEC_INFINITY;
}

static int store_drain(MethodCall *c) {
        return runner_store_draining(c->runner, streq(c->method, "runner.drain"), drain_deadline(c));
}

static void act_drain(MethodCall *c) {
        bool draining = streq(c->method, "runner.drain");

        log_notice("%s.",
                   draining ? "Draining: nothing new is taken, what is idle is ended" :
                              "Conversations are taken again");
        runner_set_draining(c->runner, draining, drain_deadline(c));
        if (c->runner->link)
                link_heartbeat(c->runner->link);
}

static const Method methods[] = {
        {"conversation.start",      method_check_start,  method_store_start,  method_act_start },
        { "conversation.resume",    method_check_resume, method_store_resume, method_act_resume},
        { "conversation.stop",      check_stop,          NULL,                act_stop         },
        { "conversation.interrupt", check_interrupt,     NULL,                act_pump         },
        { "conversation.config",    check_config,        store_config,        act_config       },
        { "conversation.freeze",    check_freeze,        NULL,                act_freeze       },
        { "conversation.thaw",      check_freeze,        NULL,                act_freeze       },
        { "message.user",           check_user,          NULL,                act_pump         },
        { "permission.respond",     check_respond,       store_respond,       act_respond      },
        { "runner.ping",            check_ping,          NULL,                NULL             },
        { "runner.drain",           check_drain,         store_drain,         act_drain        },
        { "runner.undrain",         check_drain,         store_drain,         act_drain        },
};

static char *response_text(MethodCall *c) {
        _cleanup_json_ Json *error = NULL;
        const char *body;

        if (!c->request_id || c->deferred)
                return NULL;
        error = c->code != 0 ? method_error(c) : NULL;
        body = json_text(c->code != 0 ? error : c->result);
        return xasprintf(
                        "{\"jsonrpc\":\"2.0\",\"id\":%s,\"%s\":%s,\"messageId\":\"rsp:%s\"}",
                        c->request_id,
                        c->code != 0 ? "error" : "result",
                        body,
                        c->envelope_id);
}

static int store_call(MethodCall *c, const Method *m) {
        _cleanup_free_ char *response = response_text(c), *params = strdup(json_text(c->params));
        const char *conversation = json_get_string(c->params, "conversationId");
        Store *store = c->runner->store;
        int r;

        if (!params || (c->request_id && !c->deferred && !response))
                return -ENOMEM;
        r = store_accept(
                        store,
                        &(InboundMessage){
                                        .envelope_id = (char *) c->envelope_id,
                                        .conversation = (char *) (c->pending ? conversation : NULL),
                                        .method = (char *) c->method,
                                        .params = params,
                                        .request_id = (char *) c->request_id,
                                        .response = response,
                                        .received_usec = now_usec(CLOCK_REALTIME),
                        },
                        c->cursor,
                        !c->pending,
                        &c->seq);
        if (r < 0)
                return r;
        if (r == 0) {
                c->duplicate = true;
                return 0;
        }
        return c->code == 0 && m && m->store ? m->store(c) : 0;
}

int runner_accept(MethodCall *c) {
        const Method *m = NULL;
        LOG_CONTEXT(log);
        int r;

        log_context_push(&log, "NORTHFLARE_CONVERSATION_ID", json_get_string(c->params, "conversationId"));
        log_context_push(&log, "NORTHFLARE_TASK_ID", c->task);
        if (c->runner->ctx.run.broken)
                return -EAGAIN;
        for (size_t i = 0; i < ELEMENTSOF(methods) && !m; i++)
                if (streq(methods[i].name, c->method))
                        m = &methods[i];
        if (m)
                m->check(c);
        else
                method_refuse(c,
                              CODE_METHOD_NOT_FOUND,
                              "method %.*s is not known here",
                              utf8_cut(c->method, 100),
                              c->method);
        if (c->code != 0)
                c->deferred = c->pending = false;

        r = store_begin(c->runner->store);
        if (r < 0)
                return r;
        r = store_call(c, m);
        if (r < 0)
                store_rollback(c->runner->store);
        else
                r = store_commit(c->runner->store);
        if (r < 0) {
                /* A resume has changed the conversation in memory by now. */
                if (c->conversation &&
                    (streq(c->method, "conversation.resume") || streq(c->method, "conversation.config")))
                        runner_conversation_hooks.store_failed(r, c->runner);
                return r;
        }
        if (c->duplicate)
                return 0;
        if (c->code != 0)
                log_debug("%s %s refused: %s", c->method, c->envelope_id, strempty(c->text));
        else if (m->act)
                m->act(c);
        return 0;
}
