/* SPDX-License-Identifier: MIT */
#include "common/json-scan.h"
#include "runner/conversation/event-cut.h"

int cut_append(Buffer *b, const char *text, size_t max, const char *more) {
        size_t size = strlen(text);

        (void) buffer_append_str(b, "{");
        if (more) {
                (void) buffer_append_str(b, more);
                (void) buffer_append_str(b, ",");
        }
        (void) buffer_printf(b, "\"size\":%zu,\"begins\":", size);
        (void) buffer_append_json(b, text, (size_t) utf8_cut(text, max));
        return buffer_append_str(b, "}");
}

char *event_cut(const char *event, const char *message_id, const char *place, const char *cursor) {
        Slice whole = { event, strlen(event) }, method = { "null", 4 }, type;
        _cleanup_buffer_ Buffer b = {}, more = {};

        if (!json_scan_member(whole, "method", &method) || method.size > 64)
                method = (Slice){ "null", 4 };
        if (json_scan_path(whole, &type, "params", "event", "type", NULL) && type.size <= 64 &&
            json_scan_type(type) == SCAN_STRING) {
                (void) buffer_append_str(&more, "\"type\":");
                (void) buffer_append(&more, type.data, type.size);
                (void) buffer_append_str(&more, ",");
        }
        (void) buffer_append_str(&more, "\"cursor\":");
        (void) buffer_append_json_str(&more, cursor);
        (void) buffer_append_str(&b, "{\"jsonrpc\":\"2.0\",\"method\":");
        (void) buffer_append(&b, method.data, method.size);
        (void) buffer_append_str(&b, ",\"params\":{\"messageId\":");
        (void) buffer_append_json_str(&b, message_id);
        (void) buffer_append_str(&b, ",");
        (void) buffer_append_str(&b, place);
        (void) buffer_append_str(&b, ",\"cut\":");
        b.failed |= more.failed;
        if (!b.failed)
                (void) cut_append(&b, event, EVENT_INLINE_MAX, more.data);
        (void) buffer_append_str(&b, "}}");
        return buffer_steal(&b);
}

ssize_t event_piece(const char *text, size_t size, uint64_t offset) {
        size_t n;

        if (offset > size || (offset < size && ((unsigned char) text[offset] & 0xc0) == 0x80))
                return -ERANGE;
        n = MIN(size - (size_t) offset, EVENT_PIECE_MAX);
        if (offset + n < size)
                while (n > 0 && ((unsigned char) text[offset + n] & 0xc0) == 0x80)
                        n--;
        return (ssize_t) n;
}
