/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "runner/agent/claude-ask.h"
#include "runner/agent/claude-feed.h"
#include "runner/agent/claude-result.h"
#include "runner/agent/claude-shape.h"
#include "runner/agent/claude-text.h"
#include "runner/agent/driver-feed.h"
#include "runner/agent/driver-util.h"

/* From the agent's lines to events. Members stand in any order (versions differ), and what is not known is not an
 * error: every release adds lines and members. Only what cannot be this protocol at all is a notice. */

#define REASON_MAX 500
#define PARENT_MAX 256

/* Nearly every line of a busy agent is a piece of text. */
static const char stream_prefix[] = "{\"type\":\"stream_event\",";

static void feed_parent(DriverFeed *f, Slice line) {
        Slice parent = slice_member(line, "parent_tool_use_id", SCAN_STRING);

        /* It is in each event of the line. */
        if (parent.size <= PARENT_MAX)
                feed_json(f, "parent", parent);
}

/* ---- text ---- */

static int feed_stream(DriverFeed *f, Slice line) {
        Slice event, type, delta, text;
        const char *kind;

        if (!json_scan_member(line, "event", &event) || !json_scan_member(event, "type", &type) ||
            !json_scan_string_is(type, "content_block_delta") || !json_scan_member(event, "delta", &delta) ||
            !json_scan_member(delta, "type", &type))
                return 0;
        if (json_scan_string_is(type, "text_delta")) {
                text = slice_member(delta, "text", SCAN_STRING);
                kind = "text";
        } else if (json_scan_string_is(type, "thinking_delta")) {
                text = slice_member(delta, "thinking", SCAN_STRING);
                kind = "thinking";
        } else
                return 0;
        if (text.size <= 2)
                return 0;
        feed_begin(f, kind);
        feed_json(f, "delta", text);
        feed_parent(f, line);
        return feed_end(f);
}

static int feed_left_out(DriverFeed *f) {
        static const char text[] = "the agent wrote a line with more content than is forwarded";

        return feed_notice(f, text, sizeof(text) - 1);
}

static int feed_block(DriverFeed *f, Slice line, Slice block) {
        Slice type = slice_member(block, "type", SCAN_STRING);

        if (json_scan_string_is(type, "text")) {
                Slice text = slice_member(block, "text", SCAN_STRING);

                if (text.size <= 2)
                        return 0;
                feed_begin(f, "message");
                feed_json(f, "text", text);
                feed_parent(f, line);
                return feed_end(f);
        }
        if (json_scan_string_is(type, "tool_use") || json_scan_string_is(type, "server_tool_use") ||
            json_scan_string_is(type, "mcp_tool_use")) {
                Slice id = slice_member(block, "id", SCAN_STRING),
                      name = slice_member(block, "name", SCAN_STRING);
                Slice input = slice_member(block, "input", SCAN_OBJECT);

                if (!slice_is_set(id) || !slice_is_set(name))
                        return 0;
                feed_begin(f, "tool_call");
                feed_json(f, "id", id);
                feed_json(f, "name", name);
                feed_json(f, "input", slice_is_set(input) ? input : SLICE_LITERAL("{}"));
                feed_parent(f, line);
                return feed_end(f);
        }
        return 0;
}

static int feed_assistant(Claude *c, DriverFeed *f, Slice line) {
        Slice error = slice_member(line, "error", SCAN_STRING), content, block;
        size_t iter = 0;
        int r;

        if (slice_is_set(error))
                /* The model said nothing: the program speaks in its place. The result repeats the text. */
                return claude_set_text(
                        &c->error_kind,
                        error.size <= CLAUDE_NAME_MAX ? error : SLICE_LITERAL("\"unknown\""));
        if (!feed_wants_events(f) || !json_scan_path(line, &content, "message", "content", NULL))
                return 0;
        while (json_scan_element(content, &iter, &block)) {
                if (f->n == FEED_EVENTS_MAX)
                        return feed_left_out(f);
                r = feed_block(f, line, block);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- tools ---- */

/* The text of a tool's result, as a JSON string put together from its pieces without decoding any of them. */
static void feed_result_text(DriverFeed *f, Slice content) {
        Slice block, text;
        size_t iter = 0;
        bool first = true;

        if (json_scan_type(content) == SCAN_STRING) {
                feed_json(f, "text", content);
                return;
        }
        feed_pieces_begin(f, "text");
        while (json_scan_type(content) == SCAN_ARRAY && json_scan_element(content, &iter, &block)) {
                Slice type = slice_member(block, "type", SCAN_STRING);

                if (json_scan_string_is(type, "text"))
                        text = slice_member(block, "text", SCAN_STRING);
                else if (json_scan_string_is(type, "image"))
                        text = SLICE_LITERAL("\"[image]\"");
                else
                        text = (Slice){};
                if (text.size <= 2)
                        continue;
                if (!first)
                        feed_piece(f, SLICE_LITERAL("\"\\n\""));
                first = false;
                feed_piece(f, text);
        }
        feed_pieces_end(f);
}

static int feed_user(Claude *c, DriverFeed *f, Slice line) {
        Slice content, block, v;
        size_t iter = 0;
        int r;

        if (!json_scan_path(line, &content, "message", "content", NULL))
                return 0;
        while (json_scan_element(content, &iter, &block)) {
                Slice id = slice_member(block, "tool_use_id", SCAN_STRING);
                Slice type = slice_member(block, "type", SCAN_STRING);

                if (!json_scan_string_is(type, "tool_result") || !slice_is_set(id))
                        continue;
                claude_settle_asks(c, id);
                if (!feed_wants_events(f) || f->n > FEED_EVENTS_MAX)
                        continue;
                if (f->n == FEED_EVENTS_MAX) {
                        r = feed_left_out(f);
                        if (r < 0)
                                return r;
                        continue;
                }
                bool failed = json_scan_member(block, "is_error", &v) && json_scan_is_true(v);
                feed_begin(f, "tool_result");
                feed_json(f, "id", id);
                feed_bool(f, "ok", !failed);
                feed_result_text(f, json_scan_member(block, "content", &v) ? v : (Slice){});
                feed_parent(f, line);
                r = feed_end(f);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- start, state ---- */

/* A string that is remembered, or none where it is too long for that. */
static Slice short_string(Slice o, const char *name) {
        Slice v = slice_member(o, name, SCAN_STRING);

        return v.size <= CLAUDE_NAME_MAX ? v : (Slice){};
}

static int fail(DriverFeed *f, const char *what, Slice why) {
        _cleanup_free_ char *text = NULL, *reason = NULL;

        if (!f->sink->fail)
                return 0;
        if (json_scan_type(why) == SCAN_STRING && json_scan_string(why, &text, NULL) == -ENOMEM)
                return -ENOMEM;
        if (text && strlen(text) > REASON_MAX) {
                size_t n = REASON_MAX;
                while (n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80)
                        n--;
                text[n] = 0;
        }
        reason = xasprintf("%s%s%s", what, text ? ": " : "", strempty(text));
        return reason ? f->sink->fail(f->sink->userdata, reason) : -ENOMEM;
}

static int feed_control_response(Claude *c, DriverFeed *f, Slice line) {
        Slice response = slice_member(line, "response", SCAN_OBJECT);
        Slice id = slice_member(response, "request_id", SCAN_STRING), error;
        bool failed = json_scan_string_is(slice_member(response, "subtype", SCAN_STRING), "error");

        error = slice_member(response, "error", SCAN_STRING);
        if (json_scan_string_is(id, CLAUDE_INIT_ID)) {
                c->ready = true;
                return failed ? fail(f, "Claude Code could not be initialized", error) : 0;
        }
        if (!failed)
                return 0;
        feed_begin(f, "notice");
        feed_pieces_begin(f, "text");
        feed_piece(f, SLICE_LITERAL("\"the agent refused a request: \""));
        feed_piece(f, error);
        feed_pieces_end(f);
        return feed_end(f);
}

static int feed_init(Claude *c, DriverFeed *f, Slice line) {
        Slice session = short_string(line, "session_id"), model = short_string(line, "model");
        Slice mode = short_string(line, "permissionMode");
        char *id;
        int r;

        c->ready = c->in_turn = true;
        c->queued = false;
        /* It comes with every turn; what was reported already is not reported again. */
        if (c->reported && claude_text_equal(c->session, session) && claude_text_equal(c->model, model) &&
            claude_text_equal(c->mode, mode))
                return 0;
        c->reported = true;
        if ((r = claude_set_text(&c->session, session)) < 0 || (r = claude_set_text(&c->model, model)) < 0 ||
            (r = claude_set_text(&c->mode, mode)) < 0)
                return r;
        r = json_scan_string(session, &id, NULL);
        if (r == -ENOMEM)
                return r;
        if (r >= 0) {
                free(c->session_id);
                c->session_id = id;
        }
        feed_begin(f, "started");
        feed_json(f, "session", session);
        feed_json(f, "model", model);
        feed_json(f, "mode", mode);
        feed_json(f, "version", slice_member(line, "claude_code_version", SCAN_STRING));
        return feed_end(f);
}

static int feed_retry(DriverFeed *f, Slice line) {
        Slice kind = slice_member(line, "error", SCAN_STRING),
              http = slice_member(line, "error_status", SCAN_NUMBER);
        uint64_t attempt = 0, most = 0, delay = 0;
        _cleanup_free_ char *text = NULL;
        double d;

        (void) json_scan_u64(slice_member(line, "attempt", SCAN_NUMBER), &attempt);
        (void) json_scan_u64(slice_member(line, "max_retries", SCAN_NUMBER), &most);
        if (json_scan_double(slice_member(line, "retry_delay_ms", SCAN_NUMBER), &d) >= 0 && d > 0 &&
            d < 1e15)
                delay = (uint64_t) d;
        text = xasprintf("\"retry %" PRIu64 " of %" PRIu64 " in %" PRIu64 " ms\"", attempt, most, delay);
        if (!text)
                return -ENOMEM;
        return feed_error_event(f, kind, http, (Slice){ text, strlen(text) }, true);
}

/* ---- tasks in the background ---- */

static void task_end(Claude *c, Slice id) {
        for (size_t i = 0; i < c->n_tasks; i++)
                if (claude_text_equal(c->tasks[i], id)) {
                        free(c->tasks[i]);
                        c->tasks[i] = c->tasks[--c->n_tasks];
                        return;
                }
}

static int task_begin(Claude *c, Slice id) {
        if (!slice_is_set(id) || id.size > CLAUDE_TASK_ID_MAX || c->n_tasks == CLAUDE_TASKS_MAX)
                return 0;
        task_end(c, id);
        c->tasks[c->n_tasks] = strndup(id.data, id.size);
        if (!c->tasks[c->n_tasks])
                return -ENOMEM;
        c->n_tasks++;
        return 0;
}

/* Later versions report the whole list at each change. */
static int tasks_are(Claude *c, Slice list) {
        Slice task;
        size_t iter = 0;
        int r = 0;

        while (c->n_tasks > 0)
                free(c->tasks[--c->n_tasks]);
        while (r >= 0 && json_scan_element(list, &iter, &task))
                r = task_begin(c, slice_member(task, "task_id", SCAN_STRING));
        return r;
}

static int feed_task(Claude *c, Slice line, Slice subtype) {
        Slice id = slice_member(line, "task_id", SCAN_STRING), status;

        if (json_scan_string_is(subtype, "background_tasks_changed"))
                return tasks_are(c, slice_member(line, "tasks", SCAN_ARRAY));
        if (json_scan_string_is(subtype, "task_started"))
                return task_begin(c, id);
        if (json_scan_string_is(subtype, "task_notification"))
                task_end(c, id);
        else if (
                json_scan_string_is(subtype, "task_updated") &&
                json_scan_path(line, &status, "patch", "status", NULL) &&
                !json_scan_string_is(status, "running") && !json_scan_string_is(status, "pending"))
                task_end(c, id);
        return 0;
}

static int feed_system(Claude *c, DriverFeed *f, Slice line) {
        Slice subtype = slice_member(line, "subtype", SCAN_STRING);

        if (json_scan_string_is(subtype, "init"))
                return feed_init(c, f, line);
        if (json_scan_string_is(subtype, "api_retry"))
                return feed_retry(f, line);
        return feed_task(c, line, subtype);
}

/* An error before the agent was ready: it is about to exit. */
static int feed_failed_start(Claude *c, DriverFeed *f, Slice line) {
        Slice errors = slice_member(line, "errors", SCAN_ARRAY),
              text = slice_member(line, "result", SCAN_STRING), v;
        size_t iter = 0;
        int r;

        if (json_scan_element(errors, &iter, &v) && json_scan_type(v) == SCAN_STRING)
                text = v;
        r = feed_error_event(
                f,
                SLICE_LITERAL("\"start\""),
                (Slice){},
                slice_is_set(text) ? text : SLICE_LITERAL("\"\""),
                false);
        return r < 0 ? r : fail(f, "Claude Code could not start", text);
}

int claude_feed(Driver *d, const char *line, size_t size, uint64_t offset, const DriverSink *sink) {
        Claude *c = claude(d);
        _cleanup_(feed_done) DriverFeed f = { .sink = sink, .offset = offset, .scratch = &c->scratch };
        Slice o = { line, size }, type, v;

        /* A piece of text changes nothing that is remembered. */
        if (!feed_wants_events(&f) && size > sizeof(stream_prefix) &&
            memcmp(line, stream_prefix, sizeof(stream_prefix) - 1) == 0 &&
            !memmem(line, size, "control_request", 15))
                return 0;
        if (size == 0 || (size == 1 && line[0] == '\r'))
                return 0;
        if (!json_scan_valid(line, size))
                return claude_feed_broken_line(&f, o);
        if (claude_line_is_ambiguous(o)) {
                c->ambiguous_lines++;
                return claude_feed_ambiguous_request(c, &f, o);
        }
        if (!json_scan_member(o, "type", &type))
                return feed_notice_line(&f, "the agent wrote a line without a type", line, size);
        if (json_scan_string_is(type, "stream_event"))
                return feed_wants_events(&f) ? feed_stream(&f, o) : 0;
        if (json_scan_string_is(type, "assistant"))
                return feed_assistant(c, &f, o);
        if (json_scan_string_is(type, "user"))
                return feed_user(c, &f, o);
        if (json_scan_string_is(type, "system"))
                return feed_system(c, &f, o);
        if (json_scan_string_is(type, "result")) {
                bool failed = json_scan_member(o, "is_error", &v) && json_scan_is_true(v);
                return failed && !c->ready ? feed_failed_start(c, &f, o) : claude_feed_result(c, &f, o);
        }
        if (json_scan_string_is(type, "control_request"))
                return claude_feed_control_request(c, &f, o);
        if (json_scan_string_is(type, "control_response"))
                return feed_control_response(c, &f, o);
        if (json_scan_string_is(type, "control_cancel_request"))
                return claude_feed_cancel(c, &f, o);
        return 0;
}

int claude_feed_oversize(
        Driver *d,
        const char *head,
        size_t head_size,
        uint64_t size,
        uint64_t offset,
        const DriverSink *sink) {
        Claude *c = claude(d);
        _cleanup_(feed_done) DriverFeed f = { .sink = sink, .offset = offset, .scratch = &c->scratch };
        Slice line = { head, head_size };

        if (json_scan_string_is(slice_head_string(line, "type"), "control_request"))
                return claude_feed_oversize_request(c, &f, line, size);
        c->oversize_lines++;
        return feed_oversize_event(&f, line, size, false);
}
