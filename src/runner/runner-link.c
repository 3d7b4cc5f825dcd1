/* SPDX-License-Identifier: MIT */
#include <sys/utsname.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "runner/runner-adopt.h"
#include "runner/runner-internal.h"

/* Between the link and the methods: what the orchestrator is told of this machine, and what it sends us. */

static int add_conversations(Runner *r, Json *params, bool with_times) {
        Json *list = json_object_new_array();
        char stamp[TIMESTAMP_MAX];

        if (!list)
                return -ENOMEM;
        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c)) {
                if (!conversation_is_live(c) || streq(c->row.origin, "local"))
                        continue;
                Json *o = json_object_new_object();
                if (!o || json_object_array_add(list, o) < 0) {
                        json_object_put(o);
                        json_object_put(list);
                        return -ENOMEM;
                }
                (void) json_set_string(o, "conversationId", c->row.id);
                (void) json_set_u64(o, "run", c->row.run);
                (void) json_set_string(o, "state", conversation_state(c));
                if (with_times)
                        (void) json_set_string(
                                        o, "lastEventAt", format_timestamp(c->last_event_usec, stamp));
        }
        return json_set(params, "conversations", list);
}

static int add_capacity(Runner *r, Json *params) {
        Json *o = json_object_new_object();

        if (!o)
                return -ENOMEM;
        (void) json_set_u64(o, "maxConversations", r->config->max_conversations);
        (void) json_set_u64(o, "active", registry_count_live(r->conversations));
        return json_set(params, "capacity", o);
}

static void add_agent(Json *list, const char *name, Json *config) {
        const char *protocol = json_get_string(config, "protocol");
        const DriverOps *ops = driver_find(protocol ? protocol : name);
        _cleanup_free_ char *error = NULL;

        if (!ops || ops->probe(config, &error) < 0)
                return;
        Json *o = json_object_new_object();
        (void) json_set_string(o, "name", name);
        if (json_object_array_add(list, o) < 0)
                json_object_put(o);
}

static int add_agents(Runner *r, Json *params) {
        static const char *const builtin[] = { "shell", "claude" };
        Json *list = json_object_new_array();

        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(builtin); i++)
                add_agent(list, builtin[i], json_get(r->config->agents, builtin[i]));
        if (json_object_is_type(r->config->agents, json_type_object)) {
                json_object_object_foreach(r->config->agents, name, config) {
                        if (!streq(name, "shell") && !streq(name, "claude"))
                                add_agent(list, name, config);
                }
        }
        return json_set(params, "agents", list);
}

static int describe(void *userdata, Json *params) {
        Runner *r = userdata;
        struct utsname u;
        int k;

        (void) json_set_string(params, "hostname", r->hostname);
        if (r->machine_id[0])
                (void) json_set_string(params, "machineId", r->machine_id);
        if (uname(&u) >= 0) {
                (void) json_set_string(params, "os", "linux");
                (void) json_set_string(params, "arch", u.machine);
        }
        if (r->config->labels)
                (void) json_set(params, "labels", json_object_get(r->config->labels));
        k = add_agents(r, params);
        if (k >= 0)
                k = add_capacity(r, params);
        return k < 0 ? k : add_conversations(r, params, false);
}

static int heartbeat(void *userdata, Json *params) {
        Runner *r = userdata;
        Json *load = json_object_new_array(), *queue = NULL, *delivery = NULL, *admission = NULL;
        double averages[3] = {};
        int k;

        (void) json_set_u64(
                        params, "uptimeMs", (now_usec(CLOCK_MONOTONIC) - r->started_usec) / USEC_PER_MSEC);
        (void) json_set_string(params, "state", runner_state_name(r));
        if (load && getloadavg(averages, 3) == 3)
                for (size_t i = 0; i < 3; i++)
                        (void) json_object_array_add(load, json_object_new_double(averages[i]));
        (void) json_set(params, "load", load);
        if (runner_queue_json(r, &queue) >= 0)
                (void) json_set(params, "queue", queue);
        if (runner_delivery_json(r, &delivery) >= 0)
                (void) json_set(params, "delivery", delivery);
        if (runner_admission_json(r, &admission) >= 0)
                (void) json_set(params, "admission", admission);
        k = add_capacity(r, params);
        return k < 0 ? k : add_conversations(r, params, true);
}

static bool knows(void *userdata, const char *conversation) {
        Conversation *c = runner_find_conversation(userdata, conversation);

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
                (void) free_and_strdup(&c->held, NULL);
                if (!conversation_is_live(c))
                        return;
                if (granted) {
                        conversation_advance(c);
                        return;
                }
                log_notice("Conversation %s was not begun here before the restart, and is another runner's now (%s).",
                           c->row.id,
                           owner ? owner : "unknown");
                conversation_fail(c, "stopped", "taken over by another runner before it began");
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

const LinkOps runner_link_ops = {
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

        k = link_new(r->event,
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
                     &runner_link_ops,
                     r,
                     &r->link);
        if (k < 0)
                return k;
        r->ctx.sender = link_get_sender(r->link);
        return control_new(r->store, r->ctx.sender, &r->control);
}
