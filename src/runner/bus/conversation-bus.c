/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "common/ident.h"
#include "common/log.h"
#include "runner/bus/bus-method.h"
#include "runner/bus/bus-property.h"
#include "runner/bus/conversation-bus.h"
#include "runner/bus/variant-json.h"
#include "runner/conversation/conversation-describe.h"
#include "runner/conversation/conversation-read.h"
#include "runner/conversation/conversation-stream.h"
#include "runner/runner-adopt.h"

#define READ_EVENTS_MAX 1024

/* clang-format off */
static const BusProperty properties[] = {
        { "Id", 's', offsetof(ConversationValues, id), BUS_PROPERTY_IDENT_MAX },
        { "TaskId", 's', offsetof(ConversationValues, task), BUS_PROPERTY_IDENT_MAX },
        { "Agent", 's', offsetof(ConversationValues, agent), BUS_PROPERTY_IDENT_MAX },
        { "State", 's', offsetof(ConversationValues, state), BUS_PROPERTY_STATE_MAX, .announced = true },
        { "Scope", 's', offsetof(ConversationValues, scope), BUS_PROPERTY_SCOPE_MAX, .announced = true },
        { "StartedAt", 't', offsetof(ConversationValues, started_usec), .announced = true },
        { "LastEventAt", 't', offsetof(ConversationValues, last_event_usec), .announced = true },
        { "Turns", 't', offsetof(ConversationValues, turns), .announced = true },
        { "InputTokens", 't', offsetof(ConversationValues, input_tokens), .announced = true },
        { "OutputTokens", 't', offsetof(ConversationValues, output_tokens), .announced = true },
        { "CostUsd", 'd', offsetof(ConversationValues, cost_usd), .announced = true },
        {},
};
/* clang-format on */

/* only: of this property alone, since all objects may be asked for all of their properties; NULL: of all. */
static ConversationValues values_of(Conversation *c, const char *only) {
#define VALUE(name, value) (!only || streq(only, name) ? (value) : 0)
        return (ConversationValues){
                .id = VALUE("Id", conversation_id(c)),
                .task = VALUE("TaskId", conversation_task(c)),
                .agent = VALUE("Agent", conversation_agent(c)),
                .state = VALUE("State", conversation_state(c)),
                .scope = VALUE("Scope", conversation_scope(c)),
                .started_usec = VALUE("StartedAt", conversation_started_usec(c)),
                .last_event_usec = VALUE("LastEventAt", conversation_last_event_usec(c)),
                .turns = VALUE("Turns", conversation_turns(c)),
                .input_tokens = VALUE("InputTokens", conversation_input_tokens(c)),
                .output_tokens = VALUE("OutputTokens", conversation_output_tokens(c)),
                .cost_usd = VALUE("CostUsd", conversation_cost_usd(c)),
        };
#undef VALUE
}

static int get_property(
        sd_bus *bus,
        const char *path,
        const char *interface,
        const char *property,
        sd_bus_message *reply,
        void *userdata,
        sd_bus_error *error) {
        ConversationObject *o = userdata;
        ConversationValues values = values_of(o->conversation, property);

        return bus_property_get(properties, property, &values, reply);
}

static int keep_values(ConversationObject *o) {
        ConversationValues values = values_of(o->conversation, NULL);

        return bus_properties_keep(properties, &values, &o->kept);
}

static int announce_changes(ConversationObject *o) {
        ConversationValues values = values_of(o->conversation, NULL);

        return bus_properties_announce(
                o->bus_objects->bus, o->path, BUS_INTERFACE_CONVERSATION, properties, &values, &o->kept);
}

void conversation_bus_announce(ConversationObject *o) {
        sd_bus *bus = o->bus_objects->bus;
        int r = 0;
        LOG_ABOUT(.conversation = conversation_id(o->conversation),
                  .task = conversation_task(o->conversation));

        if (!o->announced) {
                o->announced = true;
                r = sd_bus_emit_object_added(bus, o->path);
                if (r >= 0)
                        r = keep_values(o);
        } else if (o->changed)
                r = announce_changes(o);
        o->changed = false;
        if (r < 0)
                log_debug_errno(r, "Failed to announce a change of %s, ignoring: %m", o->path);
        if (!o->events)
                return;
        o->events = false;
        r = sd_bus_emit_signal(bus, o->path, BUS_INTERFACE_CONVERSATION, "EventsAvailable", NULL);
        if (r < 0)
                log_debug_errno(r, "Failed to announce events of %s, ignoring: %m", o->path);
}

int conversation_object_new(BusObjects *b, Conversation *c, ConversationObject **ret) {
        ConversationObject *o = new0(ConversationObject, 1);
        int r;

        if (!o)
                return -ENOMEM;
        o->bus_objects = b;
        o->conversation = c;
        r = sd_bus_path_encode(BUS_PATH_CONVERSATIONS, conversation_id(c), &o->path);
        if (r >= 0)
                r = keep_values(o);
        if (r < 0) {
                conversation_object_free(o);
                return r;
        }
        *ret = o;
        return 0;
}

ConversationObject *conversation_object_free(ConversationObject *o) {
        if (!o)
                return NULL;
        bus_properties_done(properties, &o->kept);
        free(o->path);
        free(o);
        return NULL;
}

static int describe(const BusRequest *q, sd_bus_error *error) {
        _cleanup_free_ char *text = NULL;
        int r = conversation_describe(q->conversation, &text);

        conversation_check_filter(q->conversation);
        return r < 0 ? r :
                       bus_answer_text(
                               q->message,
                               text,
                               BUS_CONTENTS_MAX,
                               "Use OpenEvents() or ReadEvents() to read the same from the events.");
}

static int parse_message(sd_bus_message *m, Json *params, sd_bus_error *error) {
        const char *text;
        int r;

        r = sd_bus_message_read(m, "s", &text);
        if (r < 0)
                return r;
        return isempty(text) ? bus_invalid_argument(error, "text: must not be empty") :
                               json_set_string(params, "content", text);
}

static int parse_stop(sd_bus_message *m, Json *params, sd_bus_error *error) {
        static const BusKey keys[] = {
                { "reason", json_type_string },
                { "graceMs", json_type_int },
                {},
        };

        return bus_message_read_params(m, keys, params, error);
}

static int parse_answer(sd_bus_message *m, Json *params, sd_bus_error *error) {
        static const BusKey keys[] = {
                { "message", json_type_string },
                { "updatedInput", json_type_object },
                { "updatedPermissions", json_type_array },
                {},
        };
        const char *request, *behavior;
        int r;

        r = sd_bus_message_read(m, "ss", &request, &behavior);
        if (r < 0)
                return r;
        if (!streq(behavior, "allow") && !streq(behavior, "deny"))
                return bus_invalid_argument(error, "behavior: must be \"allow\" or \"deny\"");
        r = bus_message_read_params(m, keys, params, error);
        if (r >= 0)
                r = json_set_string(params, "requestId", request);
        return r < 0 ? r : json_set_string(params, "behavior", behavior);
}

static int parse_limits(sd_bus_message *m, Json *params, sd_bus_error *error) {
        _cleanup_json_ Json *limits = NULL;
        int r;

        r = bus_message_read_json(m, "{st}", &limits, error);
        if (r < 0)
                return r;
        return json_object_object_length(limits) == 0 ?
                bus_invalid_argument(error, "limits: must not be empty") :
                json_set(params, "limits", TAKE_PTR(limits));
}

static int bad_cursor(sd_bus_error *error) {
        return bus_invalid_argument(error, "cursor: not one of this conversation");
}

static int open_events(const BusRequest *q, sd_bus_error *error) {
        _cleanup_close_ int fd = -EBADF;
        const char *cursor;
        int r;

        r = sd_bus_message_read(q->message, "s", &cursor);
        if (r < 0)
                return r;
        r = conversation_open_events(q->conversation, cursor, &fd);
        if (r == -EMFILE)
                return bus_error(
                        error,
                        BUS_ERROR_TOO_MANY_STREAMS,
                        "%d event streams are open already.",
                        EVENT_STREAMS_MAX);
        if (r == -EINVAL)
                return bad_cursor(error);
        return r < 0 ? r : bus_answer(q->message, "h", fd);
}

static int read_events(const BusRequest *q, sd_bus_error *error) {
        _cleanup_strv_free_ char **events = NULL;
        _cleanup_free_ char *next = NULL;
        const char *cursor;
        uint32_t max;
        BusAnswer a;
        int r;

        r = sd_bus_message_read(q->message, "su", &cursor, &max);
        if (r < 0)
                return r;
        if (max == 0 || max > READ_EVENTS_MAX)
                return bus_error(error, BUS_ERROR_INVALID_ARGUMENT, "max: must be 1 to %d", READ_EVENTS_MAX);
        r = conversation_read_events(q->conversation, cursor, max, &events, &next);
        if (r == -EINVAL)
                return bad_cursor(error);
        if (r < 0)
                return r;
        bus_answer_begin(&a, q->message, BUS_CONTENTS_MAX, "Use a smaller max to request fewer events.");
        bus_answer_open(&a, 'a', "s");
        STRV_FOREACH(e, events)
                bus_answer_add(&a, "s", *e);
        bus_answer_close(&a);
        bus_answer_add(&a, "s", strempty(next));
        return bus_answer_send(&a);
}

static int read_event(const BusRequest *q, sd_bus_error *error) {
        _cleanup_free_ char *piece = NULL;
        uint64_t offset, size = 0;
        const char *cursor;
        BusAnswer a;
        int r;

        r = sd_bus_message_read(q->message, "st", &cursor, &offset);
        if (r < 0)
                return r;
        r = conversation_read_event(q->conversation, cursor, offset, &piece, &size);
        if (r == -EINVAL)
                return bad_cursor(error);
        if (r == -ENOENT)
                return bus_invalid_argument(error, "cursor: there is no event after it");
        if (r == -ERANGE)
                return bus_error(
                        error,
                        BUS_ERROR_INVALID_ARGUMENT,
                        "offset: the event has %" PRIu64 " bytes, and none of its pieces begins there",
                        size);
        if (r < 0)
                return r;
        bus_answer_begin(&a, q->message, BUS_CONTENTS_MAX, "Use OpenEvents() to read the event.");
        bus_answer_add(&a, "st", piece, size);
        return bus_answer_send(&a);
}

/* clang-format off */
static const BusMethod methods[] = {
        { "Describe", ACCESS_MANAGE, .reads_only = true, .answer = describe },
        { "SendMessage", ACCESS_MANAGE, .method = "message.user", .parse = parse_message },
        { "Interrupt", ACCESS_MANAGE, .method = "conversation.interrupt" },
        { "Stop", ACCESS_MANAGE, .waits = true, .method = "conversation.stop", .parse = parse_stop },
        { "Freeze", ACCESS_MANAGE, .method = "conversation.freeze" },
        { "Thaw", ACCESS_MANAGE, .method = "conversation.thaw" },
        { "AnswerPermission", ACCESS_MANAGE, .method = "permission.respond", .parse = parse_answer },
        { "SetLimits", ACCESS_MANAGE, .method = "conversation.config", .parse = parse_limits },
        { "OpenEvents", ACCESS_MANAGE, .reads_only = true, .answer = open_events },
        { "ReadEvents", ACCESS_MANAGE, .reads_only = true, .answer = read_events },
        { "ReadEvent", ACCESS_MANAGE, .reads_only = true, .answer = read_event },
        {},
};
/* clang-format on */

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ConversationObject *o = userdata;

        return bus_method_run(o->bus_objects, methods, o->conversation, m, error);
}

#define UNPRIVILEGED SD_BUS_VTABLE_UNPRIVILEGED
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define COUNTS SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                "Describe",
                SD_BUS_NO_ARGS,
                SD_BUS_RESULT("s", json),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "SendMessage",
                SD_BUS_ARGS("s", text),
                SD_BUS_NO_RESULT,
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Interrupt", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_method, UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "Stop",
                SD_BUS_ARGS("a{sv}", options),
                SD_BUS_NO_RESULT,
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Freeze", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_method, UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Thaw", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_method, UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "AnswerPermission",
                SD_BUS_ARGS("s", requestId, "s", behavior, "a{sv}", options),
                SD_BUS_NO_RESULT,
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "SetLimits",
                SD_BUS_ARGS("a{st}", limits),
                SD_BUS_NO_RESULT,
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "OpenEvents",
                SD_BUS_ARGS("s", cursor),
                SD_BUS_RESULT("h", stream),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "ReadEvents",
                SD_BUS_ARGS("s", cursor, "u", max),
                SD_BUS_RESULT("as", events, "s", next),
                on_method,
                UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "ReadEvent",
                SD_BUS_ARGS("s", cursor, "t", offset),
                SD_BUS_RESULT("s", piece, "t", size),
                on_method,
                UNPRIVILEGED),
        SD_BUS_SIGNAL("EventsAvailable", NULL, 0),
        SD_BUS_PROPERTY("Id", "s", get_property, 0, CONSTANT),
        SD_BUS_PROPERTY("TaskId", "s", get_property, 0, CONSTANT),
        SD_BUS_PROPERTY("Agent", "s", get_property, 0, CONSTANT),
        SD_BUS_PROPERTY("State", "s", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("Scope", "s", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("StartedAt", "t", get_property, 0, CHANGES),
        SD_BUS_PROPERTY("LastEventAt", "t", get_property, 0, COUNTS),
        SD_BUS_PROPERTY("Turns", "t", get_property, 0, COUNTS),
        SD_BUS_PROPERTY("InputTokens", "t", get_property, 0, COUNTS),
        SD_BUS_PROPERTY("OutputTokens", "t", get_property, 0, COUNTS),
        SD_BUS_PROPERTY("CostUsd", "d", get_property, 0, COUNTS),
        SD_BUS_VTABLE_END,
};

static int find_conversation(
        sd_bus *bus,
        const char *path,
        const char *interface,
        void *userdata,
        void **ret_found,
        sd_bus_error *error) {
        BusObjects *b = userdata;
        ConversationObject *o = object_index_find_path(&b->index, path);
        _cleanup_free_ char *id = NULL;

        /* One that ended long ago gets an object when a client requests it, as systemd loads units. */
        if (!o && sd_bus_path_decode(path, BUS_PATH_CONVERSATIONS, &id) > 0 && ident_is_valid(id) &&
            runner_find_conversation(b->runner, id))
                o = object_index_find_path(&b->index, path);
        *ret_found = o;
        return o ? 1 : 0;
}

static int enumerate_conversations(
        sd_bus *bus,
        const char *prefix,
        void *userdata,
        char ***ret_nodes,
        sd_bus_error *error) {
        _cleanup_(freep) ConversationObject **list = NULL;
        _cleanup_strv_free_ char **nodes = NULL;
        BusObjects *b = userdata;
        size_t n = 0;
        int r;

        /* Asked for what is below one conversation, too: a client that inspects all of them would have the whole list made
         * for each. */
        if (startswith(prefix, BUS_PATH_CONVERSATIONS "/"))
                return 0;
        r = object_index_list(&b->index, &list, &n);
        if (r < 0)
                return r;
        nodes = new0(char *, n + 1);
        if (!nodes)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                b->listed++;
                nodes[i] = strdup(list[i]->path);
                if (!nodes[i])
                        return -ENOMEM;
        }
        *ret_nodes = TAKE_PTR(nodes);
        return 1;
}

int conversation_bus_register(BusObjects *b) {
        int r;

        r = sd_bus_add_fallback_vtable(
                b->bus,
                &b->conversation_slot,
                BUS_PATH_CONVERSATIONS,
                BUS_INTERFACE_CONVERSATION,
                vtable,
                find_conversation,
                b);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(
                b->bus, &b->enumerator_slot, BUS_PATH_CONVERSATIONS, enumerate_conversations, b);
}
