/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-input.h"
#include "runner/method/method-input.h"
#include "runner/runner-audit.h"
#include "runner/runner-internal.h"

/* The methods for input of an agent: message.user, conversation.interrupt, permission.respond. The
 * message waits in the store until the agent's driver can accept it. */

void method_check_user(MethodCall *c) {
        Json *content = json_get(c->params, "content");

        if (!method_find_live(c) || !method_has_room(c))
                return;
        if (!json_object_is_type(content, json_type_string) &&
            !json_object_is_type(content, json_type_array)) {
                method_refuse(c, RPC_INVALID_PARAMS, "content is neither text nor a list of content blocks");
                return;
        }
        method_accepted(c);
        c->pending = true;
}

void method_check_interrupt(MethodCall *c) {
        if (!method_find_live(c) || !method_has_room(c))
                return;
        method_accepted(c);
        c->pending = true;
}

void method_act_pump(MethodCall *c) {
        if (!c->pending)
                return;
        c->conversation->n_pending++;
        conversation_pump_input(c->conversation);
}

void method_check_respond(MethodCall *c) {
        const char *id = json_get_string(c->params, "requestId"),
                   *behavior = json_get_string(c->params, "behavior");

        if (!method_find_live(c) || !method_has_room(c))
                return;
        if (!id)
                method_refuse(c, RPC_INVALID_PARAMS, "requestId is missing");
        else if (!behavior || (!streq(behavior, "allow") && !streq(behavior, "deny")))
                method_refuse(c, RPC_INVALID_PARAMS, "behavior is neither \"allow\" nor \"deny\"");
        else if (!conversation_has_question(c->conversation, id))
                method_refuse(
                        c,
                        RPC_WRONG_STATE,
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

int method_store_respond(MethodCall *c) {
        AuditEntry e = answer_entry(c);

        return audit_store(c->runner->store, &e);
}

void method_act_respond(MethodCall *c) {
        AuditEntry e;

        if (!c->pending)
                return;
        e = answer_entry(c);
        audit_log(&e);
        method_act_pump(c);
}
