/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "run-test.h"
#include "runner/run/run-end.h"
#include "runner/run/run-orders.h"
#include "runner/run/run-state.h"
#include "runner/run/run-stop.h"
#include "runner/run/run.h"
#include "runner/scope/run-directory.h"
#include "runner/store/store-input.h"

/* How a run is started, ordered about and written to. */

/* ---- the start ---- */

static void begin_start(void) {
        _cleanup_free_ char *error = NULL;

        make_run(&(Setup){ .state = "preparing" });
        assert_return_code(start_run(&error), 0);
        expect_calls("starting");
        assert_true(run_start_is_under_way(world.r));
        assert_state(RUN_STARTING);
}

static void test_a_start_is_stored_and_ordered(void **state) {
        _cleanup_free_ char *limits = NULL;
        RunRow row;

        world.kept = "kept";
        begin_start();
        assert_true(owner_has_stored());
        assert_int_equal(store_get(world.ctx.store, "limits:c-1:1", &limits), 1);
        assert_string_equal(world.start_text, "c-1 1 w in /w: /bin/true NF_A=1");
        assert_int_equal(world.n_limits, 1);
        assert_int_equal(faccessat(run_directory_fd(world.r), "spec.json", F_OK, 0), 0);
        answer_start(0, NULL, UNIT, "00ff");
        expect_calls("started(" UNIT ", 00ff)");
        assert_false(run_start_is_under_way(world.r) || run_start_was_tried(world.r));
        row = stored_row();
        assert_int_equal(row.state, RUN_LIVE);
        assert_string_equal(row.unit, UNIT);
        assert_string_equal(row.invocation, "00ff");
        assert_true(row.started_usec > 0);
        run_row_done(&row);
}

static void test_a_start_that_is_not_stored_is_not_ordered(void **state) {
        _cleanup_free_ char *error = NULL, *limits = NULL;

        world.kept = "not kept";
        world.starting_error = -EIO;
        make_run(&(Setup){ .state = "preparing" });
        assert_int_equal(start_run(&error), -EIO);
        expect_calls("starting; store_failed(5)");
        assert_state(RUN_PREPARING);
        assert_false(owner_has_stored());
        assert_int_equal(store_get(world.ctx.store, "limits:c-1:1", &limits), 0);
        assert_int_equal(world.n_starts, 0);
        assert_false(run_start_is_under_way(world.r));
}

static void test_a_folder_that_cannot_be_made_is_the_callers_to_report(void **state) {
        _cleanup_free_ char *error = NULL;

        world.make_error = -ENOSPC;
        make_run(&(Setup){ .state = "preparing" });
        assert_int_equal(start_run(&error), -ENOSPC);
        assert_non_null(strstr(error, "No space left on device"));
        spin();
        expect_calls("");
        assert_state(RUN_PREPARING);
        assert_int_equal(world.n_starts, 0);
}

static void test_a_launcher_is_lost_once_and_asked_ten_times(void **state) {
        world.starts_again = true;
        begin_start();
        answer_start(-ECONNRESET, "gone", NULL, NULL);
        expect_calls("launcher_lost; start_again; starting");
        assert_true(run_start_was_tried(world.r));
        for (unsigned i = 2; i < 10; i++) {
                answer_start(-ETIMEDOUT, "slow", NULL, NULL);
                expect_calls("start_again; starting");
        }
        assert_int_equal(world.n_starts, 10);
        answer_start(-ENOTCONN, "never", NULL, NULL);
        expect_calls("start_failed(never)");
        assert_int_equal(world.n_starts, 10);
        assert_false(run_start_is_under_way(world.r));
        /* Whatever may still come of that. */
        answer_order(0, "Kill", 0, NULL);
        answer_order(1, "Stop", 0, NULL);
        answer_order(2, "Collect", 0, NULL);
        expect_calls("");
}

static void test_no_start_is_tried_again_after_a_stop(void **state) {
        world.starts_again = true;
        begin_start();
        run_set_stopping(world.r);
        answer_start(-ECONNRESET, "gone", NULL, NULL);
        expect_calls("launcher_lost; start_failed(gone)");
        assert_int_equal(world.n_starts, 1);
        answer_order(0, "Kill", 0, NULL);
        answer_order(1, "Stop", 0, NULL);
        answer_order(2, "Collect", 0, NULL);
        expect_calls("");
}

/* Whether anything came of the start, nobody knows: one that is not there has nothing to kill. */
static void test_a_kill_of_a_lost_start_that_fails_is_in_the_journal(void **state) {
        static const struct {
                int kill, stop;
                unsigned warnings;
        } answers[] = {
                { -EIO, 0, 1 },
                { -ENOENT, -EIO, 0 },
                { 0, 0, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                unsigned before, first = world.n_sent;

                begin_start();
                run_set_stopping(world.r);
                answer_start(-ECONNRESET, "gone", NULL, NULL);
                expect_calls("launcher_lost; start_failed(gone)");
                /* Its conversation has ended. */
                world.r = run_free(world.r);
                before = world.n_warnings;
                answer_order(first, "Kill", answers[i].kill, "no");
                answer_order(first + 1, "Stop", answers[i].stop, "no");
                answer_order(first + 2, "Collect", 0, NULL);
                spin();
                assert_int_equal(world.n_warnings - before, answers[i].warnings);
        }
}

static void test_nothing_is_ordered_for_a_start_that_was_refused_or_never_asked_for(void **state) {
        make_run(&(Setup){ .state = "preparing" });
        run_abandon_start(world.r);
        assert_int_equal(world.n_sent, 0);
        world.r = run_free(world.r);
        begin_start();
        run_abandon_start(world.r);
        assert_int_equal(world.n_sent, 0);
        answer_start(-EACCES, "not allowed", NULL, NULL);
        expect_calls("start_failed(not allowed)");
        assert_int_equal(world.n_sent, 0);
}

static void test_a_scope_in_the_way_is_not_a_lost_launcher(void **state) {
        begin_start();
        answer_start(-EEXIST, "there", NULL, NULL);
        expect_calls("start_again");
}

static void test_a_launchers_refusal_is_final(void **state) {
        begin_start();
        answer_start(-EACCES, "not allowed", NULL, NULL);
        expect_calls("start_failed(not allowed)");
        assert_false(run_start_was_tried(world.r));
}

static void test_what_has_started_needs_no_launchers_word(void **state) {
        begin_start();
        write_file("started", STARTED);
        answer_start(-ECONNRESET, "gone", NULL, NULL);
        expect_calls("launcher_lost; started(" UNIT ", none)");
        assert_state(RUN_LIVE);
}

static void test_a_scope_in_which_nothing_began_is_started_again(void **state) {
        make_run(&(Setup){});
        open_folder();
        assert_return_code(run_watch(world.r), 0);
        run_wake(world.r);
        spin();
        expect_calls("driven(false)");
        answer_result(NULL);
        expect_calls("start_again");
        assert_int_equal(run_row(world.r)->state, RUN_PREPARING);
        assert_false(run_has_ended(world.r));
}

static void test_a_scope_in_which_nothing_began_is_over_after_a_stop(void **state) {
        make_run(&(Setup){});
        open_folder();
        assert_return_code(run_watch(world.r), 0);
        run_set_stopping(world.r);
        run_wake(world.r);
        spin();
        expect_calls("driven(false)");
        answer_result(NULL);
        assert_true(run_has_ended(world.r));
        assert_int_equal(run_row(world.r)->state, RUN_LIVE);
}

static void test_a_run_that_is_freed_is_not_started(void **state) {
        begin_start();
        world.r = run_free(world.r);
        assert_null(world.start);
        spin();
        expect_calls("");
}

/* ---- orders ---- */

static void test_an_order_is_reported_as_it_went(void **state) {
        live("shell");
        assert_return_code(run_order(world.r, LAUNCHER_FREEZE, NULL, 0), 0);
        assert_return_code(run_order(world.r, LAUNCHER_SET_LIMITS, &(LauncherLimit){ "TasksMax", 7 }, 1), 0);
        assert_true(run_has_order(world.r, LAUNCHER_FREEZE));
        assert_true(run_has_order(world.r, LAUNCHER_SET_LIMITS));
        assert_false(run_has_order(world.r, LAUNCHER_THAW));
        answer_order(0, "Freeze", 0, NULL);
        expect_calls("");
        spin();
        expect_calls("ordered(Freeze, 0, none)");
        assert_int_equal(world.sent[1].limit, 7);
        answer_order(1, "SetLimits", -ERANGE, "too high");
        spin();
        expect_calls("ordered(SetLimits, 34, too high)");
        assert_int_equal(world.n_warnings, 1);
        assert_false(run_has_order(world.r, LAUNCHER_SET_LIMITS));
}

static void test_a_kill_looks_at_what_it_left(void **state) {
        live("shell");
        world.populated = false;
        assert_return_code(run_order(world.r, LAUNCHER_KILL, NULL, 0), 0);
        answer_order(0, "Kill", 0, NULL);
        spin();
        expect_calls("ordered(Kill, 0, none); driven(false)");
        assert_int_equal(world.n_questions, 1);
}

/* Whatever the answer, the scope may have gone. */
static void test_a_kill_that_fails_looks_too(void **state) {
        live("shell");
        assert_return_code(run_order(world.r, LAUNCHER_KILL, NULL, 0), 0);
        answer_order(0, "Kill", -ENOENT, "no such unit");
        spin();
        expect_calls("ordered(Kill, 2, no such unit); driven(false)");
}

/* Nothing is left to do it to. */
static void test_what_waits_at_the_end_is_not_sent(void **state) {
        live("shell");
        assert_return_code(run_order(world.r, LAUNCHER_FREEZE, NULL, 0), 0);
        assert_return_code(run_order(world.r, LAUNCHER_THAW, NULL, 0), 0);
        run_close(world.r);
        assert_false(run_has_order(world.r, LAUNCHER_THAW));
        answer_order(0, "Freeze", 0, NULL);
        spin();
        expect_calls("");
        assert_int_equal(world.n_sent, 1);
}

static void test_nobody_hears_of_an_order_that_nobody_waits_for(void **state) {
        live("shell");
        run_order_unheard(world.r, LAUNCHER_STOP);
        answer_order(0, "Stop", -EIO, "no");
        spin();
        expect_calls("");
}

static void test_without_a_launcher_nothing_is_ordered(void **state) {
        LauncherQueue *queue = world.ctx.launcher;

        live("shell");
        world.ctx.launcher = NULL;
        assert_int_equal(run_order(world.r, LAUNCHER_FREEZE, NULL, 0), -ENOTCONN);
        assert_false(run_has_order(world.r, LAUNCHER_FREEZE));
        run_forget_orders(world.r);
        world.ctx.launcher = queue;
        spin();
        expect_calls("");
        assert_int_equal(world.n_sent, 0);
        assert_int_equal(world.n_warnings, 1);
}

/* They are carried out: it is read again from the store, and what was accepted holds. */
static void test_a_run_that_is_freed_hears_of_no_order(void **state) {
        live("shell");
        assert_return_code(run_order(world.r, LAUNCHER_FREEZE, NULL, 0), 0);
        assert_return_code(run_order(world.r, LAUNCHER_THAW, NULL, 0), 0);
        world.r = run_free(world.r);
        answer_order(0, "Freeze", -EIO, "no");
        spin();
        answer_order(1, "Thaw", 0, NULL);
        spin();
        expect_calls("");
        assert_int_equal(world.n_sent, 2);
}

/* ---- input ---- */

static int open_bell(void) {
        int fd = openat(run_directory_fd(world.r), "bell", O_RDWR | O_NONBLOCK | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void assert_rung(int fd, const char *rings) {
        char bytes[16] = {};

        (void) !read(fd, bytes, sizeof(bytes) - 1);
        assert_string_equal(bytes, rings);
}

static void render_line(const char *line) {
        uint64_t offset;

        assert_return_code(store_render(world.ctx.store, ID, 1, line, strlen(line), 0, &offset), 0);
}

static void assert_in_log(const char *text) {
        _cleanup_free_ char *is = NULL;
        size_t size;

        assert_return_code(read_file_at(run_directory_fd(world.r), "in.log", 4096, &is, &size), 0);
        assert_string_equal(is, text);
}

static void test_input_is_written_once(void **state) {
        _cleanup_close_ int bell = -EBADF;
        uint64_t total, written;

        live("shell");
        bell = open_bell();
        assert_int_equal(run_write_input(world.r), 0);
        render_line("one\n");
        assert_int_equal(run_write_input(world.r), 1);
        assert_rung(bell, "w");
        assert_int_equal(run_write_input(world.r), 0);
        assert_rung(bell, "");
        render_line("two\n");
        assert_int_equal(run_write_input(world.r), 1);
        assert_in_log("one\ntwo\n");
        assert_return_code(run_store_input_written(world.r), 0);
        assert_return_code(store_input_size(world.ctx.store, ID, 1, &total, &written), 0);
        assert_int_equal(written, 8);
        /* Whoever is over reads no more. */
        render_line("three\n");
        run_set_ended(world.r);
        assert_int_equal(run_write_input(world.r), 0);
        assert_in_log("one\ntwo\n");
}

static void test_input_that_cannot_be_written_is_in_the_journal_once(void **state) {
        int fd;

        live("shell");
        fd = run_directory_fd(world.r);
        assert_return_code(unlinkat(fd, "in.log", 0), errno);
        assert_return_code(mkdirat(fd, "in.log", 0700), errno);
        render_line("one\n");
        assert_int_equal(run_write_input(world.r), -EISDIR);
        expect_calls("no_room");
        assert_int_equal(world.n_warnings, 1);
        assert_int_equal(run_write_input(world.r), -EISDIR);
        expect_calls("no_room");
        assert_int_equal(world.n_warnings, 1);
        assert_return_code(unlinkat(fd, "in.log", AT_REMOVEDIR), errno);
        write_file("in.log", "");
        assert_int_equal(run_write_input(world.r), 1);
        assert_in_log("one\n");
        /* The next time is another one. */
        render_line("two\n");
        write_file("in.log", "");
        assert_int_equal(run_write_input(world.r), -EUCLEAN);
        expect_calls("no_room");
        assert_int_equal(world.n_warnings, 2);
}

static void test_the_first_lines_are_stored_once(void **state) {
        uint64_t size;

        live("claude");
        assert_return_code(run_begin_input(world.r), 0);
        size = stored_input_size();
        assert_true(size > 0);
        assert_return_code(run_begin_input(world.r), 0);
        assert_int_equal(stored_input_size(), size);
}

static void test_an_agent_is_asked_to_end_by_its_protocol(void **state) {
        _cleanup_close_ int bell = -EBADF;

        live("shell");
        bell = open_bell();
        say(SHELL_STARTED);
        spin();
        assert_false(run_end_was_sent(world.r));
        assert_int_equal(run_ask_to_end(world.r), 1);
        assert_true(run_end_was_sent(world.r));
        assert_in_log("{\"type\":\"end\"}\n");
        assert_rung(bell, "we");
        run_terminate(world.r);
        run_kill(world.r);
        assert_rung(bell, "tk");
}

static void test_a_turn_is_interrupted_before_its_agent_ends(void **state) {
        live("shell");
        say(SHELL_STARTED TURN_START);
        spin();
        assert_int_equal(run_ask_to_end(world.r), 1);
        assert_in_log("{\"type\":\"interrupt\"}\n{\"type\":\"end\"}\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_start_is_stored_and_ordered),
                TEST(a_start_that_is_not_stored_is_not_ordered),
                TEST(a_folder_that_cannot_be_made_is_the_callers_to_report),
                TEST(a_launcher_is_lost_once_and_asked_ten_times),
                TEST(no_start_is_tried_again_after_a_stop),
                TEST(a_kill_of_a_lost_start_that_fails_is_in_the_journal),
                TEST(nothing_is_ordered_for_a_start_that_was_refused_or_never_asked_for),
                TEST(a_scope_in_which_nothing_began_is_over_after_a_stop),
                TEST(a_scope_in_the_way_is_not_a_lost_launcher),
                TEST(a_launchers_refusal_is_final),
                TEST(what_has_started_needs_no_launchers_word),
                TEST(a_scope_in_which_nothing_began_is_started_again),
                TEST(a_run_that_is_freed_is_not_started),
                TEST(an_order_is_reported_as_it_went),
                TEST(a_kill_looks_at_what_it_left),
                TEST(a_kill_that_fails_looks_too),
                TEST(what_waits_at_the_end_is_not_sent),
                TEST(nobody_hears_of_an_order_that_nobody_waits_for),
                TEST(without_a_launcher_nothing_is_ordered),
                TEST(a_run_that_is_freed_hears_of_no_order),
                TEST(input_is_written_once),
                TEST(input_that_cannot_be_written_is_in_the_journal_once),
                TEST(the_first_lines_are_stored_once),
                TEST(an_agent_is_asked_to_end_by_its_protocol),
                TEST(a_turn_is_interrupted_before_its_agent_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
