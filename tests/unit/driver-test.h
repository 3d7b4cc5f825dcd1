/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"
#include "runner/agent/driver.h"

/* What the tests of drivers share: transcripts, a sink that writes everything down, and the law of the replay. */

typedef struct Lines {
        Buffer *list; /* one line each, without its newline */
        size_t n;
} Lines;

void lines_done(Lines *l);
void lines_add(Lines *l, const char *data, size_t size);

/* The lines that the agent wrote in a transcript. Where the transcript's client numbered its first request in its own
 * way, that number becomes init_id. */
void lines_load(Lines *l, const char *path, const char *init_id);

/* What came out of a driver. */
typedef struct Heard {
        Buffer events; /* "OFFSET.N METHOD MEMBERS\n" each */
        Buffer written;
        Buffer place; /* where heard_open() lets events be written */
        unsigned n_events, n_failed;
        char *failure;
        uint64_t offset;
        unsigned n; /* of the line */
} Heard;

void heard_done(Heard *h);
/* A sink onto h; events and effects can be left out. */
DriverSink heard_sink(Heard *h, bool events, bool effects);
/* For a sink's open: behind something else in h->place. */
Buffer *heard_open(void *userdata, const char *method);

/* Feeds a line at an offset, which it moves behind the line. */
void feed(Driver *d, const DriverSink *sink, Heard *h, const char *line, size_t size, uint64_t *offset);

/* The line that was fed at that offset last, of the newest 64; empty where there is none. */
Slice fed_line(uint64_t offset);

Json *parse(const char *text);
Driver *make(const DriverOps *ops, Json *spec);
/* Saves, writes as text, parses, loads: what the store does. */
Driver *reload(Driver *d, Json *spec);

/* From the state saved before each line the rest makes the same events, whether or not commands came between, and
 * whether or not anybody wanted the events before. Commands are tried by the callback (may be NULL) after each line. */
void assert_replay_law(
        const DriverOps *ops,
        Json *spec,
        const Lines *lines,
        void (*commands)(Driver *d, const Heard *h, uint64_t offset));

/* Renders a command, an answer with the line that was fed to any driver at that offset last: the lines, "" for none, or NULL where it returned expected (0 or -EINVAL, with a reason). */
char *
command(Driver *d, DriverCommandType type, const char *params, uint64_t offset, unsigned n, int expected);
