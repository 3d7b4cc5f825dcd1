/* SPDX-License-Identifier: MIT */
#include "common/log-ids.h"
#include "common/log.h"
#include "runner/conversation/conversation-end.h"
#include "runner/conversation/conversation-start.h"
#include "runner/runner-adopt.h"
#include "runner/runner-describe.h"
#include "runner/runner-internal.h"
#include "runner/runner-link.h"

/* What the link asks the runner, and what it brings. */

static int describe(void *userdata, Json *params) {
        return runner_describe(userdata, params);
}

static int heartbeat(void *userdata, Json *params) {
        return runner_describe_now(userdata, params);
}

static int knows(void *userdata, const char *conversation) {
        Runner *r = userdata;
        Conversation *c;

        /* Not all that live here are in memory then. */
        if (r->ctx->run.broken)
                return -EAGAIN;
        c = runner_find_conversation(r, conversation);
        return c && !streq(c->row.origin, "local");
}

static bool has_work(void *userdata) {
        return registry_count_live(((Runner *) userdata)->conversations) > 0;
}

static int list_held(void *userdata, Json *ids) {
        Runner *r = userdata;

        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c)) {
                if (!c->held || !conversation_is_live(c))
                        continue;
                Json *id = json_object_new_string(c->held);
                if (!id || json_object_array_add(ids, id) < 0) {
                        json_object_put(id);
                        return -ENOMEM;
                }
        }
        return 0;
}

static void held_decided(void *userdata, const char *id, bool granted, const char *owner) {
        Runner *r = userdata;

        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c)) {
                if (!streq_ptr(c->held, id))
                        continue;
                LOG_ABOUT_CONVERSATION(c);
                (void) free_and_strdup(&c->held, NULL);
                if (!conversation_is_live(c))
                        return;
                if (granted) {
                        conversation_advance(c);
                        return;
                }
                log_notice(
                        "Conversation %s was not started before the restart and belongs to another runner now (%s).",
                        c->row.id,
                        owner ? owner : "unknown");
                conversation_fail(c, END_STOPPED, "taken over by another runner before it began");
                return;
        }
}

static int process(void *userdata, const Envelope *e) {
        Runner *r = userdata;
        int k = r->methods->message(e, r->methods_data);

        if (k >= 0)
                control_wake(r->control);
        return k;
}

static void responded(void *userdata) {
        Runner *r = userdata;

        control_wake(r->control);
}

static void state_changed(void *userdata, LinkState state) {
        announcer_changed(((Runner *) userdata)->announcer);
}

static void give_up(void *userdata, int exit_code, const char *text) {
        Runner *r = userdata;

        log_full(LOG_ERR, 0, NF_MESSAGE_REFUSED, "%s", text);
        r->exit_code = exit_code;
        (void) sd_event_exit(r->event, exit_code);
}

static const LinkOps link_ops = {
        .describe = describe,
        .heartbeat = heartbeat,
        .knows = knows,
        .process = process,
        .responded = responded,
        .state_changed = state_changed,
        .give_up = give_up,
        .list_held = list_held,
        .held_decided = held_decided,
        .has_work = has_work,
};

static RetryStrategy strategy_of(const char *s) {
        return streq(s, "none") ? RETRY_NONE : streq(s, "interval") ? RETRY_INTERVAL : RETRY_EXPONENTIAL;
}

int runner_open_link(Runner *r) {
        const RunnerConfig *c = r->config;
        int k;

        k = link_new(
                r->event,
                r->store,
                &(LinkConfig){
                        .url = c->orchestrator_url,
                        .token = c->token,
                        .ca_file = c->ca_file,
                        .messages_path = c->messages_path,
                        .events_path = c->events_path,
                        .retry_strategy = strategy_of(c->retry_strategy),
                        .retry_interval_usec = c->retry_interval_secs * USEC_PER_SEC,
                        .retry_duration_usec = c->retry_duration_secs * USEC_PER_SEC,
                        .heartbeat_usec = c->heartbeat_ms * USEC_PER_MSEC,
                        .max_message_bytes = c->max_message_bytes,
                        .version = PROJECT_VERSION,
                        .data_dir = c->data_dir,
                },
                &link_ops,
                r,
                &r->link);
        if (k < 0)
                return k;
        r->ctx->sender = link_get_sender(r->link);
        k = control_new(r->store, r->ctx->sender, &r->control);
        if (k < 0)
                return k;
        crash_watch_set_control(r->crash, r->control);
        shutdown_set_link(r->shutdown, r->link);
        admission_gate_set_link(r->gate, r->link);
        return 0;
}
