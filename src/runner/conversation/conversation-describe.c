/* SPDX-License-Identifier: MIT */
#include "common/json-scan.h"
#include "runner/conversation/conversation-describe.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/event-cut.h"
#include "runner/run/run-limits.h"
#include "runner/run/run-question.h"

/* Makes the answer of Describe(). It is written as text: JSON of agents and people is inserted as it is, and no tree is
 * made of it. Each member has a bound, and all of them have one together. */

/* The bound of all members; the text around them (names, commas, the sizes of members that are cut) needs less than the
 * rest. */
#define ROOM_MAX (DESCRIPTION_MAX - (size_t) 200 * 1024)
/* A reader parses the whole description, and no deeper than this. */
#define NESTING_MAX (JSON_DEPTH_MAX - 16)

typedef struct Description {
        Buffer b;
        size_t room;
} Description;

/* An object that is being written. */
typedef struct Object {
        Description *d;
        Buffer cut; /* members of the member "cut" */
        bool any;
} Object;

static void object_begin(Object *o, Description *d) {
        *o = (Object){ .d = d };
        (void) buffer_append_str(&d->b, "{");
}

static void name_member(Object *o, const char *name) {
        if (o->any)
                (void) buffer_append_str(&o->d->b, ",");
        o->any = true;
        (void) buffer_append_json_str(&o->d->b, name);
        (void) buffer_append_str(&o->d->b, ":");
}

static void object_end(Object *o) {
        if (o->cut.size > 0) {
                name_member(o, "cut");
                (void) buffer_append_str(&o->d->b, "{");
                (void) buffer_append(&o->d->b, o->cut.data, o->cut.size);
                (void) buffer_append_str(&o->d->b, "}");
        }
        o->d->b.failed |= o->cut.failed;
        buffer_done(&o->cut);
        (void) buffer_append_str(&o->d->b, "}");
}

/* Returns the depth of a checked JSON text. */
static unsigned nesting(const char *json) {
        unsigned depth = 0, deepest = 0;
        bool in_string = false;

        for (; *json; json++)
                if (in_string) {
                        if (*json == '\\')
                                json++;
                        else if (*json == '"')
                                in_string = false;
                } else if (*json == '"')
                        in_string = true;
                else if (*json == '{' || *json == '[') {
                        depth++;
                        deepest = MAX(deepest, depth);
                } else if (*json == '}' || *json == ']')
                        depth--;
        return deepest;
}

/* Adds a checked JSON text of any length; NULL: there is none. */
static void add_json(Object *o, const char *name, const char *json) {
        Description *d = o->d;
        size_t size, charge;

        if (!json)
                return;
        size = strlen(json);
        /* The bus accepts some characters as escapes only: six bytes for three, twelve for four. */
        charge = size <= DESCRIPTION_MEMBER_MAX && !utf8_is_for_bus(json) ? 3 * size : size;
        if (size <= DESCRIPTION_MEMBER_MAX && charge <= d->room && nesting(json) <= NESTING_MAX) {
                name_member(o, name);
                (void) buffer_append(&d->b, json, size);
                d->room -= charge;
                return;
        }
        if (o->cut.size > 0)
                (void) buffer_append_str(&o->cut, ",");
        (void) buffer_append_json_str(&o->cut, name);
        (void) buffer_append_str(&o->cut, ":");
        size_t before = o->cut.size;
        (void) cut_append(&o->cut, json, MIN(DESCRIPTION_MEMBER_MAX, d->room / 3), NULL);
        charge = 3 * (o->cut.size - before);
        d->room -= MIN(d->room, charge);
}

static void add_string(Object *o, const char *name, const char *value) {
        _cleanup_buffer_ Buffer b = {};

        if (!value)
                return;
        if (buffer_append_json_str(&b, value) < 0)
                o->d->b.failed = true;
        else
                add_json(o, name, b.data);
}

static void add_u64(Object *o, const char *name, uint64_t value) {
        name_member(o, name);
        (void) buffer_printf(&o->d->b, "%llu", (unsigned long long) value);
}

static void add_tree(Object *o, const char *name, Json *value) {
        const char *text = value ? json_text(value) : NULL;

        if (value && !text)
                o->d->b.failed = true;
        add_json(o, name, text);
}

static void add_time(Object *o, const char *name, uint64_t usec) {
        char stamp[TIMESTAMP_MAX];

        if (usec > 0)
                add_string(o, name, format_timestamp(usec, stamp));
}

static void add_slice(Object *o, const char *name, Slice json) {
        _cleanup_free_ char *text = strndup(json.data, json.size);

        o->d->b.failed |= !text;
        add_json(o, name, text);
}

/* Adds the text of a question, as it is in the agent's output: one question is in memory at a time. */
static void add_question_text(Run *r, Object *o, const DriverQuestion *q) {
        _cleanup_(line_reader_done) LineReader reader = {};
        DriverQuestionText text;
        Slice line;
        int k;

        k = run_read_question(r, q->offset, &reader, &line);
        if (k >= 0)
                k = run_question_text(r, q, line, &text);
        if (k < 0) {
                add_string(o, "unreadable", strerrordesc_np(-k));
                return;
        }
        add_slice(o, "tool", text.tool);
        add_slice(o, "title", text.title);
        add_slice(o, "input", text.input);
        add_slice(o, "suggestions", text.suggestions);
}

static void add_question(Conversation *c, Description *d, const DriverQuestion *q) {
        Object o;

        object_begin(&o, d);
        name_member(&o, "requestId");
        (void) buffer_printf(
                &d->b, "\"%s:%llu.%u\"", run_row(c->run)->run_id, (unsigned long long) q->offset, q->n);
        name_member(&o, "event");
        (void) buffer_printf(
                &d->b,
                "\"%u:%llu:%lld+%u\"",
                run_row(c->run)->run,
                (unsigned long long) q->offset,
                (long long) INT64_MAX,
                q->n);
        add_question_text(c->run, &o, q);
        object_end(&o);
}

static void add_questions(Conversation *c, Object *o) {
        DriverQuestion list[DRIVER_QUESTIONS_MAX];
        size_t n;

        if (!c->run)
                return;
        n = run_questions(c->run, list);
        name_member(o, "questions");
        (void) buffer_append_str(&o->d->b, "[");
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        (void) buffer_append_str(&o->d->b, ",");
                add_question(c, o->d, &list[i]);
        }
        (void) buffer_append_str(&o->d->b, "]");
}

static void add_usage(Conversation *c, Object *o) {
        _cleanup_json_ Json *usage = conversation_usage_json(c);

        o->d->b.failed |= !usage;
        add_tree(o, "usage", usage);
}

/* Adds the requested limits, and those in force where there is a scope. */
static void add_limits(Conversation *c, Object *o) {
        Json *asked = json_get(c->params, "limits");
        _cleanup_json_ Json *limits = NULL;

        if (c->run)
                limits = run_limits_describe(c->run);
        if (!limits && c->ended.limits && !conversation_is_live(c)) {
                add_json(o, "limits", c->ended.limits);
                return;
        }
        if (!limits && asked) {
                limits = json_object_new_object();
                if (!limits || json_set(limits, "asked", json_object_get(asked)) < 0)
                        o->d->b.failed = true;
        }
        add_tree(o, "limits", limits);
}

static void add_trust(Conversation *c, Object *o) {
        const char *rule = conversation_trusted_by(c);

        if (!c->run)
                return;
        name_member(o, "repositoryTrusted");
        (void) buffer_append_str(&o->d->b, rule ? "true" : "false");
        add_string(o, "trustedBy", rule);
}

int conversation_describe(Conversation *c, char **ret) {
        static const char *const copied[] = { "model", "permissionMode", "repository" };
        Description d = { .room = ROOM_MAX };
        Object o;
        int r;
        LOG_ABOUT_CONVERSATION(c);

        r = conversation_take_all(c);
        if (r < 0)
                return r;
        object_begin(&o, &d);
        add_string(&o, "id", c->row.id);
        add_string(&o, "taskId", c->row.task);
        add_string(&o, "workspaceId", c->row.workspace);
        add_string(&o, "agent", c->row.agent);
        add_string(&o, "origin", c->row.origin);
        add_string(&o, "state", conversation_state(c));
        add_u64(&o, "run", c->row.run);
        add_string(&o, "scope", conversation_scope(c));
        add_string(&o, "directory", c->row.directory);
        add_string(&o, "branch", c->row.branch);
        add_string(&o, "sessionId", c->row.session);
        for (size_t i = 0; i < ELEMENTSOF(copied); i++)
                add_tree(&o, copied[i], json_get(c->params, copied[i]));
        add_trust(c, &o);
        add_limits(c, &o);
        add_u64(&o, "queuedMessages", c->n_pending);
        add_u64(&o, "queuedBytes", conversation_queued_bytes(c));
        add_time(&o, "startedAt", c->row.created_usec);
        add_time(&o, "lastEventAt", c->last_event_usec);
        add_time(&o, "endedAt", c->row.ended_usec);
        add_questions(c, &o);
        add_usage(c, &o);
        add_string(&o, "reason", end_reason_to_string(c->row.reason));
        if (c->row.detail && json_scan_valid(c->row.detail, strlen(c->row.detail)))
                add_json(&o, "result", c->row.detail);
        object_end(&o);
        conversation_rest(c);
        *ret = buffer_steal(&d.b);
        return *ret ? 0 : -ENOMEM;
}
