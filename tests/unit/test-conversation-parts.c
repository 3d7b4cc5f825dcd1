/* SPDX-License-Identifier: MIT */
/* The parts of the conversation core that need neither a bus nor a process: the reader of lines, the files of a run,
 * limits, the verdict. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/conversation/stream-room.h"
#include "runner/limits/limits.h"
#include "runner/run/budget.h"
#include "runner/run/run-internal.h"
#include "runner/run/runtime-clock.h"
#include "runner/run/verdict.h"
#include "runner/scope/line-reader.h"
#include "runner/scope/run-directory.h"
#include "runner/scope/watch.h"

static int temporary_file(void) {
        int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        return fd;
}

static char *temporary_folder(char path[static 64]) {
        (void) snprintf(path, 64, "/tmp/test-conversation-XXXXXX");
        assert_non_null(mkdtemp(path));
        return path;
}

/* ---- lines ---- */

static void assert_line(LineReader *r, int fd, uint64_t limit, const char *expected) {
        Slice line;
        int k = line_reader_next(r, fd, limit, &line);

        if (!expected) {
                assert_int_equal(k, 0);
                return;
        }
        assert_int_equal(k, 1);
        assert_int_equal(line.size, strlen(expected));
        assert_memory_equal(line.data, expected, line.size);
        line_reader_step(r);
}

static void lines_at_every_split(void **state) {
        static const char text[] = "one\n\nthree\nfour and more\n";
        static const char *const lines[] = { "one", "", "three", "four and more" };

        /* Whatever piece has arrived, complete lines come out and nothing else. */
        for (size_t split = 0; split < sizeof(text); split++) {
                _cleanup_close_ int fd = temporary_file();
                _cleanup_(line_reader_done) LineReader r = {};
                size_t seen = 0;
                Slice line;

                assert_int_equal(pwrite_all(fd, text, split, 0), 0);
                while (line_reader_next(&r, fd, UINT64_MAX, &line) > 0) {
                        assert_int_equal(line.size, strlen(lines[seen]));
                        assert_memory_equal(line.data, lines[seen++], line.size);
                        line_reader_step(&r);
                }
                assert_int_equal(pwrite_all(fd, text + split, sizeof(text) - 1 - split, split), 0);
                while (seen < ELEMENTSOF(lines))
                        assert_line(&r, fd, UINT64_MAX, lines[seen++]);
                assert_line(&r, fd, UINT64_MAX, NULL);
                assert_int_equal(r.offset, sizeof(text) - 1);
        }
}

static void lines_stop_at_the_limit(void **state) {
        _cleanup_close_ int fd = temporary_file();
        _cleanup_(line_reader_done) LineReader r = {};

        assert_int_equal(pwrite_all(fd, "ab\ncd\nef\n", 9, 0), 0);
        assert_line(&r, fd, 2, NULL);
        assert_line(&r, fd, 3, "ab");
        assert_line(&r, fd, 5, NULL);
        assert_line(&r, fd, 6, "cd");
        assert_line(&r, fd, UINT64_MAX, "ef");
}

static void lines_from_an_offset(void **state) {
        _cleanup_close_ int fd = temporary_file();
        _cleanup_(line_reader_done) LineReader r = { .offset = 3 };

        assert_int_equal(pwrite_all(fd, "ab\ncd\n", 6, 0), 0);
        assert_line(&r, fd, UINT64_MAX, "cd");
        assert_int_equal(r.offset, 6);
}

static void a_line_longer_than_every_buffer(void **state) {
        _cleanup_close_ int fd = temporary_file();
        _cleanup_(line_reader_done) LineReader r = {};
        _cleanup_free_ char *text = malloc(3 * 1024 * 1024);
        Slice line;

        memset(text, 'x', 3 * 1024 * 1024);
        text[3 * 1024 * 1024 - 1] = '\n';
        assert_int_equal(pwrite_all(fd, text, 3 * 1024 * 1024, 0), 0);
        assert_int_equal(pwrite_all(fd, "z\n", 2, 3 * 1024 * 1024), 0);
        assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), 1);
        assert_int_equal(line.size, 3 * 1024 * 1024 - 1);
        line_reader_step(&r);
        /* Its memory is given back, also while there is more to read. */
        assert_true(r.in.allocated <= 256 * 1024);
        assert_line(&r, fd, UINT64_MAX, "z");
        assert_line(&r, fd, UINT64_MAX, NULL);
        assert_true(r.in.allocated <= 4096);
}

/* So many bytes, without a newline. */
static void write_long(int fd, uint64_t offset, size_t size) {
        _cleanup_free_ char *text = malloc(size);

        assert_non_null(text);
        memset(text, 'x', size);
        assert_int_equal(pwrite_all(fd, text, size, offset), 0);
}

static void a_line_of_the_bound_is_whole_and_one_of_a_byte_more_is_not(void **state) {
        static const size_t bounds[] = { 0, 65536, 200000 };

        for (size_t i = 0; i < ELEMENTSOF(bounds); i++) {
                _cleanup_close_ int fd = temporary_file();
                _cleanup_(line_reader_done) LineReader r = { .max = bounds[i] };
                size_t max = bounds[i] > 0 ? bounds[i] : 8 << 20;
                Slice line;

                write_long(fd, 0, max);
                assert_int_equal(pwrite_all(fd, "\n", 1, max), 0);
                write_long(fd, max + 1, max + 1);
                assert_int_equal(pwrite_all(fd, "\nz\n", 3, 2 * max + 2), 0);
                assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_WHOLE);
                assert_int_equal(line.size, max);
                line_reader_step(&r);
                assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_OVERSIZE);
                /* The same for whoever asks again before he steps. */
                assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_OVERSIZE);
                assert_int_equal(line.size, 4096);
                assert_int_equal(r.size, max + 1);
                assert_int_equal(r.offset, max + 1);
                line_reader_step(&r);
                assert_int_equal(r.lines, 2);
                assert_line(&r, fd, UINT64_MAX, "z");
                assert_line(&r, fd, UINT64_MAX, NULL);
                assert_int_equal(r.offset, 2 * max + 5);
        }
}

/* Whether it is there at once or comes piece by piece, a line above the bound is the same line; of it there is never more
 * than the bound in memory, and once that is passed, a head and a piece. */
static void a_line_above_the_bound_is_passed_over_in_pieces(void **state) {
        static const size_t steps[] = { 1000, 65537, 300000, 1 << 20 };
        const size_t max = 65536, size = 1 << 20;

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                _cleanup_close_ int fd = temporary_file();
                _cleanup_(line_reader_done) LineReader r = { .max = max };
                Slice line;

                assert_int_equal(pwrite_all(fd, "a\nhead", 6, 0), 0);
                assert_line(&r, fd, UINT64_MAX, "a");
                for (size_t n = 0; n < size; n += steps[i]) {
                        write_long(fd, 6 + n, MIN(steps[i], size - n));
                        assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_NONE);
                        assert_true(r.in.allocated <= 2 * max + 128 * 1024 + 1);
                        assert_int_equal(r.offset, 2);
                }
                assert_int_equal(pwrite_all(fd, "\nb\n", 3, 6 + size), 0);
                assert_line(&r, fd, 6 + size, NULL); /* its newline is behind the limit */
                assert_int_equal(line_reader_next(&r, fd, 6 + size + 1, &line), LINE_OVERSIZE);
                assert_int_equal(r.size, 4 + size);
                assert_memory_equal(line.data, "headxxxx", 8);
                assert_line(&r, fd, 2, NULL);
                line_reader_step(&r);
                assert_int_equal(r.offset, 6 + size + 1);
                assert_line(&r, fd, UINT64_MAX, "b");
                assert_line(&r, fd, UINT64_MAX, NULL);
        }
}

static void one_call_passes_over_16_mib(void **state) {
        _cleanup_close_ int fd = temporary_file();
        _cleanup_(line_reader_done) LineReader r = { .max = 65536 };
        uint64_t size = (uint64_t) 3 * 16 * 1024 * 1024, before = 0;
        Slice line;

        /* A hole reads as NUL bytes. */
        assert_int_equal(pwrite_all(fd, "\n", 1, size), 0);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(
                        line_reader_next(&r, fd, UINT64_MAX, &line), i < 2 ? LINE_CONTINUE : LINE_OVERSIZE);
                assert_in_range(r.passed - before, 1, 17 * 1024 * 1024);
                before = r.passed;
        }
        assert_true(r.size == size);
}

/* What a reader that pauses gave back is read again, wherever in a line it was. */
static void a_reader_that_pauses_keeps_little_and_loses_nothing(void **state) {
        static const size_t sizes[] = { 100, LINE_KEEP_BYTES / 2, LINE_KEEP_BYTES + 1, 4 << 20 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_close_ int fd = temporary_file();
                _cleanup_(line_reader_done) LineReader r = {};
                Slice line;

                assert_int_equal(pwrite_all(fd, "a\n", 2, 0), 0);
                write_long(fd, 2, sizes[i]);
                assert_line(&r, fd, UINT64_MAX, "a");
                assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_NONE);
                line_reader_pause(&r);
                assert_true(r.in.allocated <= LINE_KEEP_BYTES);
                assert_int_equal(pwrite_all(fd, "\nb\n", 3, 2 + sizes[i]), 0);
                assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_WHOLE);
                assert_int_equal(line.size, sizes[i]);
                /* Handed out, and not stepped over. */
                line_reader_pause(&r);
                assert_true(r.in.allocated <= LINE_KEEP_BYTES);
                assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_WHOLE);
                assert_int_equal(line.size, sizes[i]);
                line_reader_step(&r);
                line_reader_pause(&r);
                assert_line(&r, fd, UINT64_MAX, "b");
                assert_line(&r, fd, UINT64_MAX, NULL);
                assert_int_equal(r.offset, sizes[i] + 5);
        }
}

static void a_reader_that_pauses_goes_on_passing_over(void **state) {
        _cleanup_close_ int fd = temporary_file();
        _cleanup_(line_reader_done) LineReader r = { .max = 65536 };
        Slice line;

        write_long(fd, 0, 1 << 20);
        assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_NONE);
        line_reader_pause(&r);
        assert_int_equal(r.passed, 1 << 20);
        assert_int_equal(pwrite_all(fd, "\nb\n", 3, 1 << 20), 0);
        assert_int_equal(line_reader_next(&r, fd, UINT64_MAX, &line), LINE_OVERSIZE);
        assert_int_equal(r.size, 1 << 20);
        assert_memory_equal(line.data, "xxxx", 4);
        line_reader_pause(&r);
        line_reader_step(&r);
        assert_line(&r, fd, UINT64_MAX, "b");
}

static void streams_have_room_up_to_the_bound(void **state) {
        const size_t max = EVENT_STREAMS_BYTES_MAX;
        StreamRoom room = {};
        StreamShare a, b;

        stream_share_open(&a, &room, 1);
        stream_share_open(&b, &room, 1);
        /* One alone has as much as it needs. */
        assert_true(stream_share_ask(&a, 2 * max));
        stream_share_hold(&a, max / 2);
        assert_true(stream_share_ask(&b, max / 2));
        assert_false(stream_share_ask(&b, max / 2 + 1));
        assert_int_equal(b.wanted, max / 2 + 1);
        /* A short line always goes. */
        stream_share_hold(&a, 2 * max);
        assert_true(stream_share_ask(&b, STREAM_SHORT_BYTES));
        assert_int_equal(b.wanted, 0);
        assert_false(stream_share_ask(&b, STREAM_SHORT_BYTES + 1));
        stream_share_hold(&b, 7);
        assert_int_equal(room.held, 2 * max + 7);
        stream_share_close(&a);
        assert_int_equal(room.held, 7);
        assert_true(stream_share_ask(&b, max));
        stream_share_close(&b);
        assert_null(room.shares);
        assert_int_equal(room.held, 0);
}

static void a_stream_in_the_way_that_nobody_reads_is_the_one_to_go(void **state) {
        StreamRoom room = {};
        StreamShare waits, reads, sleeps, small;

        stream_share_open(&waits, &room, 0);
        stream_share_open(&reads, &room, 0);
        stream_share_open(&sleeps, &room, 5);
        stream_share_open(&small, &room, 0);
        stream_share_hold(&waits, STREAM_SHORT_BYTES + 1);
        stream_share_hold(&reads, 1 << 20);
        stream_share_hold(&sleeps, STREAM_SHORT_BYTES + 1);
        stream_share_hold(&small, STREAM_SHORT_BYTES);
        reads.taken_usec = 5 * USEC_PER_SEC;
        assert_null(stream_share_stalled(&waits, 4 + STREAM_ROOM_USEC));
        assert_ptr_equal(stream_share_stalled(&waits, 5 + STREAM_ROOM_USEC), &sleeps);
        stream_share_close(&sleeps);
        assert_null(stream_share_stalled(&waits, 5 + STREAM_ROOM_USEC));
        assert_ptr_equal(stream_share_stalled(&waits, 5 * USEC_PER_SEC + STREAM_ROOM_USEC), &reads);
}

static void lines_without_a_file(void **state) {
        LineReader r = {};

        assert_line(&r, -EBADF, UINT64_MAX, NULL);
        line_reader_done(&r);
}

/* ---- the folder ---- */

static void folder_is_made_once(void **state) {
        char path[64];
        _cleanup_close_ int parent = open(temporary_folder(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                            fd = -EBADF, again = -EBADF;
        uint64_t size;
        struct stat st;

        fd = run_directory_make(parent, "1", "{}");
        assert_true(fd >= 0);
        assert_int_equal(run_directory_write_input(fd, 0, "hello\n", 6), 0);
        again = run_directory_make(parent, "1", "{}");
        assert_true(again >= 0);
        assert_int_equal(run_directory_input_size(again, &size), 0);
        assert_int_equal(size, 6);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        /* A hole would be zeros in the agent's input. */
        assert_int_equal(run_directory_write_input(fd, 7, "x", 1), -EUCLEAN);
        assert_int_equal(run_directory_ring(fd, 'w'), -ENXIO);
        assert_int_equal(run_directory_is_started(fd), 0);
        assert_int_equal(run_directory_open_output(fd), -ENOENT);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
}

static void folder_that_is_a_link_is_refused(void **state) {
        char path[64];
        _cleanup_close_ int parent = open(temporary_folder(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(symlinkat("/tmp", parent, "1"), 0);
        int r = run_directory_make(parent, "1", "{}");
        assert_true(r == -ENOTDIR || r == -ELOOP);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
}

static void outcome_states(void **state) {
        char path[64];
        _cleanup_close_ int fd = open(temporary_folder(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_json_ Json *outcome = NULL;

        assert_int_equal(run_directory_read_outcome(fd, &outcome), 0);
        assert_int_equal(write_file_atomic_at(fd, "outcome.json", "{\"exitCode\":", 12, 0600), 0);
        assert_int_equal(run_directory_read_outcome(fd, &outcome), -EBADMSG);
        assert_int_equal(write_file_atomic_at(fd, "outcome.json", "{\"exitCode\":3}", 14, 0600), 0);
        assert_int_equal(run_directory_read_outcome(fd, &outcome), 1);
        uint64_t code = 0;
        assert_int_equal(json_get_u64(outcome, "exitCode", &code), 1);
        assert_int_equal(code, 3);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
}

/* ---- watch ---- */

typedef struct Heard {
        unsigned n, n_new_files;
} Heard;

static void on_watch(bool new_files, void *userdata) {
        Heard *h = userdata;

        h->n++;
        h->n_new_files += new_files;
}

static void watch_tells_of_files(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(watch_freep) Watch *watch = NULL;
        char path[64];
        _cleanup_close_ int fd = open(temporary_folder(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Heard heard = {}, other = {};
        WatchSlot *slot, *second;
        char path2[64];
        _cleanup_close_ int fd2 = open(temporary_folder(path2), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(watch_new(event, &watch), 0);
        assert_int_equal(watch_add(watch, fd, on_watch, &heard, &slot), 0);
        assert_int_equal(watch_add(watch, fd2, on_watch, &other, &second), 0);
        assert_int_equal(write_file_atomic_at(fd, "outcome.json", "{}", 2, 0600), 0);
        assert_true(sd_event_run(event, 1000000) > 0);
        assert_true(heard.n_new_files >= 1);
        assert_int_equal(other.n, 0);
        /* A file that only grows is no new one. */
        int out = openat(fd, "outcome.json", O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_true(out >= 0);
        heard = (Heard){};
        assert_int_equal(write(out, "{}", 2), 2);
        while (heard.n == 0)
                assert_true(sd_event_run(event, 1000000) > 0);
        assert_int_equal(heard.n_new_files, 0);
        close(out);
        watch_slot_free(slot);
        heard = (Heard){};
        assert_int_equal(write_file_atomic_at(fd, "again", "{}", 2, 0600), 0);
        assert_int_equal(write_file_atomic_at(fd2, "again", "{}", 2, 0600), 0);
        while (other.n == 0)
                assert_true(sd_event_run(event, 1000000) > 0);
        assert_int_equal(heard.n, 0);
        watch_slot_free(second);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
        assert_int_equal(remove_tree_at(AT_FDCWD, path2), 0);
}

/* ---- limits ---- */

static uint64_t limit_of(const Limits *l, const char *name) {
        for (size_t i = 0; i < l->n; i++)
                if (streq(l->list[i].name, name))
                        return l->list[i].value;
        return UINT64_MAX;
}

static int parse_limits(const char *text, const ConfigLimits *defaults, Limits *ret, char **error) {
        _cleanup_json_ Json *o = NULL;

        assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
        return limits_parse(o, defaults, ret, error);
}

static void limits_defaults_and_overrides(void **state) {
        const ConfigLimits defaults = { .memory_high = 300, .memory_max = 400, .tasks_max = 50 };
        _cleanup_free_ char *error = NULL;
        Limits l;

        assert_int_equal(limits_parse(NULL, &defaults, &l, &error), 0);
        assert_int_equal(limit_of(&l, "MemoryHigh"), 300);
        assert_int_equal(limit_of(&l, "MemoryMax"), 400);
        assert_int_equal(limit_of(&l, "TasksMax"), 50);
        assert_int_equal(limit_of(&l, "CPUWeight"), UINT64_MAX);

        assert_int_equal(
                parse_limits(
                        "{\"memoryMax\":200,\"cpuQuotaPercent\":150,\"runtimeMaxSec\":2}",
                        &defaults,
                        &l,
                        &error),
                0);
        assert_int_equal(limit_of(&l, "MemoryMax"), 200);
        /* A high above the max would never be felt. */
        assert_int_equal(limit_of(&l, "MemoryHigh"), 200);
        assert_int_equal(limit_of(&l, "CPUQuotaPerSecUSec"), 1500000);
        assert_int_equal(limit_of(&l, "RuntimeMaxUSec"), 2000000);
}

static void limits_refused(void **state) {
        static const struct {
                const char *text, *names;
                int error;
        } cases[] = {
                { "{\"memoryMax\":0}", "memoryMax", -EINVAL },
                { "{\"memoryMax\":-1}", "memoryMax", -EINVAL },
                { "{\"memoryMax\":\"1G\"}", "memoryMax", -EINVAL },
                { "{\"tasksMax\":99999999999}", "tasksMax", -EINVAL },
                { "{\"cpuWeight\":10001}", "cpuWeight", -EINVAL },
                { "{\"nice\":1}", "nice", -EOPNOTSUPP },
                { "[]", "limits", -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;
                Limits l;

                assert_int_equal(parse_limits(cases[i].text, NULL, &l, &error), cases[i].error);
                assert_non_null(error);
                assert_non_null(strstr(error, cases[i].names));
        }
}

static void defaults_below_ceilings(void **state) {
        ConfigLimits defaults = { .memory_max = 500, .cpu_quota_percent = 20 };
        const Limits ceilings = {
                .list = { { "MemoryMax", 400 },
                          { "TasksMax", 30 },
                          { "CPUQuotaPerSecUSec", 900000 },
                          { "RuntimeMaxUSec", 60 * USEC_PER_SEC } },
                .n = 4,
        };

        limits_clip(&defaults, &ceilings);
        assert_int_equal(defaults.memory_max, 400);
        assert_int_equal(defaults.tasks_max, 0);
        assert_int_equal(defaults.cpu_quota_percent, 20);
        /* The time is the runner's to keep, so it has to know what the launcher would make of none. */
        assert_int_equal(defaults.runtime_max_sec, 60);
        defaults.runtime_max_sec = 7;
        limits_clip(&defaults, &ceilings);
        assert_int_equal(defaults.runtime_max_sec, 7);
}

/* ---- the clock of runtimeMaxSec ---- */

static void time_stands_still(void **state) {
        RuntimeClock c = { .limit_usec = 100, .started_usec = 1000 };

        assert_int_equal(runtime_clock_left(&c, 1000), 100);
        assert_int_equal(runtime_clock_left(&c, 1040), 60);
        assert_true(runtime_clock_freeze(&c, true, 1040));
        assert_false(runtime_clock_freeze(&c, true, 1050));
        assert_int_equal(runtime_clock_left(&c, 1000000), USEC_INFINITY);
        assert_true(runtime_clock_freeze(&c, false, 5040));
        assert_false(runtime_clock_freeze(&c, false, 5050));
        assert_int_equal(runtime_clock_left(&c, 5050), 50);
        assert_true(runtime_clock_freeze(&c, true, 5060));
        assert_true(runtime_clock_freeze(&c, false, 6060));
        assert_int_equal(runtime_clock_left(&c, 6099), 1);
        assert_int_equal(runtime_clock_left(&c, 6100), 0);
        assert_int_equal(runtime_clock_left(&c, UINT64_MAX), 0);
        c.limit_usec = 0;
        assert_int_equal(runtime_clock_left(&c, UINT64_MAX), USEC_INFINITY);
}

static void time_goes_on_after_a_restart(void **state) {
        RuntimeClock c = { .limit_usec = 100,
                           .started_usec = 1000,
                           .frozen_usec = 30,
                           .frozen_since_usec = 1100 },
                     d;
        _cleanup_json_ Json *o = runtime_clock_to_json(&c), *bad = json_object_new_object();

        assert_non_null(o);
        assert_int_equal(runtime_clock_from_json(o, 1200, &d), 0);
        assert_int_equal(runtime_clock_left(&d, 1200), USEC_INFINITY);
        assert_true(runtime_clock_freeze(&d, false, 1300));
        assert_int_equal(runtime_clock_left(&d, 1300), 30);
        /* Of an earlier boot, whose clock was another. */
        assert_int_equal(runtime_clock_from_json(o, 1050, &d), -EINVAL);
        assert_int_equal(runtime_clock_from_json(o, 900, &d), -EINVAL);
        assert_int_equal(runtime_clock_from_json(bad, 1200, &d), -EINVAL);
}

/* ---- budget ---- */

static void budgets_refused(void **state) {
        static const struct {
                const char *budget, *says;
        } cases[] = {
                { "{\"usd\":0}", "budget.usd is not a number above 0" },
                { "{\"usd\":\"1\"}", "budget.usd is not a number above 0" },
                { "{\"tokens\":1.5}", "budget.tokens is not a whole number above 0" },
                { "{\"turns\":-1}", "budget.turns is not a whole number above 0" },
                { "{\"eur\":1}", "budget.eur is not known: there are usd, tokens and turns" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ Json *o = NULL;
                _cleanup_free_ char *error = NULL;

                assert_int_equal(json_parse(cases[i].budget, strlen(cases[i].budget), &o, NULL), 0);
                assert_int_equal(budget_check(o, &error), -EINVAL);
                assert_string_equal(error, cases[i].says);
        }
}

static void budgets_spent(void **state) {
        static const char text[] = "{\"usd\":0.5,\"tokens\":1000,\"turns\":3}";
        static const struct {
                DriverUsage usage;
                const char *spent;
        } cases[] = {
                { { .turns = 0, .input_tokens = 5000 }, NULL }, /* no turn has ended */
                { { .turns = 2,
                    .input_tokens = 400,
                    .output_tokens = 500,
                    .cost_usd = 0.49,
                    .has_cost = true },
                  NULL },
                { { .turns = 1, .cost_usd = 0.5, .has_cost = true }, "usd" },
                { { .turns = 1, .cost_usd = 9 }, NULL }, /* the agent names no cost */
                { { .turns = 1, .input_tokens = 400, .output_tokens = 500, .cache_write_tokens = 100 },
                  "tokens" },
                { { .turns = 1, .cache_read_tokens = 9000 }, NULL },
                { { .turns = 3 }, "turns" },
        };
        _cleanup_json_ Json *o = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
        assert_int_equal(budget_check(o, &error), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *spent = budget_spent(o, &cases[i].usage);

                if (!streq_ptr(spent, cases[i].spent))
                        fail_msg("case %zu: %s instead of %s", i, strempty(spent), strempty(cases[i].spent));
                assert_null(budget_spent(NULL, &cases[i].usage));
        }
}

/* ---- verdict ---- */

static void on_changed(Conversation *c, void *userdata) {
        (*(unsigned *) userdata)++;
}

/* An orchestrator's message has room for 16 MiB of them, and a conversation may be stopped for an hour. */
static void of_the_words_of_a_stop_little_is_kept(void **state) {
        static const ConversationHooks hooks = { .changed = on_changed };
        _cleanup_free_ char *error = NULL;
        char path[] = "/tmp/nf-parts-XXXXXX";
        unsigned changes = 0;
        ConversationContext ctx = { .hooks = &hooks, .userdata = &changes };
        Run run = { .start.call = (LauncherCall *) &ctx }; /* the launcher is at it */
        Conversation c = {
                .ctx = &ctx, .run = &run, .row.id = (char *) "c-1", .row.state = CONVERSATION_STARTING
        };
        char words[STOP_WORDS_MAX + 8];
        int fd;

        assert_non_null(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_return_code(store_open(fd, path, &ctx.run.store, &error), 0);
        memset(words, 'r', sizeof(words));
        words[sizeof(words) - 1] = 0;
        memcpy(words + STOP_WORDS_MAX - 1, "ä", 2);
        conversation_stop(&c, &(StopOrder){ .cause = STOP_BY_ORCHESTRATOR, .words = words });
        assert_int_equal(changes, 1);
        assert_int_equal(strlen(c.stop.words), STOP_WORDS_MAX - 1);
        conversation_stop(&c, &(StopOrder){ .cause = STOP_BY_PERSON, .words = "timeout" });
        assert_memory_equal(c.stop.words, words, STOP_WORDS_MAX - 1);
        assert_int_equal(c.stop.cause, STOP_BY_ORCHESTRATOR);
        conversation_stop_done(&c.stop);
        store_close(ctx.run.store);
        assert_return_code(remove_tree_at(AT_FDCWD, path), 0);
        safe_close(fd);
}

static void verdicts(void **state) {
        static const struct {
                const char *outcome, *result, *failure;
                StopCause stop;
                EndReason reason;
                bool end, shutdown, stopped, bad_turn, oom;
        } cases[] = {
                { .outcome = "{\"exitCode\":0}", .reason = END_COMPLETED },
                { .outcome = "{\"exitCode\":0}", .end = true, .bad_turn = true, .reason = END_COMPLETED },
                { .outcome = "{\"exitCode\":0}", .bad_turn = true, .reason = END_AGENT_EXITED },
                { .outcome = "{\"exitCode\":1}", .reason = END_AGENT_EXITED },
                { .outcome = "{\"signal\":11}", .reason = END_AGENT_EXITED },
                { .outcome = "{\"signal\":9,\"resources\":{\"oomKills\":1}}",
                  .oom = true,
                  .reason = END_OOM_KILLED },
                /* An hour ago, and a tool. */
                { .outcome = "{\"signal\":9,\"resources\":{\"oomKills\":1}}", .reason = END_AGENT_EXITED },
                { .outcome = "{\"signal\":9,\"resources\":{\"oomKills\":0}}", .reason = END_AGENT_EXITED },
                /* A tool was killed for its memory, and the agent lived to tell. */
                { .outcome = "{\"exitCode\":0,\"resources\":{\"oomKills\":2}}",
                  .oom = true,
                  .reason = END_COMPLETED },
                { .outcome = "{\"exitCode\":0}", .stop = STOP_BY_PERSON, .reason = END_STOPPED },
                { .outcome = "{\"signal\":15}", .stop = STOP_BY_PERSON, .reason = END_STOPPED },
                { .outcome = "{\"signal\":15,\"stoppedBy\":\"systemd\"}",
                  .result = "success",
                  .reason = END_STOPPED },
                { .outcome = "{\"signal\":15,\"stoppedBy\":\"systemd\"}",
                  .result = "timeout",
                  .reason = END_TIMEOUT },
                { .outcome = "{\"exitCode\":0,\"stoppedBy\":\"supervisor\"}", .reason = END_TIMEOUT },
                { .outcome = "{\"signal\":15,\"stoppedBy\":\"supervisor\"}",
                  .stop = STOP_BY_PERSON,
                  .reason = END_STOPPED },
                { .outcome = "{\"signal\":15,\"stoppedBy\":\"systemd\"}",
                  .shutdown = true,
                  .reason = END_SHUTDOWN },
                { .outcome = "{\"stage\":\"exec\",\"errno\":2}", .reason = END_FAILED },
                { .outcome = "{\"exitCode\":1}", .failure = "no such session", .reason = END_FAILED },
                { .outcome = "{\"signal\":9}", .stop = STOP_BY_BUDGET, .reason = END_BUDGET },
                { .outcome = "{\"signal\":9}", .stop = STOP_BY_RUNTIME, .reason = END_TIMEOUT },
                { .result = "oom-kill", .reason = END_OOM_KILLED },
                { .result = "timeout", .reason = END_TIMEOUT },
                { .outcome = "{\"signal\":9}", .stop = STOP_BY_SHUTDOWN, .reason = END_SHUTDOWN },
                { .result = "signal", .reason = END_LOST },
                { .result = "success", .shutdown = true, .reason = END_SHUTDOWN },
                { .result = "success", .stopped = true, .reason = END_STOPPED },
                { .result = "oom-kill", .stopped = true, .reason = END_OOM_KILLED },
                { .oom = true, .shutdown = true, .reason = END_OOM_KILLED },
                { .reason = END_LOST },
                { .oom = true, .reason = END_OOM_KILLED },
                { .oom = true, .stop = STOP_BY_PERSON, .reason = END_STOPPED },
                { .stop = STOP_BY_PERSON, .reason = END_STOPPED },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ Json *outcome = NULL;

                if (cases[i].outcome)
                        assert_int_equal(
                                json_parse(cases[i].outcome, strlen(cases[i].outcome), &outcome, NULL), 0);
                EndReason reason = verdict_reason(&(VerdictInput){
                        .outcome = outcome,
                        .result = cases[i].result,
                        .stop = cases[i].stop,
                        .end_requested = cases[i].end,
                        .shutdown = cases[i].shutdown,
                        .stopped_by_systemd = cases[i].stopped,
                        .last_turn_failed = cases[i].bad_turn,
                        .failure = cases[i].failure,
                        .oom = cases[i].oom,
                });
                if (reason != cases[i].reason)
                        fail_msg(
                                "case %zu: %s instead of %s",
                                i,
                                end_reason_to_string(reason),
                                end_reason_to_string(cases[i].reason));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_at_every_split),
                cmocka_unit_test(lines_stop_at_the_limit),
                cmocka_unit_test(lines_from_an_offset),
                cmocka_unit_test(a_line_longer_than_every_buffer),
                cmocka_unit_test(a_line_of_the_bound_is_whole_and_one_of_a_byte_more_is_not),
                cmocka_unit_test(a_line_above_the_bound_is_passed_over_in_pieces),
                cmocka_unit_test(one_call_passes_over_16_mib),
                cmocka_unit_test(a_reader_that_pauses_keeps_little_and_loses_nothing),
                cmocka_unit_test(a_reader_that_pauses_goes_on_passing_over),
                cmocka_unit_test(streams_have_room_up_to_the_bound),
                cmocka_unit_test(a_stream_in_the_way_that_nobody_reads_is_the_one_to_go),
                cmocka_unit_test(lines_without_a_file),
                cmocka_unit_test(folder_is_made_once),
                cmocka_unit_test(folder_that_is_a_link_is_refused),
                cmocka_unit_test(outcome_states),
                cmocka_unit_test(watch_tells_of_files),
                cmocka_unit_test(limits_defaults_and_overrides),
                cmocka_unit_test(limits_refused),
                cmocka_unit_test(defaults_below_ceilings),
                cmocka_unit_test(time_stands_still),
                cmocka_unit_test(time_goes_on_after_a_restart),
                cmocka_unit_test(budgets_refused),
                cmocka_unit_test(budgets_spent),
                cmocka_unit_test(of_the_words_of_a_stop_little_is_kept),
                cmocka_unit_test(verdicts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
