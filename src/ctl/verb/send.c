/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/buffer.h"
#include "ctl/ctl.h"

#define MESSAGE_MAX (16 * 1024 * 1024)

static int read_stdin(Buffer *b) {
        char chunk[65536];
        size_t n;

        while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
                if (b->size + n > MESSAGE_MAX)
                        return -EFBIG;
                else if (buffer_append(b, chunk, n) < 0)
                        return -ENOMEM;
        return ferror(stdin) ? -EIO : 0;
}

int verb_send(char **words) {
        _cleanup_buffer_ Buffer text = {};
        int r = 0;

        if (streq(words[2], "-") && !words[3])
                r = read_stdin(&text);
        else
                STRV_FOREACH(w, words + 2) {
                        if (w != words + 2)
                                (void) buffer_append_str(&text, " ");
                        r = buffer_append_str(&text, *w);
                }
        if (r < 0) {
                (void) fprintf(stderr, "northflarectl: the message cannot be read: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        if (text.size == 0 || !utf8_is_valid(text.data, text.size) || memchr(text.data, 0, text.size)) {
                (void) fprintf(stderr,
                               "northflarectl: the message is %s\n",
                               text.size == 0 ? "empty" : "not UTF-8 text");
                return EXIT_FAILED;
        }
        if (!utf8_is_for_bus(text.data)) {
                (void) fputs("northflarectl: the message holds a Unicode noncharacter, which D-Bus does not carry\n",
                             stderr);
                return EXIT_FAILED;
        }
        return call_conversation(words[1], "SendMessage", NULL, "s", text.data);
}
