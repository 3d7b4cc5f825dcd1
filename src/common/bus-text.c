/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "common/bus-text.h"

static char *replace(const char *s, bool json) {
        _cleanup_buffer_ Buffer out = {};
        const char *plain = s;

        for (size_t size = strlen(s), n; size > 0; s += n, size -= n) {
                n = utf8_sequence(s, size);
                if (n > 0 && !utf8_is_noncharacter(s, n))
                        continue;
                (void) buffer_append(&out, plain, (size_t) (s - plain));
                if (n == 3 && json)
                        (void) buffer_printf(
                                &out,
                                "\\u%04x",
                                (unsigned) ((s[0] & 0x0f) << 12 | (s[1] & 0x3f) << 6 | (s[2] & 0x3f)));
                else if (n == 4 && json) {
                        unsigned c =
                                (unsigned) ((s[0] & 0x07) << 18 | (s[1] & 0x3f) << 12 | (s[2] & 0x3f) << 6 | (s[3] & 0x3f)) -
                                0x10000;

                        /* RFC 8259, section 7: a pair of surrogates. */
                        (void) buffer_printf(&out, "\\u%04x\\u%04x", 0xd800 | c >> 10, 0xdc00 | (c & 0x3ff));
                } else
                        (void) buffer_append_str(&out, "\xef\xbf\xbd");
                n = n > 0 ? n : 1;
                plain = s + n;
        }
        (void) buffer_append_str(&out, plain);
        return buffer_steal(&out);
}

char *bus_json(const char *json) {
        return replace(json, true);
}

char *bus_text(const char *text) {
        return replace(text, false);
}
