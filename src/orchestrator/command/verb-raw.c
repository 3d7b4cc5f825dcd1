/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "orchestrator/command/admin-client.h"
#include "orchestrator/command/verbs.h"

/* Where a method goes: conversations are made at one place, messages to one at another, the rest to a runner. */
static char *path_for(const Options *o, const char *method, Json *params) {
        const char *conversation =
                        o->conversation ? o->conversation : json_get_string(params, "conversationId");

        if (o->runner)
                return admin_path("/v1/runners/%s/messages", o->runner);
        if (streq(method, "conversation.start"))
                return strdup("/v1/conversations");
        if (conversation)
                return admin_path("/v1/conversations/%s/messages", conversation);
        return strdup("/v1/runners/active/messages");
}

int verb_raw(const Options *o, char *const *args) {
        _cleanup_json_ Json *params = NULL, *body = json_object_new_object();
        _cleanup_buffer_ Buffer made = {};
        const char *text = args[1] ? args[1] : "{}";
        _cleanup_free_ char *error = NULL, *path = NULL;
        int r;

        if (json_parse_small(text, strlen(text), &params, &error) < 0 ||
            !json_object_is_type(params, json_type_object)) {
                (void) fprintf(stderr, "The params are %s.\n", error ? error : "not an object");
                return EXIT_USAGE;
        }
        path = path_for(o, args[0], params);
        if (!path || !body || json_set_string(body, "method", args[0]) < 0 ||
            json_set(body, "params", json_object_get(params)) < 0 ||
            json_set_string(body, "token", o->token) < 0 ||
            json_set_bool(body, "notification", o->notification) < 0 ||
            json_set_string(body,
                            "conversationId",
                            o->conversation ? o->conversation : json_get_string(params, "conversationId")) <
                            0)
                return EXIT_REFUSED;
        r = admin_call(o, "POST", path, body, &made);
        return r != 0 ? r : admin_finish(o, answer_of(&made), NULL, true);
}
