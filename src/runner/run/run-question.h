/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"
#include "runner/scope/line-reader.h"

typedef struct Run Run;

/* The questions that the agent asks, and whose answers it waits for. */

/* Returns the open questions; a run that has ended has none. r may be NULL. */
size_t run_questions(const Run *r, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]);
bool run_has_question(const Run *r, uint64_t offset, unsigned n);
/* Questions have ids on the wire, "<runId>:<offset>.<n>". -EINVAL: not an id of this run's. NULL: out of memory; free
 * it. */
int run_parse_question(const Run *r, const char *id, uint64_t *ret_offset, unsigned *ret_n);
char *run_question_id(const Run *r, uint64_t offset, unsigned n);
/* Reads the line at that offset, for the driver. It is valid until line_reader_done(reader), which is due in any case.
 * Where it cannot be read, a negative errno, which is logged, and an empty slice. */
int run_read_question(Run *r, uint64_t offset, LineReader *reader, Slice *ret);
/* Takes the text of the question from that line; valid as long as the line. -EBADMSG: the line is not that question. */
int run_question_text(Run *r, const DriverQuestion *q, Slice line, DriverQuestionText *ret);
