/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "common/ident.h"
#include "common/log.h"
#include "runner/bus/bus-method.h"
#include "runner/bus/conversation-bus.h"
#include "runner/bus/variant-json.h"
#include "runner/conversation/conversation-describe.h"
#include "runner/conversation/conversation-read.h"
#include "runner/conversation/conversation-stream.h"
#include "runner/runner-adopt.h"

#define READ_EVENTS_MAX 1024

static int
property_string(sd_bus *bus,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *error) {
        ConversationObject *o = userdata;
        Conversation *c = o->conversation;
        const char *v = streq(property, "Id")     ? conversation_id(c) :
                        streq(property, "TaskId") ? conversation_task(c) :
                        streq(property, "Agent")  ? conversation_agent(c) :
                        streq(property, "State")  ? conversation_state(c) :
                                                    conversation_scope(c);

        return bus_property_string(
                        reply,
                        v,
                        streq(property, "State")                 ? BUS_PROPERTY_STATE_MAX :
                                        streq(property, "Scope") ? BUS_PROPERTY_SCOPE_MAX :
                                                                   BUS_PROPERTY_IDENT_MAX);
}

static int
property_u64(sd_bus *bus,
             const char *path,
             const char *interface,
             const char *property,
             sd_bus_message *reply,
             void *userdata,
             sd_bus_error *error) {
        ConversationObject *o = userdata;
        Conversation *c = o->conversation;
        uint64_t v = streq(property, "StartedAt")      ? conversation_started_usec(c) :
                        streq(property, "LastEventAt") ? conversation_last_event_usec(c) :
                        streq(property, "Turns")       ? conversation_turns(c) :
                        streq(property, "InputTokens") ? conversation_input_tokens(c) :
                                                         conversation_output_tokens(c);

        return bus_property_basic(reply, 't', &v);
}

static int
property_cost(sd_bus *bus,
              const char *path,
              const char *interface,
              const char *property,
              sd_bus_message *reply,
              void *userdata,
              sd_bus_error *error) {
        ConversationObject *o = userdata;

        double v = conversation_cost_usd(o->conversation);

        return bus_property_basic(reply, 'd', &v);
}

static void snapshot_done(ConversationSnapshot *s) {
        free(s->state);
        free(s->scope);
        *s = (ConversationSnapshot){};
}

static int snapshot_take(Conversation *c, ConversationSnapshot *ret) {
        ConversationSnapshot s = {
                .state = strdup(strempty(conversation_state(c))),
                .scope = strdup(strempty(conversation_scope(c))),
                .started_usec = conversation_started_usec(c),
                .last_event_usec = conversation_last_event_usec(c),
                .turns = conversation_turns(c),
                .input_tokens = conversation_input_tokens(c),
                .output_tokens = conversation_output_tokens(c),
                .cost_usd = conversation_cost_usd(c),
        };

        if (!s.state || !s.scope) {
                snapshot_done(&s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

/* Names what differs; the list has room for all. */
static size_t
snapshot_compare(const ConversationSnapshot *a, const ConversationSnapshot *b, const char *names[static 9]) {
        size_t k = 0;

        if (!streq_ptr(a->state, b->state))
                names[k++] = "State";
        if (!streq_ptr(a->scope, b->scope))
                names[k++] = "Scope";
        if (a->started_usec != b->started_usec)
                names[k++] = "StartedAt";
        if (a->last_event_usec != b->last_event_usec)
                names[k++] = "LastEventAt";
        if (a->turns != b->turns)
                names[k++] = "Turns";
        if (a->input_tokens != b->input_tokens)
                names[k++] = "InputTokens";
        if (a->output_tokens != b->output_tokens)
                names[k++] = "OutputTokens";
        if (a->cost_usd < b->cost_usd || a->cost_usd > b->cost_usd)
                names[k++] = "CostUsd";
        names[k] = NULL;
        return k;
}

static int announce_changes(ConversationObject *o) {
        ConversationSnapshot n = {};
        const char *names[9];
        size_t k;
        int r;

        r = snapshot_take(o->conversation, &n);
        if (r < 0)
                return r;
        k = snapshot_compare(&o->snapshot, &n, names);
        snapshot_done(&o->snapshot);
        o->snapshot = n;
        return k == 0 ? 0 :
                        sd_bus_emit_properties_changed_strv(
                                        o->bus_objects->bus,
                                        o->path,
                                        BUS_INTERFACE_CONVERSATION,
                                        (char **) names);
}

void conversation_bus_announce(ConversationObject *o) {
        sd_bus *bus = o->bus_objects->bus;
        int r = 0;
        LOG_ABOUT(.conversation = conversation_id(o->conversation),
                  .task = conversation_task(o->conversation));

        if (!o->announced) {
                o->announced = true;
                r = sd_bus_emit_object_added(bus, o->path);
                if (r >= 0) {
                        ConversationSnapshot n = {};

                        r = snapshot_take(o->conversation, &n);
                        if (r >= 0) {
                                snapshot_done(&o->snapshot);
                                o->snapshot = n;
                        }
                }
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
        _cleanup_(freep) ConversationObject *o = new0(ConversationObject, 1);
        _cleanup_free_ char *path = NULL;
        int r;

        if (!o)
                return -ENOMEM;
        r = sd_bus_path_encode(BUS_PATH_CONVERSATIONS, conversation_id(c), &path);
        if (r < 0)
                return r;
        r = snapshot_take(c, &o->snapshot);
        if (r < 0)
                return r;
        o->bus_objects = b;
        o->conversation = c;
        o->path = TAKE_PTR(path);
        *ret = TAKE_PTR(o);
        return 0;
}

ConversationObject *conversation_object_free(ConversationObject *o) {
        if (!o)
                return NULL;
        snapshot_done(&o->snapshot);
        free(o->path);
        free(o);
        return NULL;
}

static int describe(const BusRequest *q, sd_bus_error *error) {
        _cleanup_free_ char *text = NULL;
        int r = conversation_describe(q->conversation, &text);

        conversation_look(q->conversation);
        return r < 0 ? r :
                       bus_answer_text(q->message,
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
                {"reason",       json_type_string },
                { "graceMs",             json_type_int },
                {                         },
        };

        return bus_message_read_params(m, keys, params, error);
}

static int parse_answer(sd_bus_message *m, Json *params, sd_bus_error *error) {
        static const BusKey keys[] = {
                {"message",             json_type_string },
                { "updatedInput",                    json_type_object },
                { "updatedPermissions",json_type_array },
                {    },
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
                                "offset: the event has %" PRIu64
                                " bytes, and none of its pieces begins there",
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
        SD_BUS_PROPERTY("Id", "s", property_string, 0, CONSTANT),
        SD_BUS_PROPERTY("TaskId", "s", property_string, 0, CONSTANT),
        SD_BUS_PROPERTY("Agent", "s", property_string, 0, CONSTANT),
        SD_BUS_PROPERTY("State", "s", property_string, 0, CHANGES),
        SD_BUS_PROPERTY("Scope", "s", property_string, 0, CHANGES),
        SD_BUS_PROPERTY("StartedAt", "t", property_u64, 0, CHANGES),
        SD_BUS_PROPERTY("LastEventAt", "t", property_u64, 0, COUNTS),
        SD_BUS_PROPERTY("Turns", "t", property_u64, 0, COUNTS),
        SD_BUS_PROPERTY("InputTokens", "t", property_u64, 0, COUNTS),
        SD_BUS_PROPERTY("OutputTokens", "t", property_u64, 0, COUNTS),
        SD_BUS_PROPERTY("CostUsd", "d", property_cost, 0, COUNTS),
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
