/* SPDX-License-Identifier: MIT */
#include "runner/conversation/line-reader.h"

#define READ_BYTES ((size_t) 128 * 1024)
#define KEEP_BYTES ((size_t) 4 * 1024)
/* What a long line needed is given back as soon as no more than a piece is left behind it. */
#define LONG_BYTES ((size_t) 1024 * 1024)

void line_reader_done(LineReader *r) {
        buffer_done(&r->in);
        *r = (LineReader){};
}

static void compact(LineReader *r) {
        if (r->pos == 0)
                return;
        buffer_consume(&r->in, r->pos);
        r->searched -= r->pos;
        r->pos = 0;
}

int line_reader_next(LineReader *r, int fd, uint64_t limit, Slice *ret) {
        for (;;) {
                char *newline = NULL;

                if (r->in.size > r->searched)
                        newline = memchr(r->in.data + r->searched, '\n', r->in.size - r->searched);
                if (newline) {
                        size_t size = (size_t) (newline - (r->in.data + r->pos));
                        r->searched = r->pos + size; /* found again at once where the caller does not step */
                        if (r->offset + size + 1 > limit)
                                return 0;
                        *ret = (Slice){ r->in.data + r->pos, size };
                        return 1;
                }
                r->searched = r->in.size;
                uint64_t end = r->offset + (r->in.size - r->pos);
                if (fd < 0 || end >= limit)
                        break;
                compact(r);
                /* A long line doubles the piece, so that it is searched and moved few times. */
                size_t want = (size_t) MIN((uint64_t) MAX(READ_BYTES, r->in.size), limit - end);
                int k = buffer_reserve(&r->in, want);
                if (k < 0) {
                        r->in.failed = false;
                        return k;
                }
                ssize_t n = pread(fd, r->in.data + r->in.size, want, (off_t) end);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                r->in.size += (size_t) n;
                r->in.data[r->in.size] = 0;
        }
        if (r->in.size == r->pos && r->in.allocated > KEEP_BYTES) {
                buffer_done(&r->in);
                r->pos = r->searched = 0;
        }
        return 0;
}

static void shrink(LineReader *r) {
        _cleanup_buffer_ Buffer rest = {};

        if (buffer_append(&rest, r->in.data + r->pos, r->in.size - r->pos) < 0)
                return;
        buffer_done(&r->in);
        r->in = rest;
        rest = (Buffer){};
        r->pos = r->searched = 0;
}

void line_reader_step(LineReader *r, Slice line) {
        r->offset += line.size + 1;
        r->lines++;
        r->pos += line.size + 1;
        r->searched = r->pos;
        if (r->in.allocated > LONG_BYTES && r->in.size - r->pos <= READ_BYTES)
                shrink(r);
}
