/* SPDX-License-Identifier: MIT */
#include <sys/utsname.h>

#include <systemd/sd-id128.h>

#include "runner/agent/driver.h"
#include "runner/runner-describe.h"
#include "runner/runner-internal.h"
#include "runner/runner-status.h"

/* For an id of this machine that says nothing about it elsewhere (sd_id128_get_machine_app_specific(3)). */
#define APPLICATION_ID SD_ID128_MAKE(6d, 1f, 0b, 8a, 5e, 0c, 4b, 73, 9a, f2, 41, c7, 3e, 88, d5, 20)

struct Description {
        char machine_id[33], hostname[256]; /* "" where the machine does not say so */
        uint64_t started_usec;              /* CLOCK_MONOTONIC */
};

int description_new(Description **ret) {
        Description *d = new0(Description, 1);
        sd_id128_t id;

        if (!d)
                return -ENOMEM;
        d->started_usec = now_usec(CLOCK_MONOTONIC);
        if (gethostname(d->hostname, sizeof(d->hostname) - 1) < 0)
                d->hostname[0] = 0;
        if (sd_id128_get_machine_app_specific(APPLICATION_ID, &id) >= 0)
                (void) sd_id128_to_string(id, d->machine_id);
        *ret = d;
        return 0;
}

Description *description_free(Description *d) {
        free(d);
        return NULL;
}

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

int runner_describe(Runner *r, Json *params) {
        struct utsname u;
        int k;

        (void) json_set_string(params, "hostname", r->description->hostname);
        if (r->description->machine_id[0])
                (void) json_set_string(params, "machineId", r->description->machine_id);
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

int runner_describe_now(Runner *r, Json *params) {
        Json *load = json_object_new_array(), *queue = NULL, *delivery = NULL, *admission = NULL;
        double averages[3] = {};
        int k;

        (void) json_set_u64(
                params,
                "uptimeMs",
                (now_usec(CLOCK_MONOTONIC) - r->description->started_usec) / USEC_PER_MSEC);
        (void) json_set_string(params, "state", runner_state_name(r));
        if (load && getloadavg(averages, 3) == 3)
                for (size_t i = 0; i < 3; i++)
                        (void) json_object_array_add(load, json_object_new_double(averages[i]));
        (void) json_set(params, "load", load);
        if (runner_queue_json(r, &queue) >= 0)
                (void) json_set(params, "queue", queue);
        if (runner_delivery_json(r, &delivery) >= 0)
                (void) json_set(params, "delivery", delivery);
        if (admission_gate_json(r->gate, &admission) >= 0)
                (void) json_set(params, "admission", admission);
        k = add_capacity(r, params);
        return k < 0 ? k : add_conversations(r, params, true);
}
