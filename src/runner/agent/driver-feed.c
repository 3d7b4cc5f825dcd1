/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "runner/agent/driver-feed.h"
#include "runner/agent/driver-util.h"

#define NOTICE_QUOTE_MAX 200
#define OVERSIZE_HEAD_BYTES ((size_t) 4096)

void feed_done(DriverFeed *f) {
        buffer_clear(f->scratch, FEED_SCRATCH_KEPT);
}

void feed_open(DriverFeed *f, const char *method) {
        if (f->sink->open)
                f->b = f->sink->open(f->sink->userdata, method);
        else {
                f->b = f->scratch;
                buffer_clear(f->b, FEED_SCRATCH_KEPT);
        }
        f->begin = f->b->size;
}

void feed_begin(DriverFeed *f, const char *type) {
        feed_open(f, "message.agent");
        (void) buffer_append_str(f->b, "\"event\":{\"type\":\"");
        (void) buffer_append_str(f->b, type);
        (void) buffer_append(f->b, "\"", 1);
}

static void name_member(Buffer *b, const char *name) {
        (void) buffer_append(b, ",\"", 2);
        (void) buffer_append_str(b, name);
        (void) buffer_append(b, "\":", 2);
}

void feed_json(DriverFeed *f, const char *name, Slice value) {
        if (value.size == 0 || !feed_wants_events(f))
                return;
        name_member(f->b, name);
        (void) buffer_append(f->b, value.data, value.size);
}

void feed_text(DriverFeed *f, const char *name, const char *text, size_t size) {
        if (!feed_wants_events(f))
                return;
        name_member(f->b, name);
        (void) buffer_append_json(f->b, text, size);
}

int feed_end(DriverFeed *f) {
        int r;

        f->n++;
        if (!f->sink->event)
                return 0;
        r = buffer_append(f->b, "}", 1);
        if (r < 0)
                return r;
        return f->sink->event(
                f->sink->userdata, "message.agent", f->b->data + f->begin, f->b->size - f->begin);
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
        feed_begin(f, "notice");
        feed_text(f, "text", text.data, text.size);
        return feed_end(f);
}

int feed_oversize_event(DriverFeed *f, Slice line, uint64_t size, bool denied) {
        size_t n = MIN(line.size, OVERSIZE_HEAD_BYTES);

        feed_begin(f, "oversize");
        feed_json(f, "lineType", slice_head_string(line, "type"));
        (void) buffer_printf(f->b, ",\"size\":%" PRIu64, size);
        feed_text(f, "head", line.data, n);
        if (denied)
                feed_json(f, "denied", (Slice){ "true", 4 });
        return feed_end(f);
}

int feed_ambiguous(DriverFeed *f, const char *line, size_t size) {
        return feed_notice_line(f, "the agent wrote a line in which a member occurs twice", line, size);
}
