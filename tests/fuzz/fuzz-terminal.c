/* SPDX-License-Identifier: MIT */
#include "ctl/options.h"
#include "ctl/terminal/terminal.h"
#include "fuzz.h"

/* Text of an agent on its way to a terminal: nothing that a terminal obeys is left of it, wherever it is cut. */

Arguments arg;

static void check_harmless(const char *text, size_t size, bool lines) {
        for (size_t i = 0; i < size;) {
                size_t n = utf8_sequence(text + i, size - i);
                unsigned char c = (unsigned char) text[i];

                CHECK(n > 0);
                CHECK(n > 1 || (c >= 0x20 && c != 0x7f) || (lines && (c == '\n' || c == '\t')));
                /* C1, and the marks that turn the direction */
                CHECK(!(c == 0xc2 && (unsigned char) text[i + 1] < 0xa0));
                CHECK(!(c == 0xe2 && (unsigned char) text[i + 1] == 0x80 &&
                        (unsigned char) text[i + 2] >= 0xaa && (unsigned char) text[i + 2] <= 0xae));
                i += n;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *) data;
        _cleanup_buffer_ Buffer whole = {}, cut = {};
        _cleanup_free_ char *copy = strndup(text, size), *line = NULL;
        Sanitizer s = {}, t = {};

        CHECK(sanitize(&s, text, size, &whole) >= 0);
        check_harmless(strempty(whole.data), whole.size, true);
        /* A character is never cut: what is none stands alone. */
        for (size_t i = 0; i < size;) {
                size_t n = MAX(utf8_sequence(text + i, size - i), (size_t) 1);

                CHECK(sanitize(&t, text + i, n, &cut) >= 0);
                i += n;
        }
        CHECK(whole.size == cut.size && (cut.size == 0 || memcmp(whole.data, cut.data, cut.size) == 0));
        CHECK(copy);
        line = sanitize_line(copy, 20);
        CHECK(line && !strchr(line, '\n'));
        check_harmless(line, strlen(line), false);
        return 0;
}
