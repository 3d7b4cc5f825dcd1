/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/command/options.h"
#include "orchestrator/wire/json-members.h"

/* The command line's side of the administration socket: blocking calls. Failures are printed here; the return value is
 * an exit code, 0 for success. */

/* path: what needs escaping in it is escaped (see admin_path()). body is borrowed, and may be NULL. *ret is the answer, for the
 * caller to free, valid JSON that is not made a tree of: what runners said is in there as it came. */
int admin_call(const Options *o, const char *method, const char *path, Json *body, Buffer *ret);
/* An answer or a member of it, borrowed; an empty slice where there is none. */
Slice answer_of(const Buffer *answer);
Slice answer_member(Slice object, const char *name);

/* Calls line() for each line of a stream, without its newline; non-zero ends it and is returned. */
int admin_stream(
        const Options *o,
        const char *path,
        int (*line)(const char *text, size_t size, void *userdata),
        void *userdata);

/* A path with one piece of the user's in it: "%s" in format stands for it, escaped. For the caller to free; NULL: no memory. */
char *admin_path(const char *format, const char *piece) __attribute__((format_arg(1)));
/* A call without a body, whose answer is printed with --json. path is freed; NULL: no memory. */
int admin_order(const Options *o, const char *method, char *path_consume);

/* Prints a list, which is that member of the answer: with --json as it is, else head() and row() for each element. */
int admin_list(
        const Options *o,
        const char *path,
        const char *member,
        void (*head)(void),
        void (*row)(Slice element));

/* After a message was queued ({"messageId"} in made): prints what is due, and waits for its answer with --wait.
 * headline: printed for success without --json; NULL: nothing. print_result: the runner's result too, or without --wait and
 * headline the message's id. */
int admin_finish(const Options *o, Slice made, const char *headline, bool print_result);

/* A value as it is, on a line. */
void print_json(Slice v);
/* Text of another party for the terminal: control characters made visible, cut at max bytes. */
void print_safe(const char *text, size_t size, size_t max);
