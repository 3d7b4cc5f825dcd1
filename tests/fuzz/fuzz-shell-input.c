/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "common/json-scan.h"
#include "fuzz.h"
#include "shell-agent/input.h"

/* What the shell agent reads: in whatever pieces the bytes come, the messages are the same, and a script is text. */

static void take(Input *in, Buffer *seen) {
        InputMessage m;

        while (input_next(in, &m)) {
                CHECK(m.type >= INPUT_NONE && m.type <= INPUT_BAD);
                CHECK((m.type == INPUT_USER || m.type == INPUT_BAD) == !!m.text);
                if (m.type == INPUT_USER)
                        CHECK(strlen(m.text) == m.size && utf8_is_valid(m.text, m.size));
                if (m.id)
                        check_json(m.id, strlen(m.id));
                (void) buffer_printf(seen, "%d|%s|%s|", (int) m.type, strempty(m.id), strempty(m.text));
                input_message_done(&m);
        }
}

static void run(const uint8_t *data, size_t size, size_t piece, Buffer *seen) {
        Input in = {};
        int fds[2];

        CHECK(pipe2(fds, O_CLOEXEC) >= 0);
        for (size_t at = 0; at < size; at += piece) {
                size_t n = MIN(piece, size - at);

                CHECK(write(fds[1], data + at, n) == (ssize_t) n);
                CHECK(input_read(&in, fds[0]) == 1);
                take(&in, seen);
        }
        safe_close(fds[1]);
        CHECK(input_read(&in, fds[0]) == 0);
        take(&in, seen);
        safe_close(fds[0]);
        input_done(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const size_t pieces[] = { 3, 64 };
        _cleanup_buffer_ Buffer whole = {};

        if (size == 0 || size > 4096)
                return 0;
        run(data, size, size, &whole);
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                _cleanup_buffer_ Buffer cut = {};

                run(data, size, pieces[i], &cut);
                CHECK(cut.size == whole.size &&
                      (cut.size == 0 || memcmp(cut.data, whole.data, cut.size) == 0));
        }
        return 0;
}
