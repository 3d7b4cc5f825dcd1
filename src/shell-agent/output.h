/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* The agent's stdout: whole JSON lines, queued where the reader is slow. A pipe is written without blocking, so
 * that an interrupt is noticed while the runner does not read. */

/* No line is longer than this. */
#define OUTPUT_LINE_MAX (64 * 1024)
/* With this much unread, nothing more is taken from the script's own pipes. */
#define OUTPUT_PENDING_MAX (1024 * 1024)

typedef struct Output {
        int fd;
        Buffer pending;
        size_t sent; /* bytes of pending that are out */
        bool broken; /* the reader has gone; what is added from now on is dropped */
} Output;

void output_init(Output *o, int fd);
void output_done(Output *o);

/* Writes what the reader takes now. Errors end up in o->broken. */
void output_flush(Output *o);
bool output_is_empty(const Output *o);
bool output_is_full(const Output *o);

/* The lines of the protocol. id: JSON text of the message's id. */
void output_started(Output *o, const char *version, const char *cwd);
void output_turn_start(Output *o, const char *id);
/* status: as waitid() has it in si_code and si_status. */
void output_turn_end(
        Output *o,
        const char *id,
        int code,
        int status,
        bool interrupted,
        uint64_t duration_usec);
void output_error(Output *o, const char *id, const char *text);
/* Output of a script, in as many lines as it takes. Bytes that are no UTF-8 come out as U+FFFD. */
void output_text(Output *o, const char *stream, const char *text, size_t size);
