/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"
#include "runner/scope/line-reader.h"

/* out.log of one run, as its driver reads it. */
typedef struct RunOutput {
        int fd;           /* -EBADF: there is none yet */
        LineReader lines; /* its offset is how far the driver has read */
        uint64_t stored;  /* what the store has of that; UINT64_MAX: it has to be stored again */
} RunOutput;

/* offset: bytes that an earlier runner has read, which are that number of lines. line_max: driver_line_max(). */
void run_output_init(RunOutput *o, uint64_t offset, uint64_t lines, size_t line_max);
void run_output_done(RunOutput *o);
/* Opens the file for reading. 1; 0: the supervisor has not made it yet. dirfd: of the run. */
int run_output_open(RunOutput *o, int dirfd);
void run_output_close(RunOutput *o);
/* Feeds the driver complete lines that end at or before limit, until so many bytes were read or *enough() says so. 1:
 * there is more; 0: all that is there was read. Lines that were fed are skipped next time, also if a later line fails. */
int run_output_feed(
        RunOutput *o,
        Driver *d,
        uint64_t limit,
        const DriverSink *sink,
        bool (*enough)(void *userdata));
