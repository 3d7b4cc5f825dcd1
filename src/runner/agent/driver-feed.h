/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"
#include "runner/agent/driver.h"

/* A line that is being fed: where its events go and how many there were. Each event costs some hundred bytes beside what the
 * agent wrote, so of one line there are FEED_EVENTS_MAX at most and a notice that more were left out.
 *
 * An event is written by these functions alone: the members behind scratch are theirs. It is built in b, from begin on: the
 * sink's own buffer, or else scratch, of which the driver keeps FEED_SCRATCH_KEPT from line to line. */
#define FEED_SCRATCH_KEPT ((size_t) 16 * 1024)
#define FEED_EVENTS_MAX 1024

typedef struct DriverFeed {
        const DriverSink *sink;
        uint64_t offset;
        unsigned n;
        Buffer *scratch;
        Buffer *b;
        size_t begin;
        const char *method, *end;
} DriverFeed;

/* Whether the caller wants events at all; where not, nothing is built (it counts all the same). */
static inline bool feed_wants_events(const DriverFeed *f) {
        return f->sink->event;
}

/* The line is done with: what was built for it does not stay. */
void feed_done(DriverFeed *f);

/* Begins a message.agent event of this type: {"type":TYPE. */
void feed_begin(DriverFeed *f, const char *type);
/* Begins a permission.request event. */
void feed_begin_permission(DriverFeed *f);
/* Closes what was begun, and hands it to the sink. Returns 0, -ENOMEM, or what the sink returned. */
int feed_end(DriverFeed *f);

/* Appends a member. name is a plain word. */

/* The value is JSON text as it is; nothing where it is empty. */
void feed_json(DriverFeed *f, const char *name, Slice value);
void feed_text(DriverFeed *f, const char *name, const char *text, size_t size);
void feed_string(DriverFeed *f, const char *name, const char *text);
void feed_bool(DriverFeed *f, const char *name, bool value);
void feed_u64(DriverFeed *f, const char *name, uint64_t value);
void feed_double(DriverFeed *f, const char *name, double value);
/* "@OFFSET.N", which names the event n of the line at that offset. */
void feed_id(DriverFeed *f, const char *name, uint64_t offset, unsigned n);

/* A member that is an object; what is appended until feed_close() belongs to it. */
void feed_open(DriverFeed *f, const char *name);
void feed_close(DriverFeed *f);

/* A string that consists of pieces. Each is a JSON string with its quotes, and is not decoded; of what is no longer than the
 * quotes, nothing is appended. */
void feed_pieces_begin(DriverFeed *f, const char *name);
void feed_piece(DriverFeed *f, Slice string);
void feed_pieces_end(DriverFeed *f);

/* Whole events, which return what feed_end() returns. */

/* {"type":"error","kind","http","text","retrying"}. Where one is empty, kind is "unknown", http is null, and there is no text. */
int feed_error_event(DriverFeed *f, Slice kind, Slice http, Slice text, bool retrying);

/* {"type":"notice"} with this text. */
int feed_notice(DriverFeed *f, const char *text, size_t size);
/* {"type":"notice"} about a line that is not what the protocol allows; quotes its beginning. */
int feed_notice_line(DriverFeed *f, const char *what, const char *line, size_t size);

/* The event of a line above its bound: {"type":"oversize","lineType","size","head"}, and "denied":true for a question that
 * was denied for that. line is its beginning, at least; the event has the type as far as it is there. */
int feed_oversize_event(DriverFeed *f, Slice line, uint64_t size, bool denied);
/* {"type":"notice"} about a line with a double of a member that is read. */
int feed_ambiguous(DriverFeed *f, const char *line, size_t size);
