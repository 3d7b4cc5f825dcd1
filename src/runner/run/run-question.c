/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-question.h"

/* What an open question says is not kept: it is read again in the agent's output. */

size_t run_questions(const Run *r, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]) {
        return !r || r->ended ? 0 : r->ops->questions(r->driver, ret);
}

bool run_has_question(const Run *r, uint64_t offset, unsigned n) {
        DriverQuestion list[DRIVER_QUESTIONS_MAX];
        size_t n_list = run_questions(r, list);

        for (size_t i = 0; i < n_list; i++)
                if (list[i].offset == offset && list[i].n == n)
                        return true;
        return false;
}

static int read_line(Run *r, LineReader *reader, Slice *ret) {
        int k;

        k = run_output_open(&r->output, r->dirfd);
        if (k <= 0)
                return k < 0 ? k : -ENOENT;
        k = line_reader_next(reader, r->output.fd, UINT64_MAX, ret);
        return k == LINE_WHOLE ? 0 : k < 0 ? k : -EBADMSG;
}

int run_read_question(Run *r, uint64_t offset, LineReader *reader, Slice *ret) {
        int k;

        *reader = (LineReader){ .offset = offset };
        *ret = (Slice){};
        k = read_line(r, reader, ret);
        if (k < 0)
                log_warning_errno(
                        k,
                        "Failed to read a question of conversation %s from the agent's output: %m",
                        r->row.conversation);
        return k;
}

int run_parse_question(const Run *r, const char *id, uint64_t *ret_offset, unsigned *ret_n) {
        unsigned long long offset;
        const char *rest;
        unsigned n;
        int end = 0;

        rest = id ? startswith(id, r->row.run_id) : NULL;
        if (!rest || sscanf(rest, ":%llu.%u%n", &offset, &n, &end) != 2 || rest[end] != 0)
                return -EINVAL;
        *ret_offset = offset;
        *ret_n = n;
        return 0;
}

char *run_question_id(const Run *r, uint64_t offset, unsigned n) {
        return xasprintf("%s:%" PRIu64 ".%u", r->row.run_id, offset, n);
}

int run_question_text(Run *r, const DriverQuestion *q, Slice line, DriverQuestionText *ret) {
        return r->ops->read_question(r->driver, q, line, ret);
}
