/* SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "runner/link/sse.h"

/* Whatever the pieces, a stream means the same, which is what a reader that has all of it at hand makes of it; and
 * nothing is larger than allowed. */

#define MAX_DATA 64

static void note(Buffer *seen, const char *type, const char *id, bool large, const char *data, size_t size) {
        (void) buffer_printf(seen, "%s|%s|%d|%zu|", type, id, large, size);
        (void) buffer_append(seen, data, size);
}

static int on_event(const SseEvent *e, void *userdata) {
        CHECK(e->size <= MAX_DATA);
        CHECK(strlen(e->id) <= SSE_ID_MAX && strlen(e->type) <= SSE_TYPE_MAX);
        CHECK(e->data[e->size] == 0);
        note(userdata, e->type, e->id, e->too_large, e->data, e->size);
        return 0;
}

static void note_end(Buffer *seen, const char *id, uint64_t retry) {
        (void) buffer_printf(seen, "%s|%llu", id, (unsigned long long) retry);
}

static void run(const uint8_t *data, size_t size, size_t piece, Buffer *seen) {
        _cleanup_(sse_parser_freep) SseParser *p = NULL;

        CHECK(sse_parser_new(MAX_DATA, on_event, seen, &p) >= 0);
        sse_parser_reset(p);
        for (size_t at = 0; at < size; at += piece)
                CHECK(sse_parser_feed(p, (const char *) data + at, MIN(piece, size - at)) >= 0);
        note_end(seen, sse_parser_last_id(p), sse_parser_retry_msec(p));
}

/* ---- the standard, word by word, with our limits ---- */

typedef struct Reader {
        Buffer data, *seen;
        bool has_data, too_large;
        char type[SSE_TYPE_MAX + 1], id[SSE_ID_MAX + 1], last_id[SSE_ID_MAX + 1];
        uint64_t retry;
} Reader;

static void dispatch(Reader *r) {
        memcpy(r->last_id, r->id, sizeof(r->id));
        if (r->has_data) {
                /* Each data line brought a line feed; the last one goes. */
                bool large = r->data.size - 1 > MAX_DATA;
                note(r->seen,
                     *r->type ? r->type : "message",
                     r->last_id,
                     large,
                     large ? "" : r->data.data,
                     large ? 0 : r->data.size - 1);
        }
        buffer_done(&r->data);
        r->has_data = false;
        r->type[0] = 0;
}

static void process_retry(Reader *r, const char *value, size_t size) {
        uint64_t n = 0;

        if (size == 0 || size > 15)
                return;
        for (size_t i = 0; i < size; i++) {
                if (value[i] < '0' || value[i] > '9')
                        return;
                n = n * 10 + (uint64_t) (value[i] - '0');
        }
        r->retry = n;
}

static void process(Reader *r, const char *line, size_t size) {
        const char *colon = memchr(line, ':', size), *value = "";
        size_t name = colon ? (size_t) (colon - line) : size, n = 0;

        if (colon) {
                value = colon + 1;
                n = size - name - 1;
                if (n > 0 && *value == ' ') {
                        value++;
                        n--;
                }
        }
        if (name == 4 && memcmp(line, "data", 4) == 0) {
                r->has_data = true;
                (void) buffer_append(&r->data, value, n);
                (void) buffer_append(&r->data, "\n", 1);
        } else if (name == 5 && memcmp(line, "event", 5) == 0) {
                bool large = n > SSE_TYPE_MAX || memchr(value, 0, n);
                memcpy(r->type, large ? "?" : value, large ? 1 : n);
                r->type[large ? 1 : n] = 0;
        } else if (name == 2 && memcmp(line, "id", 2) == 0) {
                if (n <= SSE_ID_MAX && !memchr(value, 0, n)) {
                        memcpy(r->id, value, n);
                        r->id[n] = 0;
                }
        } else if (name == 5 && memcmp(line, "retry", 5) == 0)
                process_retry(r, value, n);
}

static void read_all(const char *text, size_t size, Buffer *seen) {
        Reader r = { .seen = seen, .retry = UINT64_MAX };

        if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
                text += 3;
                size -= 3;
        }
        for (size_t begin = 0, i = 0; i < size; i++) {
                if (text[i] != '\n' && text[i] != '\r')
                        continue;
                if (i == begin)
                        dispatch(&r);
                else
                        process(&r, text + begin, i - begin);
                if (text[i] == '\r' && i + 1 < size && text[i + 1] == '\n')
                        i++;
                begin = i + 1;
        }
        buffer_done(&r.data);
        note_end(seen, r.last_id, r.retry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const size_t pieces[] = { 1, 2, 7, SIZE_MAX };
        _cleanup_buffer_ Buffer standard = {};

        if (size == 0)
                return 0;
        read_all((const char *) data, size, &standard);
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                _cleanup_buffer_ Buffer seen = {};

                run(data, size, MIN(pieces[i], size), &seen);
                CHECK(seen.size == standard.size && memcmp(seen.data, standard.data, seen.size) == 0);
        }
        return 0;
}
