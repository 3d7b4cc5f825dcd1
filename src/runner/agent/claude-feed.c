/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "runner/agent/claude.h"

/* From the agent's lines to events. Members stand in any order (versions differ), and what is not known is not an
 * error: every release adds lines and members. Only what cannot be this protocol at all is a notice. */

#define REASON_MAX 500

/* Nearly every line of a busy agent is a piece of text. */
static const char stream_prefix[] = "{\"type\":\"stream_event\",";

static int set_text(char **p, Slice value) {
        char *copy = NULL;

        if (slice_is_set(value)) {
                copy = strndup(value.data, value.size);
                if (!copy)
                        return -ENOMEM;
        }
        free(*p);
        *p = copy;
        return 0;
}

static bool text_equal(const char *text, Slice value) {
        return text ? strlen(text) == value.size && memcmp(text, value.data, value.size) == 0 :
                      value.size == 0;
}

void claude_feed_parent(DriverFeed *f, Slice line) {
        feed_json(f, "parent", slice_member(line, "parent_tool_use_id", SCAN_STRING));
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
        claude_feed_parent(f, line);
        return feed_end(f);
}

static int feed_block(DriverFeed *f, Slice line, Slice block) {
        Slice type = slice_member(block, "type", SCAN_STRING);

        if (json_scan_string_is(type, "text")) {
                Slice text = slice_member(block, "text", SCAN_STRING);

                if (text.size <= 2)
                        return 0;
                feed_begin(f, "message");
                feed_json(f, "text", text);
                claude_feed_parent(f, line);
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
                feed_json(f, "input", slice_is_set(input) ? input : (Slice){ "{}", 2 });
                claude_feed_parent(f, line);
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
                return set_text(&c->error_kind, error);
        if (!feed_wants_events(f) || !json_scan_path(line, &content, "message", "content", NULL))
                return 0;
        while (json_scan_element(content, &iter, &block)) {
                r = feed_block(f, line, block);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- tools ---- */

/* The text of a tool's result, as a JSON string put together from its pieces without decoding any of them. */
static void result_text(Buffer *b, Slice content) {
        Slice block, text;
        size_t iter = 0;
        bool first = true;

        (void) buffer_append_str(b, ",\"text\":");
        if (json_scan_type(content) == SCAN_STRING) {
                (void) buffer_append(b, content.data, content.size);
                return;
        }
        (void) buffer_append(b, "\"", 1);
        while (json_scan_type(content) == SCAN_ARRAY && json_scan_element(content, &iter, &block)) {
                Slice type = slice_member(block, "type", SCAN_STRING);

                if (json_scan_string_is(type, "text"))
                        text = slice_member(block, "text", SCAN_STRING);
                else if (json_scan_string_is(type, "image"))
                        text = (Slice){ "\"[image]\"", 9 };
                else
                        text = (Slice){};
                if (text.size <= 2)
                        continue;
                if (!first)
                        (void) buffer_append_str(b, "\\n");
                first = false;
                (void) buffer_append(b, text.data + 1, text.size - 2);
        }
        (void) buffer_append(b, "\"", 1);
}

/* A tool that has a result has no open question any more. */
static void settle_asks(Claude *c, Slice tool_call_id) {
        for (size_t i = c->n_asks; i > 0; i--)
                if (c->asks[i - 1].tool_call_id && text_equal(c->asks[i - 1].tool_call_id, tool_call_id))
                        (void) claude_ask_drop(c, NULL, i - 1, false);
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
                settle_asks(c, id);
                if (!feed_wants_events(f))
                        continue;
                bool failed = json_scan_member(block, "is_error", &v) && json_scan_is_true(v);
                feed_begin(f, "tool_result");
                feed_json(f, "id", id);
                feed_json(f, "ok", failed ? (Slice){ "false", 5 } : (Slice){ "true", 4 });
                result_text(f->b, json_scan_member(block, "content", &v) ? v : (Slice){});
                claude_feed_parent(f, line);
                r = feed_end(f);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- questions ---- */

int claude_ask_drop(Claude *c, DriverFeed *f, size_t i, bool tell) {
        ClaudeAsk a = c->asks[i];
        int r = 0;

        memmove(c->asks + i, c->asks + i + 1, (c->n_asks - i - 1) * sizeof(ClaudeAsk));
        c->n_asks--;
        if (tell) {
                feed_begin(f, "ask_gone");
                (void) buffer_printf(f->b, ",\"requestId\":\"@%" PRIu64 ".%u\"", a.offset, a.n);
                r = feed_end(f);
        }
        claude_ask_done(&a);
        return r;
}

static int write_error(DriverFeed *f, Slice request_id, const char *text) {
        int r;

        if (!f->sink->write)
                return 0;
        buffer_clear(f->scratch, 256 * 1024);
        (void) buffer_append_str(
                        f->scratch,
                        "{\"type\":\"control_response\",\"response\":{\"subtype\":\"error\",\"request_id\":");
        (void) buffer_append(f->scratch, request_id.data, request_id.size);
        (void) buffer_append_str(f->scratch, ",\"error\":");
        (void) buffer_append_json_str(f->scratch, text);
        r = buffer_append_str(f->scratch, "}}\n");
        return r < 0 ? r : f->sink->write(f->sink->userdata, f->scratch->data, f->scratch->size);
}

static bool has_room(const Claude *c, size_t more) {
        size_t bytes = more;

        for (size_t i = 0; i < c->n_asks; i++)
                bytes += strlen(c->asks[i].input) + strlen(c->asks[i].suggestions);
        return c->n_asks < CLAUDE_ASKS_MAX && bytes <= CLAUDE_ASK_BYTES_MAX;
}

static int remember_ask(Claude *c, DriverFeed *f, Slice request_id, Slice request, ClaudeAsk **ret) {
        Slice title = slice_member(request, "title", SCAN_STRING);
        Slice input = slice_member(request, "input", SCAN_OBJECT);
        Slice suggestions = slice_member(request, "permission_suggestions", SCAN_ARRAY);
        ClaudeAsk a = { .offset = f->offset, .n = f->n };

        if (!slice_is_set(title))
                title = slice_member(request, "description", SCAN_STRING);
        if (!slice_is_set(title))
                title = slice_member(request, "display_name", SCAN_STRING);
        if (!slice_is_set(title))
                title = slice_member(request, "tool_name", SCAN_STRING);
        if (!slice_is_set(input))
                input = (Slice){ "{}", 2 };
        if (!slice_is_set(suggestions))
                suggestions = (Slice){ "[]", 2 };
        if (set_text(&a.request_id, request_id) < 0 ||
            set_text(&a.tool_call_id, slice_member(request, "tool_use_id", SCAN_STRING)) < 0 ||
            set_text(&a.tool, slice_member(request, "tool_name", SCAN_STRING)) < 0 ||
            set_text(&a.title, title) < 0 || set_text(&a.input, input) < 0 ||
            set_text(&a.suggestions, suggestions) < 0) {
                claude_ask_done(&a);
                return -ENOMEM;
        }
        c->asks[c->n_asks] = a;
        *ret = &c->asks[c->n_asks++];
        return 0;
}

static int tell_ask(DriverFeed *f, const ClaudeAsk *a) {
        int r;

        f->n++;
        if (!feed_wants_events(f))
                return 0;
        buffer_clear(f->scratch, 256 * 1024);
        (void) buffer_printf(f->scratch, "\"tool\":%s", a->tool);
        if (a->tool_call_id)
                (void) buffer_printf(f->scratch, ",\"toolCallId\":%s", a->tool_call_id);
        (void) buffer_append_str(f->scratch, ",\"title\":");
        (void) buffer_append_str(f->scratch, a->title);
        (void) buffer_append_str(f->scratch, ",\"input\":");
        (void) buffer_append_str(f->scratch, a->input);
        (void) buffer_append_str(f->scratch, ",\"suggestions\":");
        r = buffer_append_str(f->scratch, a->suggestions);
        return r < 0 ? r :
                       f->sink->event(f->sink->userdata,
                                      "permission.request",
                                      f->scratch->data,
                                      f->scratch->size);
}

static int feed_control_request(Claude *c, DriverFeed *f, Slice line) {
        Slice id = slice_member(line, "request_id", SCAN_STRING),
              request = slice_member(line, "request", SCAN_OBJECT);
        ClaudeAsk *a;
        int r;

        if (!slice_is_set(id) || !slice_is_set(request))
                return feed_notice_line(
                                f, "the agent sent a request that cannot be answered", line.data, line.size);
        if (!json_scan_string_is(slice_member(request, "subtype", SCAN_STRING), "can_use_tool"))
                return write_error(f, id, "this host does not serve requests of this kind");
        if (!slice_is_set(slice_member(request, "tool_name", SCAN_STRING)))
                return write_error(f, id, "the request names no tool");
        if (!has_room(c, request.size))
                return write_error(f, id, "too many questions are open");
        /* The same id again is the same question again: the newer one counts. */
        for (size_t i = c->n_asks; i > 0; i--)
                if (text_equal(c->asks[i - 1].request_id, id)) {
                        r = claude_ask_drop(c, f, i - 1, true);
                        if (r < 0)
                                return r;
                }
        r = remember_ask(c, f, id, request, &a);
        return r < 0 ? r : tell_ask(f, a);
}

static int feed_cancel(Claude *c, DriverFeed *f, Slice line) {
        Slice id = slice_member(line, "request_id", SCAN_STRING);

        for (size_t i = 0; slice_is_set(id) && i < c->n_asks; i++)
                if (text_equal(c->asks[i].request_id, id))
                        return claude_ask_drop(c, f, i, true);
        return 0;
}

/* ---- start, state ---- */

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
        int r;

        error = slice_member(response, "error", SCAN_STRING);
        if (json_scan_string_is(id, CLAUDE_INIT_ID)) {
                c->ready = true;
                return failed ? fail(f, "Claude Code could not be initialized", error) : 0;
        }
        if (!failed)
                return 0;
        feed_begin(f, "notice");
        (void) buffer_append_str(f->b, ",\"text\":\"the agent refused a request: ");
        if (error.size > 2)
                (void) buffer_append(f->b, error.data + 1, error.size - 2);
        r = buffer_append(f->b, "\"", 1);
        return r < 0 ? r : feed_end(f);
}

static int feed_init(Claude *c, DriverFeed *f, Slice line) {
        Slice session = slice_member(line, "session_id", SCAN_STRING),
              model = slice_member(line, "model", SCAN_STRING);
        Slice mode = slice_member(line, "permissionMode", SCAN_STRING);
        char *id;
        int r;

        c->ready = c->in_turn = true;
        c->queued = false;
        /* It comes with every turn; what has been told already is not told again. */
        if (c->told && text_equal(c->session, session) && text_equal(c->model, model) &&
            text_equal(c->mode, mode))
                return 0;
        c->told = true;
        if ((r = set_text(&c->session, session)) < 0 || (r = set_text(&c->model, model)) < 0 ||
            (r = set_text(&c->mode, mode)) < 0)
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
        text = xasprintf("retry %" PRIu64 " of %" PRIu64 " in %" PRIu64 " ms", attempt, most, delay);
        if (!text)
                return -ENOMEM;
        feed_begin(f, "error");
        feed_json(f, "kind", slice_is_set(kind) ? kind : (Slice){ "\"unknown\"", 9 });
        feed_json(f, "http", slice_is_set(http) ? http : (Slice){ "null", 4 });
        feed_text(f, "text", text, strlen(text));
        feed_json(f, "retrying", (Slice){ "true", 4 });
        return feed_end(f);
}

/* ---- tasks in the background ---- */

static void task_end(Claude *c, Slice id) {
        for (size_t i = 0; i < c->n_tasks; i++)
                if (text_equal(c->tasks[i], id)) {
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

/* Later versions tell the whole list at each change. */
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
        else if (json_scan_string_is(subtype, "task_updated") &&
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
        feed_begin(f, "error");
        feed_json(f, "kind", (Slice){ "\"start\"", 7 });
        feed_json(f, "http", (Slice){ "null", 4 });
        feed_json(f, "text", slice_is_set(text) ? text : (Slice){ "\"\"", 2 });
        feed_json(f, "retrying", (Slice){ "false", 5 });
        r = feed_end(f);
        return r < 0 ? r : fail(f, "Claude Code could not start", text);
}

int claude_feed(Driver *d, const char *line, size_t size, uint64_t offset, const DriverSink *sink) {
        Claude *c = claude(d);
        DriverFeed f = { .sink = sink, .offset = offset, .scratch = &c->scratch };
        Slice o = { line, size }, type, v;

        /* A piece of text changes nothing that is remembered. */
        if (!sink->event && size > sizeof(stream_prefix) &&
            memcmp(line, stream_prefix, sizeof(stream_prefix) - 1) == 0)
                return 0;
        if (size == 0 || (size == 1 && line[0] == '\r'))
                return 0;
        if (!json_scan_valid(line, size))
                return feed_notice_line(&f, "the agent wrote a line that is not JSON", line, size);
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
                return feed_control_request(c, &f, o);
        if (json_scan_string_is(type, "control_response"))
                return feed_control_response(c, &f, o);
        if (json_scan_string_is(type, "control_cancel_request"))
                return feed_cancel(c, &f, o);
        return 0;
}
