/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json-scan.h"
#include "runner/agent/driver.h"

/* What is kept of a longer one. */
#define LINE_HEAD_BYTES ((size_t) 4 * 1024)
/* What a reader that pauses keeps. */
#define LINE_KEEP_BYTES ((size_t) 256 * 1024)
/* How much of a longer line one call passes over. */
#define LINE_SKIP_BYTES ((uint64_t) 16 * 1024 * 1024)

/* Reads complete lines of a file that another process appends to, from an offset on. Zero-initialise, then set offset.
 * A line longer than max is skipped in pieces, so the reader never holds more than max and one read. */
typedef struct LineReader {
        uint64_t offset; /* of the next line in the file */
        uint64_t lines;  /* stepped over so far, and before offset where the owner says so */
        size_t max;      /* longest line that is kept; 0: DRIVER_LINE_MAX */
        Buffer in;       /* file bytes from (offset - pos) on; of a line that is passed over its head */
        size_t pos;      /* of the next line in the buffer */
        size_t searched; /* no newline in the buffer between pos and here */
        uint64_t
                passed; /* so much of the line, more than max, was seen and has no newline; 0: it is in the buffer */
        uint64_t
                size; /* of the line that was handed out last; a longer one's is known once it is complete … */
        bool oversize; /* … which this says */
} LineReader;

typedef enum LineResult {
        LINE_NONE,  /* there is none yet */
        LINE_WHOLE, /* ret is the line */
        LINE_OVERSIZE, /* ret is its first LINE_HEAD_BYTES (or max, if that is less), its size is in the reader */
        LINE_CONTINUE, /* a longer one is being passed over: call again, in a later turn of the loop */
} LineResult;

void line_reader_done(LineReader *r);

/* The next line that ends at or before limit (an offset in the file), without its newline; it stays valid until the next
 * call of either. A LineResult, or negative errno of the read. Stepping over it is a call of its own. */
int line_reader_next(LineReader *r, int fd, uint64_t limit, Slice *ret);
/* Feeds what it handed out to the driver, as what it is. */
int line_reader_feed(LineReader *r, Driver *d, Slice line, const DriverSink *sink);
/* Steps over what line_reader_next() handed out last. */
void line_reader_step(LineReader *r);
/* Continues at an offset behind what there is to read. */
void line_reader_skip(LineReader *r, uint64_t offset);
/* For a pause: what was read ahead is given back where it is more than LINE_KEEP_BYTES, and read again later. */
void line_reader_pause(LineReader *r);
