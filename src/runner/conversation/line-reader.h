/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json-scan.h"

/* Complete lines of a file that somebody else appends to, from an offset on. Zero-initialise, then set offset. */
typedef struct LineReader {
        uint64_t offset; /* of the next line in the file */
        uint64_t lines;  /* stepped over so far, and before offset where the owner says so */
        Buffer in;       /* file bytes from (offset - pos) on */
        size_t pos;      /* of the next line in the buffer */
        size_t searched; /* no newline in the buffer between pos and here */
} LineReader;

void line_reader_done(LineReader *r);

/* The next line that ends at or before limit (an offset in the file), without its newline; it stays valid until the next
 * call of either. 1; 0: there is none yet; negative errno of the read. Stepping over it is a call of its own. */
int line_reader_next(LineReader *r, int fd, uint64_t limit, Slice *ret);
void line_reader_step(LineReader *r, Slice line);
