/* SPDX-License-Identifier: MIT */
#include "runner/scope/line-reader.h"

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

static size_t max_of(const LineReader *r) {
        return r->max > 0 ? r->max : DRIVER_LINE_MAX;
}

static void hand_out(LineReader *r, uint64_t size, Slice *ret) {
        r->size = size;
        r->oversize = size > max_of(r);
        *ret = (Slice){ r->in.data + r->pos, r->oversize ? MIN(LINE_HEAD_BYTES, max_of(r)) : (size_t) size };
}

/* The line is longer than max: of what was read of it, the head stays. */
static int begin_passing(LineReader *r) {
        _cleanup_buffer_ Buffer head = {};
        size_t seen = r->in.size - r->pos;
        int k;

        k = buffer_append(&head, r->in.data + r->pos, MIN(LINE_HEAD_BYTES, max_of(r)));
        if (k < 0)
                return k;
        buffer_done(&r->in);
        r->in = head;
        head = (Buffer){};
        r->passed = seen;
        r->pos = 0;
        r->searched = r->in.size;
        return 0;
}

static int pass_over(LineReader *r, int fd, uint64_t limit, Slice *ret) {
        uint64_t begun = r->passed;
        int k;

        k = buffer_reserve(&r->in, READ_BYTES);
        if (k < 0) {
                r->in.failed = false;
                return k;
        }
        for (;;) {
                uint64_t end = r->offset + r->passed;
                /* Behind the head, where the buffer itself says that there is nothing. */
                char *piece = r->in.data + r->in.size, *newline;

                if (fd < 0 || end >= limit)
                        return LINE_NONE;
                if (r->passed - begun >= LINE_SKIP_BYTES)
                        return LINE_CONTINUE;
                ssize_t n = pread(fd, piece, (size_t) MIN((uint64_t) READ_BYTES, limit - end), (off_t) end);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return LINE_NONE;
                newline = memchr(piece, '\n', (size_t) n);
                if (newline) {
                        r->passed += (uint64_t) (newline - piece);
                        hand_out(r, r->passed, ret);
                        return LINE_OVERSIZE;
                }
                r->passed += (uint64_t) n;
        }
}

/* More of the file behind what is there: 1; 0: there is no more. */
static int read_more(LineReader *r, int fd, uint64_t limit) {
        uint64_t end = r->offset + (r->in.size - r->pos);

        if (fd < 0 || end >= limit)
                return 0;
        compact(r);
        /* A long line doubles the piece, so that it is searched and moved few times. */
        size_t want = MIN(MAX(READ_BYTES, r->in.size), MAX(max_of(r) + 1 - r->in.size, LINE_HEAD_BYTES));
        want = (size_t) MIN((uint64_t) want, limit - end);
        int k = buffer_reserve(&r->in, want);
        if (k < 0) {
                r->in.failed = false;
                return k;
        }
        ssize_t n = pread(fd, r->in.data + r->in.size, want, (off_t) end);
        if (n <= 0)
                return n < 0 ? -errno : 0;
        r->in.size += (size_t) n;
        r->in.data[r->in.size] = 0;
        return 1;
}

int line_reader_next(LineReader *r, int fd, uint64_t limit, Slice *ret) {
        int k = 1;

        if (r->passed > 0 && r->oversize) {
                hand_out(r, r->passed, ret);
                return r->offset + r->size + 1 > limit ? LINE_NONE : LINE_OVERSIZE;
        }
        while (k > 0 && r->passed == 0) {
                char *newline = NULL;

                if (r->in.size > r->searched)
                        newline = memchr(r->in.data + r->searched, '\n', r->in.size - r->searched);
                if (newline) {
                        size_t size = (size_t) (newline - (r->in.data + r->pos));
                        r->searched = r->pos + size; /* found again at once where the caller does not step */
                        if (r->offset + size + 1 > limit)
                                return LINE_NONE;
                        hand_out(r, size, ret);
                        return r->oversize ? LINE_OVERSIZE : LINE_WHOLE;
                }
                r->searched = r->in.size;
                k = r->in.size - r->pos > max_of(r) ? begin_passing(r) : read_more(r, fd, limit);
        }
        if (k < 0)
                return k;
        if (r->passed > 0)
                return pass_over(r, fd, limit, ret);
        if (r->in.size == r->pos && r->in.allocated > KEEP_BYTES) {
                buffer_done(&r->in);
                r->pos = r->searched = 0;
        }
        return LINE_NONE;
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

int line_reader_feed(LineReader *r, Driver *d, Slice line, const DriverSink *sink) {
        return r->oversize ? d->ops->feed_oversize(d, line.data, line.size, r->size, r->offset, sink) :
                             d->ops->feed(d, line.data, line.size, r->offset, sink);
}

void line_reader_step(LineReader *r) {
        r->offset += r->size + 1;
        r->lines++;
        if (r->passed > 0) {
                /* What was read behind it, a piece at the most, is read again. */
                buffer_done(&r->in);
                r->pos = r->searched = 0;
                r->passed = 0;
        } else
                r->searched = r->pos += (size_t) r->size + 1;
        r->oversize = false;
        if (r->in.allocated > LONG_BYTES && r->in.size - r->pos <= READ_BYTES)
                shrink(r);
}

void line_reader_skip(LineReader *r, uint64_t offset) {
        buffer_done(&r->in);
        r->pos = r->searched = 0;
        r->passed = 0;
        r->oversize = false;
        r->offset = offset;
}

void line_reader_pause(LineReader *r) {
        /* Of a line that is passed over there is little, and its head is not read again. */
        if (r->passed > 0 || r->in.allocated <= LINE_KEEP_BYTES)
                return;
        buffer_done(&r->in);
        r->pos = r->searched = 0;
}
