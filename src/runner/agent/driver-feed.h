/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"
#include "runner/agent/driver.h"

/* A line that is being fed: where its events go and how many there were. Each event costs some hundred bytes beside what the
 * agent wrote, so of one line there are FEED_EVENTS_MAX at most and a notice that more were left out. The members of an event are built in b, from
 * begin on: the sink's own buffer, or else scratch, of which the driver keeps FEED_SCRATCH_KEPT from line to line. */
#define FEED_SCRATCH_KEPT ((size_t) 16 * 1024)
#define FEED_EVENTS_MAX 1024

typedef struct DriverFeed {
        const DriverSink *sink;
        uint64_t offset;
        unsigned n;
        Buffer *scratch, *b;
        size_t begin;
} DriverFeed;

/* Whether the caller wants events at all; where not, building one is a waste (it counts all the same). */
static inline bool feed_wants_events(const DriverFeed *f) {
        return f->sink->event;
}

/* The line is done with: what was built for it does not stay. */
void feed_done(DriverFeed *f);

/* Where the members of the next event go: f->b, from f->begin on. */
void feed_open(DriverFeed *f, const char *method);
/* Begins {"type":TYPE in f->b; feed_end() closes and hands it over as a message.agent event. */
void feed_begin(DriverFeed *f, const char *type);
/* ,"name":value — JSON text as it is; nothing where the value is empty, or events are not wanted. name is a plain word. */
void feed_json(DriverFeed *f, const char *name, Slice value);
void feed_text(DriverFeed *f, const char *name, const char *text, size_t size);
/* 0, -ENOMEM, or what the sink returned; so all that follow, which are events of their own. */
int feed_end(DriverFeed *f);

/* {"type":"notice"} about a line that is not what the protocol allows; quotes its beginning. */
int feed_notice_line(DriverFeed *f, const char *what, const char *line, size_t size);

/* The event of a line above its bound: {"type":"oversize","lineType","size","head"}, and "denied":true for a question that
 * was denied for that. line is its beginning, at least; the event has the type as far as it is there. */
int feed_oversize_event(DriverFeed *f, Slice line, uint64_t size, bool denied);
/* {"type":"notice"} about a line with a double of a member that is read. */
int feed_ambiguous(DriverFeed *f, const char *line, size_t size);
