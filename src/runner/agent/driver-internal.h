/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"
#include "runner/agent/driver.h"

/* What the drivers share. */

extern const DriverOps shell_driver_ops;
extern const DriverOps claude_driver_ops;

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
/* ,"name":value — JSON text as it is; nothing where the value is empty, or nobody wants events. name is a plain word. */
void feed_json(DriverFeed *f, const char *name, Slice value);
void feed_text(DriverFeed *f, const char *name, const char *text, size_t size);
int feed_end(DriverFeed *f);

/* {"type":"notice"} about a line that is not what the protocol allows; quotes its beginning. */
int feed_notice_line(DriverFeed *f, const char *what, const char *line, size_t size);

/* The event of a line above its bound: {"type":"oversize","lineType","size","head"}, and "denied":true for a question that
 * was denied for that. line is its beginning, at least; what of the type is to be seen there is told. */
int feed_oversize_event(DriverFeed *f, Slice line, uint64_t size, bool denied);
/* The string member of the beginning of an object, where it is whole and valid; an empty slice otherwise. */
Slice slice_head_string(Slice head, const char *name);

/* Which members of a line are read, so that those may not be doubled. each: the shape is that of each element of the array,
 * or of each member's value of the object. */
typedef struct LineShape LineShape;
typedef struct LineShapeMember {
        const char *name;
        const LineShape *shape;
        bool each;
} LineShapeMember;
struct LineShape {
        const char *const *names; /* up to 64, and NULL */
        const LineShapeMember
                        *members; /* that have a shape of their own, and one without a name; may be NULL */
};
/* Whether other readers may see another value than we do in a member of a valid line that we read. */
bool line_is_ambiguous(Slice line, const LineShape *shape);
int feed_ambiguous(DriverFeed *f, const char *line, size_t size);

/* Member of a valid object where it has the type; an empty slice otherwise. */
Slice slice_member(Slice o, const char *name, ScanType type);
static inline bool slice_is_set(Slice v) {
        return v.size > 0;
}

/* Where the program is: agent_config.executable, else the first of the paths (NULL-terminated) that can be
 * executed. -ENOENT with an error that says what to do. */
int plan_executable(
                Json *agent_config,
                const char *const *paths,
                const char *advice,
                char **ret_path,
                char **ret_error);

/* The defaults, then what agent_config.env and spec.env say, later values in place of earlier ones. */
int plan_env(Json *spec, Json *agent_config, const char *const *defaults, char ***ret_env, char **ret_error);

/* Member name of o as a string: 1; 0 where it is missing; -EINVAL with an error where it is no string, or has
 * control characters, or more than max bytes. */
int plan_string(Json *o, const char *name, size_t max, const char **ret, char **ret_error);

/* Sets *ret_error by format and returns -EINVAL (-ENOMEM where there is no memory for it). */
int refuse(char **ret_error, const char *format, ...) _printf_(2, 3);
