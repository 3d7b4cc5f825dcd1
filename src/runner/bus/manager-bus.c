/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "common/buffer.h"
#include "common/log.h"
#include "runner/bus/bus-method.h"
#include "runner/bus/bus-property.h"
#include "runner/bus/manager-bus.h"
#include "runner/bus/statistics-bus.h"
#include "runner/bus/variant-json.h"
#include "runner/bus/workspace-bus.h"
#include "runner/runner-audit.h"
#include "runner/runner-housekeeping.h"
#include "runner/runner-reload.h"
#include "runner/runner-status.h"
#include "runner/store/store-events.h"

#define LIST_AUDIT_MAX 20000

/* clang-format off */
static const BusProperty properties[] = {
        { "Version", 's', offsetof(RunnerStatus, version), BUS_PROPERTY_TEXT_MAX },
        { "RunnerId", 's', offsetof(RunnerStatus, runner_id), BUS_PROPERTY_TEXT_MAX, .announced = true },
        { "RunnerUid", 's', offsetof(RunnerStatus, runner_uid), BUS_PROPERTY_TEXT_MAX, .announced = true },
        { "State", 's', offsetof(RunnerStatus, state), BUS_PROPERTY_TEXT_MAX, .announced = true },
        { "OrchestratorUrl", 's', offsetof(RunnerStatus, orchestrator_url), BUS_PROPERTY_TEXT_MAX, .announced = true },
        { "Connected", 'b', offsetof(RunnerStatus, connected), .announced = true },
        { "Active", 'b', offsetof(RunnerStatus, active), .announced = true },
        { "Draining", 'b', offsetof(RunnerStatus, draining), .announced = true },
        { "Refusing", 's', offsetof(RunnerStatus, refusing), BUS_PROPERTY_TEXT_MAX, .announced = true },
        { "Conversations", 'u', offsetof(RunnerStatus, conversations), .announced = true },
        { "Capacity", 'u', offsetof(RunnerStatus, capacity), .announced = true },
        { "QueuedEvents", 't', offsetof(RunnerStatus, queued_events) },
        { "QueuedBytes", 't', offsetof(RunnerStatus, queued_bytes) },
        { "OldestQueuedUSec", 't', offsetof(RunnerStatus, oldest_queued_usec) },
        { "LastAckUSec", 't', offsetof(RunnerStatus, last_ack_usec) },
        { "Reconnects", 't', offsetof(RunnerStatus, reconnects) },
        { "Duplicates", 't', offsetof(RunnerStatus, duplicates) },
        { "SetAside", 't', offsetof(RunnerStatus, set_aside) },
        { "StartedUSec", 't', offsetof(RunnerStatus, started_usec) },
        {},
};
/* clang-format on */

static int get_property(
        sd_bus *bus,
        const char *path,
        const char *interface,
        const char *property,
        sd_bus_message *reply,
        void *userdata,
        sd_bus_error *error) {
        BusObjects *b = userdata;
        RunnerStatus s = {};

        runner_get_status(b->runner, &s);
        return bus_property_get(properties, property, &s, reply);
}

int manager_bus_keep(BusObjects *b) {
        RunnerStatus s = {};

        runner_get_status(b->runner, &s);
        return bus_properties_keep(properties, &s, &b->manager_kept);
}

void manager_bus_done(BusObjects *b) {
        bus_properties_done(properties, &b->manager_kept);
}

void manager_bus_announce(BusObjects *b) {
        RunnerStatus s = {};
        int r;

        runner_get_status(b->runner, &s);
        r = bus_properties_announce(
                b->bus, BUS_PATH_MANAGER, BUS_INTERFACE_MANAGER, properties, &s, &b->manager_kept);
        if (r < 0)
                log_debug_errno(r, "Failed to announce changed properties of the runner, ignoring: %m");
}

static int list_conversations(const BusRequest *q, sd_bus_error *error) {
        _cleanup_(freep) ConversationObject **list = NULL;
        size_t n = 0;
        BusAnswer a;
        int r;

        r = object_index_list(&q->bus_objects->index, &list, &n);
        if (r < 0)
                return r;
        bus_answer_begin(
                &a, q->message, BUS_LIST_MAX, "Use GetConversation() to find a conversation by its id.");
        bus_answer_open(&a, 'a', "(sssstto)");
        for (size_t i = 0; i < n; i++) {
                Conversation *c = list[i]->conversation;

                bus_answer_add(
                        &a,
                        "(sssstto)",
                        conversation_id(c),
                        conversation_state(c),
                        conversation_agent(c),
                        conversation_task(c),
                        conversation_started_usec(c),
                        conversation_last_event_usec(c),
                        list[i]->path);
        }
        bus_answer_close(&a);
        return bus_answer_send(&a);
}

static int get_conversation(const BusRequest *q, sd_bus_error *error) {
        _cleanup_free_ char *path = NULL;
        const char *id;
        int r;

        r = sd_bus_message_read(q->message, "s", &id);
        if (r >= 0)
                r = sd_bus_path_encode(BUS_PATH_CONVERSATIONS, id, &path);
        if (r < 0)
                return r;
        if (object_index_find_path(&q->bus_objects->index, path))
                return bus_answer(q->message, "o", path);
        return bus_error(
                error,
                BUS_ERROR_NO_SUCH_CONVERSATION,
                "There is no conversation \"%.*s\" here.",
                utf8_cut(id, 64),
                id);
}

static const BusKey start_keys[] = {
        { "conversationId", json_type_string },
        { "taskId", json_type_string },
        { "workspaceId", json_type_string },
        { "agent", json_type_string },
        { "prompt", json_type_null }, /* text, or content blocks */
        { "model", json_type_string },
        { "appendSystemPrompt", json_type_string },
        { "permissionMode", json_type_string },
        { "allowedTools", json_type_array },
        { "disallowedTools", json_type_array },
        { "mcpServers", json_type_object },
        { "env", json_type_object },
        { "directory", json_type_string },
        { "repository", json_type_object },
        { "limits", json_type_object },
        { "timeouts", json_type_object },
        { "budget", json_type_object },
        { "resumeSessionId", json_type_string },
        { "forkSession", json_type_boolean },
        {},
};

static int reply_conversation_id(sd_bus_message *request, Json *result) {
        const char *id = json_get_string(result, "conversationId");

        return id ? bus_answer(request, "s", id) : -EIO;
}

static int parse_start(sd_bus_message *m, Json *params, sd_bus_error *error) {
        char id[sizeof("c-0123456789ab")];
        int r;

        r = bus_message_read_params(m, start_keys, params, error);
        if (r < 0 || json_get(params, "conversationId"))
                return r;
        (void) snprintf(id, sizeof(id), "c-%012" PRIx64, random_u64() >> 16);
        return json_set_string(params, "conversationId", id);
}

static int parse_drain_within(sd_bus_message *m, Json *params, sd_bus_error *error) {
        uint32_t secs;
        int r = sd_bus_message_read(m, "u", &secs);

        return r < 0 ? r : json_set_u64(params, "deadlineSecs", secs);
}

static int reload(const BusRequest *q, sd_bus_error *error) {
        _cleanup_strv_free_ char **ignored = NULL;
        _cleanup_free_ char *why = NULL;
        BusAnswer a;
        int r;

        r = runner_reload(q->bus_objects->runner, &ignored, &why);
        if (r < 0)
                return why ? bus_invalid_argument(error, why) : r;
        bus_answer_begin(&a, q->message, BUS_PLAIN_MAX, "See the journal for the keys.");
        bus_answer_open(&a, 'a', "s");
        STRV_FOREACH(key, ignored)
                bus_answer_add(&a, "s", *key);
        bus_answer_close(&a);
        return bus_answer_send(&a);
}

static int flush(const BusRequest *q, sd_bus_error *error) {
        int r = runner_flush(q->bus_objects->runner);

        return r < 0 ? r : bus_answer(q->message, "");
}

static int list_set_aside(const BusRequest *q, sd_bus_error *error) {
        _cleanup_json_ Json *list = NULL;
        int r = resend_list(runner_get_resend(q->bus_objects->runner), &list);

        return r < 0 ?
                r :
                bus_answer_json(
                        q->message,
                        list,
                        BUS_LIST_MAX,
                        "Use ResendSetAside() to send the events in the list again, which makes it shorter.");
}

static int list_audit(const BusRequest *q, sd_bus_error *error) {
        _cleanup_json_ Json *list = NULL;
        const char *conversation;
        uint32_t max;
        int r;

        r = sd_bus_message_read(q->message, "su", &conversation, &max);
        if (r < 0)
                return r;
        if (max == 0 || max > LIST_AUDIT_MAX)
                return bus_error(error, BUS_ERROR_INVALID_ARGUMENT, "max: must be 1 to %d", LIST_AUDIT_MAX);
        r = runner_list_audit(q->bus_objects->runner, conversation, max, &list);
        return r < 0 ?
                r :
                bus_answer_json(q->message, list, BUS_LIST_MAX, "Use a smaller max to request fewer lines.");
}

static int resend_set_aside(const BusRequest *q, sd_bus_error *error) {
        unsigned count = 0;
        int r = resend_begin(runner_get_resend(q->bus_objects->runner), &count);

        if (r == -ENOTCONN)
                return bus_error(
                        error,
                        BUS_ERROR_WRONG_STATE,
                        "No orchestrator is configured that events could be sent to.");
        return r < 0 ? r : bus_answer(q->message, "u", (uint32_t) count);
}

/* clang-format off */
static const BusMethod methods[] = {
        { "ListConversations", ACCESS_LIST, .answer = list_conversations },
        { "GetConversation", ACCESS_LIST, .answer = get_conversation },
        { "StartConversation", ACCESS_MANAGE, .method = "conversation.start", .parse = parse_start, .reply = reply_conversation_id },
        { "Drain", ACCESS_MANAGE, .method = "runner.drain" },
        { "DrainWithin", ACCESS_MANAGE, .method = "runner.drain", .parse = parse_drain_within },
        { "Undrain", ACCESS_MANAGE, .method = "runner.undrain" },
        { "Reload", ACCESS_MANAGE, .answer = reload },
        { "Flush", ACCESS_MANAGE, .answer = flush },
        { "ListSetAside", ACCESS_MANAGE, .reads_only = true, .answer = list_set_aside },
        { "ListAudit", ACCESS_MANAGE, .reads_only = true, .answer = list_audit },
        { "ResendSetAside", ACCESS_MANAGE, .answer = resend_set_aside },
        { "ListWorkspaces", ACCESS_MANAGE, .reads_only = true, .answer = workspace_bus_list },
        { "DescribeWorkspace", ACCESS_MANAGE, .reads_only = true, .answer = workspace_bus_describe },
        { "RemoveWorkspace", ACCESS_MANAGE, .waits = true, .answer = workspace_bus_remove },
        { "ListResources", ACCESS_LIST, .answer = statistics_bus_resources },
        { "ListTotals", ACCESS_LIST, .answer = statistics_bus_totals },
        {},
};
/* clang-format on */

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return bus_method_run(userdata, methods, NULL, m, error);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define UNPRIVILEGED SD_BUS_VTABLE_UNPRIVILEGED

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                "ListConversations",
                SD_BUS_NO_ARGS,
                SD_BUS_RESULT("a(sssstto)", conversations),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "GetConversation",
                SD_BUS_ARGS("s", id),
                SD_BUS_RESULT("o", path),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "StartConversation",
                SD_BUS_ARGS("a{sv}", parameters),
                SD_BUS_RESULT("s", id),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Drain", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_method, UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "DrainWithin",
                SD_BUS_ARGS("u", seconds),
                SD_BUS_NO_RESULT,
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Undrain", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_method, UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "Reload",
                SD_BUS_NO_ARGS,
                SD_BUS_RESULT("as", ignored),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Flush", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_method, UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "ListSetAside",
                SD_BUS_NO_ARGS,
                SD_BUS_RESULT("s", json),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "ListAudit",
                SD_BUS_ARGS("s", conversation, "u", max),
                SD_BUS_RESULT("s", json),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "ResendSetAside",
                SD_BUS_NO_ARGS,
                SD_BUS_RESULT("u", count),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "ListWorkspaces",
                SD_BUS_NO_ARGS,
                SD_BUS_RESULT("s", json),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "DescribeWorkspace",
                SD_BUS_ARGS("s", id),
                SD_BUS_RESULT("s", json),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "RemoveWorkspace",
                SD_BUS_ARGS("s", id, "a{sv}", options),
                SD_BUS_NO_RESULT,
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "ListResources",
                SD_BUS_NO_ARGS,
                SD_BUS_RESULT("a(sa{st})", resources),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "ListTotals",
                SD_BUS_NO_ARGS,
                SD_BUS_RESULT("a(sa{sv})", totals),
                on_method,
                UNPRIVILEGED),
        SD_BUS_PROPERTY("Version", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("RunnerId", "s", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("RunnerUid", "s", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("State", "s", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("OrchestratorUrl", "s", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("Connected", "b", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("Active", "b", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("Draining", "b", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("Refusing", "s", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("Conversations", "u", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("Capacity", "u", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("QueuedEvents", "t", get_property, 0, 0),
        SD_BUS_PROPERTY("QueuedBytes", "t", get_property, 0, 0),
        SD_BUS_PROPERTY("OldestQueuedUSec", "t", get_property, 0, 0),
        SD_BUS_PROPERTY("LastAckUSec", "t", get_property, 0, 0),
        SD_BUS_PROPERTY("Reconnects", "t", get_property, 0, 0),
        SD_BUS_PROPERTY("Duplicates", "t", get_property, 0, 0),
        SD_BUS_PROPERTY("SetAside", "t", get_property, 0, 0),
        SD_BUS_PROPERTY("StartedUSec", "t", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

int manager_bus_register(BusObjects *b) {
        return sd_bus_add_object_vtable(
                b->bus, &b->manager_slot, BUS_PATH_MANAGER, BUS_INTERFACE_MANAGER, vtable, b);
}
