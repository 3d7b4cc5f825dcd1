/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "common/ident.h"
#include "runner/conversation/conversation-life.h"
#include "runner/method/method-call.h"
#include "runner/runner-adopt.h"
#include "runner/runner-internal.h"

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

void method_accepted(MethodCall *c) {
        c->result = json_object_new_object();
        (void) json_set_bool(c->result, "accepted", true);
}

const char *method_id_param(MethodCall *c, const char *name, bool required) {
        Json *v = json_get(c->params, name);
        const char *s;

        if (!v) {
                if (required)
                        method_refuse(c, RPC_INVALID_PARAMS, "%s is missing", name);
                return NULL;
        }
        s = json_get_string(c->params, name);
        if (!s || !ident_is_valid(s)) {
                method_refuse(
                        c,
                        RPC_INVALID_PARAMS,
                        "%s \"%.*s\" is not an id: a letter or digit, then up to 63 letters, digits, _, . or -, no \"..\"",
                        name,
                        utf8_cut(json_object_get_string(v), 100),
                        json_object_get_string(v));
                return NULL;
        }
        return s;
}

Conversation *method_find(MethodCall *c) {
        const char *id = method_id_param(c, "conversationId", true);

        if (!id)
                return NULL;
        c->conversation = runner_find_conversation(c->runner, id);
        if (!c->conversation)
                method_refuse(c, RPC_UNKNOWN_CONVERSATION, "conversation %s is not known here", id);
        return c->conversation;
}

Conversation *method_find_live(MethodCall *c) {
        Conversation *v = method_find(c);

        if (v && !conversation_is_live(v)) {
                method_refuse(
                        c,
                        RPC_WRONG_STATE,
                        "conversation %s has ended (%s)",
                        v->row.id,
                        strempty(end_reason_to_string(v->row.reason)));
                return NULL;
        }
        return v;
}

bool method_has_room(MethodCall *c) {
        if (c->conversation->n_pending < PENDING_MESSAGES_MAX)
                return true;
        method_refuse(
                c,
                RPC_AT_CAPACITY,
                "%u messages already wait for conversation %s",
                c->conversation->n_pending,
                c->conversation->row.id);
        return false;
}
