/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "fuzz.h"
#include "runner/run/verdict.h"
#include "runner/scope/line-reader.h"
#include "runner/scope/run-directory.h"

/* What the runner reads of a run, three files with NULs between them: outcome.json, started, out.log. A file that is half
 * written, or not ours, is no outcome; every outcome has a reason; and lines are those that memchr finds. */

static void check_reason(Json *outcome, uint8_t bits) {
        static const char *const results[] = { NULL, "success", "oom-kill", "timeout" };
        const VerdictInput in = {
                .outcome = outcome,
                .result = results[bits & 3],
                .stop = bits & 4   ? STOP_BY_PERSON :
                        bits & 128 ? STOP_BY_BUDGET :
                                     STOP_BY_NONE,
                .end_requested = bits & 8,
                .shutdown = bits & 16,
                .last_turn_failed = bits & 32,
                .failure = bits & 64 ? "it said so" : NULL,
        };
        EndReason reason = verdict_reason(&in);

        CHECK(reason > END_NONE && reason < END_UNKNOWN);
}

static void check_files(int dirfd) {
        _cleanup_json_ Json *outcome = NULL, *started = NULL;
        int r = run_directory_read_outcome(dirfd, &outcome);

        CHECK(r == 1 || r == -EBADMSG || r == -E2BIG);
        for (unsigned i = 0; i < 16; i++)
                check_reason(r > 0 ? outcome : NULL, (uint8_t) (i * 17));
        r = run_directory_read_started(dirfd, &started);
        CHECK(r == 1 || r == 0 || r == -E2BIG);
        CHECK(run_directory_is_started(dirfd) == 1);
}

/* All lines up to the limit, which grows as the file would. */
static void check_lines(const char *text, size_t size, size_t step, size_t max) {
        _cleanup_(line_reader_done) LineReader r = {};
        _cleanup_close_ int fd = fuzz_memory(text, size);
        size_t at = 0, n = 0;

        r.max = max;
        Slice line;

        for (size_t limit = 0;; limit = MIN(limit + step, size)) {
                int k;

                while ((k = line_reader_next(&r, fd, limit, &line)) > 0) {
                        const char *newline = memchr(text + at, '\n', size - at);

                        CHECK(newline && r.size == (size_t) (newline - text) - at);
                        CHECK(k == (r.size > r.max ? LINE_OVERSIZE : LINE_WHOLE));
                        CHECK(line.size == (k == LINE_WHOLE ? r.size : MIN(r.max, LINE_HEAD_BYTES)));
                        size_t whole = (size_t) r.size;
                        CHECK(line.size == 0 || memcmp(line.data, text + at, line.size) == 0);
                        line_reader_step(&r);
                        at += whole + 1;
                        n++;
                        CHECK(r.offset == at && r.lines == n && at <= limit);
                }
                CHECK(k == 0);
                /* None was left out. */
                const char *newline = at < limit ? memchr(text + at, '\n', limit - at) : NULL;
                CHECK(!newline);
                if (limit == size)
                        break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const names[] = { "outcome.json", "started" };
        FuzzInput in = input_of(data, size);
        int dirfd = fuzz_folder();

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const char *text = "";
                size_t n = 0;

                (void) input_piece(&in, 0, &text, &n);
                fuzz_file(dirfd, names[i], text, n);
        }
        check_files(dirfd);
        size_t left = (size_t) (in.end - in.at);
        check_lines(in.at, left, 1 + left / 7, DRIVER_LINE_MAX);
        check_lines(in.at, left, left, DRIVER_LINE_MAX);
        check_lines(in.at, left, 1 + left / 7, 5);
        check_lines(in.at, left, left, 5);
        return 0;
}
