/* SPDX-License-Identifier: MIT */
#include "runner/link/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever the pieces, a stream means the same; and nothing is larger than allowed. */

#define MAX_DATA 64

typedef struct Seen {
        Buffer text;
} Seen;

static int on_event(const SseEvent *e, void *userdata) {
        Seen *s = userdata;

        assert(e->size <= MAX_DATA);
        assert(strlen(e->id) <= SSE_ID_MAX && strlen(e->type) <= SSE_TYPE_MAX);
        assert(e->data[e->size] == 0);
        (void) buffer_printf(&s->text, "%s|%s|%d|%zu|", e->type, e->id, e->too_large, e->size);
        (void) buffer_append(&s->text, e->data, e->size);
        return 0;
}

static void run(const uint8_t *data, size_t size, size_t piece, Seen *s) {
        _cleanup_(sse_parser_freep) SseParser *p = NULL;

        if (sse_parser_new(MAX_DATA, on_event, s, &p) < 0)
                abort();
        sse_parser_reset(p);
        for (size_t at = 0; at < size; at += piece)
                if (sse_parser_feed(p, (const char *) data + at, MIN(piece, size - at)) < 0)
                        abort();
        (void) buffer_append_str(&s->text, sse_parser_last_id(p));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const size_t pieces[] = { 1, 2, 7 };
        Seen whole = {};

        if (size == 0)
                return 0;
        run(data, size, size, &whole);
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                Seen cut = {};

                run(data, size, pieces[i], &cut);
                if (cut.text.size != whole.text.size ||
                    (cut.text.size > 0 && memcmp(cut.text.data, whole.text.data, cut.text.size) != 0))
                        abort();
                buffer_done(&cut.text);
        }
        buffer_done(&whole.text);
        return 0;
}
