/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "orchestrator/command/admin-client.h"
#include "orchestrator/command/verb-token.h"

int verb_token_create(const Options *o, char *const *args) {
        _cleanup_json_ Json *body = json_object_new_object();
        _cleanup_free_ char *secret = NULL;
        _cleanup_buffer_ Buffer answer = {};
        int r;

        if (!body || json_set_string(body, "name", o->name) < 0)
                return EXIT_REFUSED;
        r = admin_call(o, "POST", "/v1/tokens", body, &answer);
        if (r != 0)
                return r;
        secret = json_member_string(answer_of(&answer), "token");
        if (o->json)
                print_json(answer_of(&answer));
        else
                (void) printf("%s\n", strempty(secret));
        return 0;
}

static void print_head(void) {
        (void) printf("%-12s %-20s %-25s %-25s %s\n", "ID", "NAME", "CREATED", "LAST USED", "STATE");
}

static void print_token(Slice t) {
        _cleanup_free_ char *id = json_member_string(t, "id"), *name = json_member_string(t, "name"),
                            *created = json_member_string(t, "createdAt"),
                            *used = json_member_string(t, "lastUsedAt"),
                            *revoked = json_member_string(t, "revokedAt");

        (void) printf(
                "%-12s %-20s %-25s %-25s %s\n",
                strempty(id),
                name ? name : "-",
                strempty(created),
                used ? used : "never",
                revoked ? "revoked" : "valid");
}

int verb_token_list(const Options *o, char *const *args) {
        return admin_list(o, "/v1/tokens", "tokens", print_head, print_token);
}

int verb_token_revoke(const Options *o, char *const *args) {
        return admin_order(o, "DELETE", admin_path("/v1/tokens/%s", args[0]));
}
