/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "orchestrator/command/admin-client.h"
#include "orchestrator/command/verb-runners.h"

static uint64_t number(Slice o, const char *name) {
        uint64_t v = 0;

        (void) json_scan_u64(answer_member(o, name), &v);
        return v;
}

static bool flag(Slice o, const char *name) {
        return json_scan_is_true(answer_member(o, name));
}

static void print_runner(Slice u) {
        _cleanup_free_ char *uid = json_member_string(u, "runnerUid"),
                            *host = json_member_string(u, "hostname"),
                            *version = json_member_string(u, "version"),
                            *seen = json_member_string(u, "seenAt");

        (void) printf("%-36s ", strempty(uid));
        (void) printf(
                "%-20.20s %-10.10s %-8s %-10s %5" PRIu64 " %5" PRIu64 "  %s\n",
                strempty(host),
                strempty(version),
                flag(u, "active") ? "active" : "standby",
                flag(u, "connected") ? "connected" : "away",
                number(u, "conversations"),
                number(u, "openMessages"),
                strempty(seen));
}

static void print_head(void) {
        (void) printf(
                "%-36s %-20s %-10s %-8s %-10s %5s %5s  %s\n",
                "RUNNER",
                "HOST",
                "VERSION",
                "ROLE",
                "STREAM",
                "CONV",
                "OPEN",
                "SEEN");
}

int verb_runners(const Options *o, char *const *args) {
        return admin_list(o, "/v1/runners", "runners", print_head, print_runner);
}

int verb_runners_activate(const Options *o, char *const *args) {
        return admin_order(o, "POST", admin_path("/v1/runners/%s/activate", args[0]));
}

int verb_runners_forget(const Options *o, char *const *args) {
        return admin_order(o, "DELETE", admin_path("/v1/runners/%s", args[0]));
}
