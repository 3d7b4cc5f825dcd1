/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"

/* What an open question says is not kept: it is read again in the agent's output. */

size_t run_questions(Run *r, DriverQuestion ret[static DRIVER_QUESTIONS_MAX]) {
        return !r || !r->driver || r->over ? 0 : r->ops->questions(r->driver, ret);
}

bool run_has_question(Run *r, uint64_t offset, unsigned n) {
        DriverQuestion list[DRIVER_QUESTIONS_MAX];
        size_t n_list = run_questions(r, list);

        for (size_t i = 0; i < n_list; i++)
                if (list[i].offset == offset && list[i].n == n)
                        return true;
        return false;
}

static int read_line(Run *r, LineReader *reader, Slice *ret) {
        int k;

        k = run_open_output(r);
        if (k <= 0)
                return k < 0 ? k : -ENOENT;
        k = line_reader_next(reader, r->outfd, UINT64_MAX, ret);
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
                                "A question of conversation %s cannot be read again in the agent's output: %m",
                                r->row.conversation);
        return k;
}
