/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "runner/agent/driver-feed.h"
#include "runner/agent/driver-util.h"

#define NOTICE_QUOTE_MAX 200
#define OVERSIZE_HEAD_BYTES ((size_t) 4096)

void feed_done(DriverFeed *f) {
        buffer_clear(f->scratch, FEED_SCRATCH_KEPT);
}

static void begin(DriverFeed *f, const char *method, const char *end) {
        f->method = method;
        f->end = end;
        if (!feed_wants_events(f))
                return;
        if (f->sink->open)
                f->b = f->sink->open(f->sink->userdata, method);
        else {
                f->b = f->scratch;
                buffer_clear(f->b, FEED_SCRATCH_KEPT);
        }
        f->begin = f->b->size;
}

void feed_begin(DriverFeed *f, const char *type) {
        begin(f, "message.agent", "}");
        if (!feed_wants_events(f))
                return;
        (void) buffer_append_str(f->b, "\"event\":{");
        feed_string(f, "type", type);
}

void feed_begin_permission(DriverFeed *f) {
        begin(f, "permission.request", "");
}

int feed_end(DriverFeed *f) {
        int r;

        f->n++;
        if (!feed_wants_events(f))
                return 0;
        r = buffer_append_str(f->b, f->end);
        if (r < 0)
                return r;
        return f->sink->event(f->sink->userdata, f->method, f->b->data + f->begin, f->b->size - f->begin);
}

/* The name of a member, and what separates it from the member before. Returns where its value belongs, or NULL. */
static Buffer *value_of(DriverFeed *f, const char *name) {
        if (!feed_wants_events(f))
                return NULL;
        if (f->b->size > f->begin && f->b->data[f->b->size - 1] != '{')
                (void) buffer_append_str(f->b, ",");
        (void) buffer_append_str(f->b, "\"");
        (void) buffer_append_str(f->b, name);
        (void) buffer_append_str(f->b, "\":");
        return f->b;
}

void feed_json(DriverFeed *f, const char *name, Slice value) {
        Buffer *b = value.size > 0 ? value_of(f, name) : NULL;

        if (b)
                (void) buffer_append(b, value.data, value.size);
}

void feed_text(DriverFeed *f, const char *name, const char *text, size_t size) {
        Buffer *b = value_of(f, name);

        if (b)
                (void) buffer_append_json(b, text, size);
}

void feed_string(DriverFeed *f, const char *name, const char *text) {
        feed_text(f, name, text, strlen(text));
}

void feed_bool(DriverFeed *f, const char *name, bool value) {
        feed_json(f, name, value ? SLICE_LITERAL("true") : SLICE_LITERAL("false"));
}

void feed_u64(DriverFeed *f, const char *name, uint64_t value) {
        Buffer *b = value_of(f, name);

        if (b)
                (void) buffer_printf(b, "%" PRIu64, value);
}

void feed_double(DriverFeed *f, const char *name, double value) {
        Buffer *b = value_of(f, name);

        if (b)
                (void) buffer_printf(b, "%.12g", value);
}

void feed_id(DriverFeed *f, const char *name, uint64_t offset, unsigned n) {
        Buffer *b = value_of(f, name);

        if (b)
                (void) buffer_printf(b, "\"@%" PRIu64 ".%u\"", offset, n);
}

static void append(DriverFeed *f, const char *data, size_t size) {
        if (feed_wants_events(f))
                (void) buffer_append(f->b, data, size);
}

void feed_open(DriverFeed *f, const char *name) {
        feed_json(f, name, SLICE_LITERAL("{"));
}

void feed_close(DriverFeed *f) {
        append(f, "}", 1);
}

void feed_pieces_begin(DriverFeed *f, const char *name) {
        feed_json(f, name, SLICE_LITERAL("\""));
}

void feed_piece(DriverFeed *f, Slice string) {
        if (string.size > 2)
                append(f, string.data + 1, string.size - 2);
}

void feed_pieces_end(DriverFeed *f) {
        append(f, "\"", 1);
}

int feed_error_event(DriverFeed *f, Slice kind, Slice http, Slice text, bool retrying) {
        feed_begin(f, "error");
        feed_json(f, "kind", slice_is_set(kind) ? kind : SLICE_LITERAL("\"unknown\""));
        feed_json(f, "http", slice_is_set(http) ? http : SLICE_LITERAL("null"));
        feed_json(f, "text", text);
        feed_bool(f, "retrying", retrying);
        return feed_end(f);
}

int feed_notice(DriverFeed *f, const char *text, size_t size) {
        feed_begin(f, "notice");
        feed_text(f, "text", text, size);
        return feed_end(f);
}

int feed_notice_line(DriverFeed *f, const char *what, const char *line, size_t size) {
        size_t quoted = MIN(size, (size_t) NOTICE_QUOTE_MAX);
        _cleanup_buffer_ Buffer text = {};

        /* Not in the middle of a character. */
        for (unsigned i = 0; i < 3 && quoted < size && ((unsigned char) line[quoted] & 0xc0) == 0x80; i++)
                quoted--;
        (void) buffer_printf(&text, "%s (%zu bytes): ", what, size);
        (void) buffer_append(&text, line, quoted);
        if (quoted < size)
                (void) buffer_append_str(&text, "…");
        if (text.failed)
                return -ENOMEM;
        return feed_notice(f, text.data, text.size);
}

int feed_oversize_event(DriverFeed *f, Slice line, uint64_t size, bool denied) {
        size_t n = MIN(line.size, OVERSIZE_HEAD_BYTES);

        feed_begin(f, "oversize");
        feed_json(f, "lineType", slice_head_string(line, "type"));
        feed_u64(f, "size", size);
        feed_text(f, "head", line.data, n);
        if (denied)
                feed_bool(f, "denied", true);
        return feed_end(f);
}

int feed_ambiguous(DriverFeed *f, const char *line, size_t size) {
        return feed_notice_line(f, "the agent wrote a line in which a member occurs twice", line, size);
}
