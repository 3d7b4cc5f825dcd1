/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* The one place that writes to stdout: a JSON object on each line. A failure is noted where it is seen, with the words
 * of the one who knows best; what comes later (libgit2's own text for "the callback said no") does not replace it. */

/* Bytes that no line may ever hold, borrowed for the program's life. */
void output_set_secret(const char *secret);

/* Notes the failure, if none is noted yet. Returns -EIO, so that `return output_fail(…)` reads well. */
int output_fail(const char *code, const char *format, ...) _printf_(2, 3);
/* The same from libgit2's last error: "<what>: <libgit2's words>", with the code that its class calls for. */
int output_fail_git(int git_code, const char *what);
/* Whether a failure is noted. */
bool output_failed(void);

/* At most four lines a second, and each phase's first and last (received == total) line. phase: a string constant. received
 * and total: objects, files or whatever the phase counts; bytes: how many came so far, 0 where they are not counted. */
void output_progress(const char *phase, uint64_t received, uint64_t total, uint64_t bytes);
/* Writes {"type":"result"} with the members of result, or where a failure is noted {"type":"error"}; returns the exit
 * status. result is borrowed, and may be NULL. */
int output_finish(Json *result);
