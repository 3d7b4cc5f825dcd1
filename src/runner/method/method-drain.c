/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/method/method-drain.h"
#include "runner/runner-internal.h"

/* What is asked of the runner itself: runner.ping, runner.drain and runner.undrain. */

void method_check_ping(MethodCall *c) {
        c->result = json_object_new_object();
        (void) json_set_bool(c->result, "pong", true);
}

void method_check_drain(MethodCall *c) {
        uint64_t deadline;

        if (json_get_u64(c->params, "deadlineSecs", &deadline) < 0) {
                method_refuse(c, RPC_INVALID_PARAMS, "deadlineSecs is not a whole number");
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

int method_store_drain(MethodCall *c) {
        return drain_store(c->runner->drain, streq(c->method, "runner.drain"), drain_deadline(c));
}

void method_act_drain(MethodCall *c) {
        bool draining = streq(c->method, "runner.drain");

        log_notice(
                "%s.",
                draining ? "Draining: new conversations are refused, idle ones are ended" :
                           "New conversations are accepted again");
        drain_set(c->runner->drain, draining, drain_deadline(c));
        if (c->runner->link)
                link_heartbeat(c->runner->link);
}
