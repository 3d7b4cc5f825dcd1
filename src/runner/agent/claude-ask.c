/* SPDX-License-Identifier: MIT */
#include "runner/agent/claude-ask.h"
#include "runner/agent/claude-text.h"
#include "runner/agent/driver-util.h"

/* Requests of the agent: questions for a person, and all others, which are answered at once. */

#define AMBIGUOUS_IDS_MAX 4
/* What is read of a line that is not JSON. */
#define BROKEN_HEAD_BYTES ((size_t) 4 * 1024)
#define TOO_LONG "The request is longer than this host forwards, so it was not allowed."
#define TOO_DEEP "The request is nested more deeply than this host forwards, so it was not allowed."
#define UNREADABLE "The request cannot be parsed, so it was not allowed."

void claude_ask_done(ClaudeAsk *a) {
        free(a->request_id);
        free(a->tool_call_id);
        *a = (ClaudeAsk){};
}

void claude_settle_asks(Claude *c, Slice tool_call_id) {
        for (size_t i = c->n_asks; i > 0; i--)
                if (c->asks[i - 1].tool_call_id &&
                    claude_text_equal(c->asks[i - 1].tool_call_id, tool_call_id))
                        (void) claude_ask_drop(c, NULL, i - 1, false);
}

ClaudeAsk *claude_find_ask(Claude *c, uint64_t offset, unsigned n) {
        for (size_t i = 0; i < c->n_asks; i++)
                if (c->asks[i].offset == offset && c->asks[i].n == n)
                        return &c->asks[i];
        return NULL;
}

int claude_ask_drop(Claude *c, DriverFeed *f, size_t i, bool with_event) {
        ClaudeAsk a = c->asks[i];
        int r = 0;

        memmove(c->asks + i, c->asks + i + 1, (c->n_asks - i - 1) * sizeof(ClaudeAsk));
        c->n_asks--;
        if (with_event) {
                feed_begin(f, "ask_gone");
                feed_id(f, "requestId", a.offset, a.n);
                r = feed_end(f);
        }
        claude_ask_done(&a);
        return r;
}

/* An answer of this host's own: its subtype, what stands between the request's id and a text, and
 * what stands behind that. */
static int write_answer(
        DriverFeed *f,
        const char *subtype,
        Slice request_id,
        const char *between,
        const char *text,
        const char *behind) {
        int r;

        if (!f->sink->write)
                return 0;
        buffer_clear(f->scratch, FEED_SCRATCH_KEPT);
        (void) buffer_append_str(f->scratch, "{\"type\":\"control_response\",\"response\":{\"subtype\":");
        (void) buffer_append_str(f->scratch, subtype);
        (void) buffer_append_str(f->scratch, ",\"request_id\":");
        (void) buffer_append(f->scratch, request_id.data, request_id.size);
        (void) buffer_append_str(f->scratch, between);
        (void) buffer_append_json_str(f->scratch, text);
        r = buffer_append_str(f->scratch, behind);
        return r < 0 ? r : f->sink->write(f->sink->userdata, f->scratch->data, f->scratch->size);
}

static int write_error(DriverFeed *f, Slice request_id, const char *text) {
        return write_answer(f, "\"error\"", request_id, ",\"error\":", text, "}}\n");
}

/* The model reads the message and continues. */
static int write_denial(DriverFeed *f, Slice request_id, const char *message) {
        return write_answer(
                f,
                "\"success\"",
                request_id,
                ",\"response\":{\"behavior\":\"deny\",\"message\":",
                message,
                "}}}\n");
}

uint64_t claude_ask_text_bytes(const ClaudeAskText *t) {
        return (uint64_t) t->request_id.size + t->tool_call_id.size + t->text.tool.size +
                t->text.title.size + t->text.input.size + t->text.suggestions.size;
}

/* For one more, of a line of so many bytes. */
static bool has_room(const Claude *c, uint64_t more) {
        uint64_t bytes = more;

        for (size_t i = 0; i < c->n_asks; i++)
                bytes += MIN(c->asks[i].size, (uint64_t) CLAUDE_ASK_BYTES_MAX + 1);
        return c->n_asks < CLAUDE_ASKS_MAX && bytes <= CLAUDE_ASK_BYTES_MAX;
}

static void take_text(Slice request_id, Slice request, ClaudeAskText *ret) {
        static const char *const titles[] = { "title", "description", "display_name", "tool_name" };
        DriverQuestionText t = {
                .tool = slice_member(request, "tool_name", SCAN_STRING),
                .input = slice_member(request, "input", SCAN_OBJECT),
                .suggestions = slice_member(request, "permission_suggestions", SCAN_ARRAY),
        };

        for (size_t i = 0; i < ELEMENTSOF(titles) && !slice_is_set(t.title); i++)
                t.title = slice_member(request, titles[i], SCAN_STRING);
        if (!slice_is_set(t.input))
                t.input = SLICE_LITERAL("{}");
        if (!slice_is_set(t.suggestions))
                t.suggestions = SLICE_LITERAL("[]");
        *ret = (ClaudeAskText){ request_id, slice_member(request, "tool_use_id", SCAN_STRING), t };
}

int claude_ask_read(const ClaudeAsk *a, Slice line, ClaudeAskText *ret) {
        Slice id, request;

        if (!slice_is_set(line) || !json_scan_valid(line.data, line.size))
                return -EBADMSG;
        id = slice_member(line, "request_id", SCAN_STRING);
        request = slice_member(line, "request", SCAN_OBJECT);
        take_text(id, request, ret);
        return claude_text_equal(a->request_id, id) && slice_is_set(ret->text.tool) ? 0 : -EBADMSG;
}

static int remember_ask(Claude *c, DriverFeed *f, const ClaudeAskText *t) {
        ClaudeAsk a = { .offset = f->offset, .n = f->n, .size = claude_ask_text_bytes(t) };

        if (claude_set_text(&a.request_id, t->request_id) < 0 ||
            claude_set_text(
                    &a.tool_call_id, t->tool_call_id.size <= CLAUDE_NAME_MAX ? t->tool_call_id : (Slice){}) <
                    0) {
                claude_ask_done(&a);
                return -ENOMEM;
        }
        c->asks[c->n_asks++] = a;
        return 0;
}

static int report_ask(DriverFeed *f, const ClaudeAskText *t) {
        feed_begin_permission(f);
        feed_json(f, "tool", t->text.tool);
        feed_json(f, "toolCallId", t->tool_call_id);
        feed_json(f, "title", t->text.title);
        feed_json(f, "input", t->text.input);
        feed_json(f, "suggestions", t->text.suggestions);
        return feed_end(f);
}

int claude_feed_control_request(Claude *c, DriverFeed *f, Slice line) {
        Slice id = slice_member(line, "request_id", SCAN_STRING),
              request = slice_member(line, "request", SCAN_OBJECT);
        ClaudeAskText t;
        int r;

        if (!slice_is_set(id) || !slice_is_set(request))
                return feed_notice_line(
                        f, "the agent sent a request that cannot be answered", line.data, line.size);
        if (!json_scan_string_is(slice_member(request, "subtype", SCAN_STRING), "can_use_tool"))
                return write_error(f, id, "this host does not serve requests of this kind");
        Slice tool = slice_member(request, "tool_name", SCAN_STRING);
        if (!slice_is_set(tool))
                return write_error(f, id, "the request names no tool");
        if (tool.size > CLAUDE_TOOL_NAME_MAX)
                return write_error(f, id, "the name of the tool is too long");
        if (id.size > CLAUDE_NAME_MAX)
                return write_error(f, id, "the id of the request is too long");
        if (line.size > CLAUDE_ASK_LINE_MAX)
                return claude_feed_oversize_request(c, f, line, line.size);
        /* Its event is one level deeper, and the body of a POST another. */
        if (json_scan_check_bounded(line.data, line.size, SIZE_MAX, JSON_DEPTH_MAX - 2, NULL)) {
                r = write_denial(f, id, TOO_DEEP);
                return r < 0 ? r :
                               feed_notice_line(
                                       f,
                                       "the agent sent a request that is nested too deeply",
                                       line.data,
                                       line.size);
        }
        if (!has_room(c, line.size))
                return write_error(f, id, "too many questions are open");
        /* The same id again is the same question again: the newer one counts. */
        for (size_t i = c->n_asks; i > 0; i--)
                if (claude_text_equal(c->asks[i - 1].request_id, id)) {
                        r = claude_ask_drop(c, f, i - 1, true);
                        if (r < 0)
                                return r;
                }
        take_text(id, request, &t);
        r = remember_ask(c, f, &t);
        return r < 0 ? r : report_ask(f, &t);
}

int claude_feed_cancel(Claude *c, DriverFeed *f, Slice line) {
        Slice id = slice_member(line, "request_id", SCAN_STRING);

        for (size_t i = 0; slice_is_set(id) && i < c->n_asks; i++)
                if (claude_text_equal(c->asks[i].request_id, id))
                        return claude_ask_drop(c, f, i, true);
        return 0;
}

/* Answers a request of which the beginning is there, as far as that names it. *ret_denied: it was a question. */
static int refuse_head(DriverFeed *f, Slice line, const char *why, bool *ret_denied) {
        Slice id = slice_head_string(line, "request_id"), request = { line.data, 0 }, name, value;
        size_t iter = 0;

        /* The request itself may be cut off: where it begins is known, and its end need not be. */
        while (json_scan_next_member(line, &iter, &name, &value))
                if (json_scan_string_is(name, "request"))
                        request = value;
        *ret_denied = slice_is_set(id) &&
                json_scan_string_is(slice_head_string(request, "subtype"), "can_use_tool");
        return !slice_is_set(id) ? 0 : *ret_denied ? write_denial(f, id, why) : write_error(f, id, why);
}

int claude_feed_oversize_request(Claude *c, DriverFeed *f, Slice line, uint64_t size) {
        bool denied;
        int r;

        c->oversize_lines++;
        r = refuse_head(f, line, TOO_LONG, &denied);
        return r < 0 ? r : feed_oversize_event(f, line, size, denied);
}

int claude_feed_broken_line(DriverFeed *f, Slice line) {
        Slice head = { line.data, MIN(line.size, BROKEN_HEAD_BYTES) };
        bool denied;
        int r = 0;

        if (json_scan_string_is(slice_head_string(head, "type"), "control_request"))
                r = refuse_head(f, head, UNREADABLE, &denied);
        return r < 0 ? r :
                       feed_notice_line(f, "the agent wrote a line that is not JSON", line.data, line.size);
}

int claude_feed_ambiguous_request(Claude *c, DriverFeed *f, Slice line) {
        Slice ids[AMBIGUOUS_IDS_MAX], name, value;
        bool request = false;
        size_t iter = 0, n = 0;
        int r = 0;

        /* Any of the types counts, and any of the ids: another reader may take any. */
        while (json_scan_next_member(line, &iter, &name, &value)) {
                request = request || json_scan_string_is(value, "control_request");
                if (n < AMBIGUOUS_IDS_MAX && json_scan_type(value) == SCAN_STRING &&
                    json_scan_string_is(name, "request_id"))
                        ids[n++] = value;
        }
        for (size_t i = 0; i < n && request && r >= 0; i++)
                r = write_error(f, ids[i], "a member of this request occurs twice");
        return r < 0 ? r : feed_ambiguous(f, line.data, line.size);
}
