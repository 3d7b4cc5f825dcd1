/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "orchestrator/admin-client.h"
#include "orchestrator/verbs.h"

int verb_token_create(const Options *o, char *const *args) {
        _cleanup_json_ Json *body = json_object_new_object(), *answer = NULL;
        int r;

        if (!body || json_set_string(body, "name", o->name) < 0)
                return EXIT_REFUSED;
        r = admin_call(o, "POST", "/v1/tokens", body, &answer);
        if (r != 0)
                return r;
        if (o->json)
                print_json(answer);
        else
                (void) printf("%s\n", strempty(json_get_string(answer, "token")));
        return 0;
}

int verb_token_list(const Options *o, char *const *args) {
        _cleanup_json_ Json *answer = NULL;
        int r;

        r = admin_call(o, "GET", "/v1/tokens", NULL, &answer);
        if (r != 0)
                return r;
        Json *list = json_get(answer, "tokens");
        if (o->json) {
                print_json(list);
                return 0;
        }
        (void) printf("%-12s %-20s %-25s %-25s %s\n", "ID", "NAME", "CREATED", "LAST USED", "STATE");
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                Json *t = json_object_array_get_idx(list, i);
                const char *name = json_get_string(t, "name"), *used = json_get_string(t, "lastUsedAt");

                (void) printf("%-12s %-20s %-25s %-25s %s\n",
                              strempty(json_get_string(t, "id")),
                              name ? name : "-",
                              strempty(json_get_string(t, "createdAt")),
                              used ? used : "never",
                              json_get_string(t, "revokedAt") ? "revoked" : "valid");
        }
        return 0;
}

int verb_token_revoke(const Options *o, char *const *args) {
        _cleanup_free_ char *path = admin_path("/v1/tokens/%s", args[0]);
        _cleanup_json_ Json *answer = NULL;
        int r;

        if (!path)
                return EXIT_REFUSED;
        r = admin_call(o, "DELETE", path, NULL, &answer);
        if (r == 0 && o->json)
                print_json(answer);
        return r;
}
