/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "orchestrator/admin-client.h"
#include "orchestrator/verbs.h"

static uint64_t number(Json *o, const char *name) {
        uint64_t v = 0;

        (void) json_get_u64(o, name, &v);
        return v;
}

static bool flag(Json *o, const char *name) {
        bool v = false;

        (void) json_get_bool(o, name, &v);
        return v;
}

int verb_runners(const Options *o, char *const *args) {
        _cleanup_json_ Json *answer = NULL;
        int r;

        r = admin_call(o, "GET", "/v1/runners", NULL, &answer);
        if (r != 0)
                return r;
        Json *list = json_get(answer, "runners");
        if (o->json) {
                print_json(list);
                return 0;
        }
        (void) printf("%-36s %-20s %-10s %-8s %-10s %5s %5s  %s\n",
                      "RUNNER",
                      "HOST",
                      "VERSION",
                      "ROLE",
                      "STREAM",
                      "CONV",
                      "OPEN",
                      "SEEN");
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                Json *u = json_object_array_get_idx(list, i);

                (void) printf("%-36s ", strempty(json_get_string(u, "runnerUid")));
                (void) printf("%-20.20s %-10.10s %-8s %-10s %5" PRIu64 " %5" PRIu64 "  %s\n",
                              strempty(json_get_string(u, "hostname")),
                              strempty(json_get_string(u, "version")),
                              flag(u, "active") ? "active" : "standby",
                              flag(u, "connected") ? "connected" : "away",
                              number(u, "conversations"),
                              number(u, "openMessages"),
                              strempty(json_get_string(u, "seenAt")));
        }
        return 0;
}

static int simple(const Options *o, const char *method, char *path_consume) {
        _cleanup_free_ char *path = path_consume;
        _cleanup_json_ Json *answer = NULL;
        int r;

        if (!path)
                return EXIT_REFUSED;
        r = admin_call(o, method, path, NULL, &answer);
        if (r == 0 && o->json)
                print_json(answer);
        return r;
}

int verb_runners_activate(const Options *o, char *const *args) {
        return simple(o, "POST", admin_path("/v1/runners/%s/activate", args[0]));
}

int verb_runners_forget(const Options *o, char *const *args) {
        return simple(o, "DELETE", admin_path("/v1/runners/%s", args[0]));
}
