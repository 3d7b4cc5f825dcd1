/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "run-test.h"
#include "runner/run/run-orders.h"
#include "runner/run/run-state.h"
#include "runner/scope/run-directory.h"

/* How a run ends. */

static void test_an_end_reads_the_rest_and_is_concluded_once(void **state) {
        static const char rest[] = TURN_FAILED, whole[] = SHELL_STARTED TURN_START TURN_FAILED;
        _cleanup_free_ char *outcome = xasprintf(
                "{\"exitCode\":1,\"outBytes\":%zu,\"resources\":{\"cpuUsec\":1}}", strlen(whole));
        RunRow row;

        live("shell");
        say(SHELL_STARTED TURN_START);
        spin();
        expect_calls("effects(running); driven(true)");
        world.ending = true;
        world.populated = false;
        world.late = rest; /* between the reading and the looking */
        write_file("outcome.json", outcome);
        spin();
        /* Its mark for a runner after it is a new file, and is looked at as one. */
        expect_calls("driven(false); effects(idle); driven(true); ending; driven(false); ending");
        assert_true(run_has_ended(world.r));
        assert_false(world.marked_ending);
        spin();
        expect_calls("");
        world.ending = false;
        run_conclude(world.r);
        expect_calls("ending; ended(no result, turn failed)");
        assert_true(world.marked_over);
        assert_int_equal(json_object_get_int(json_get(world.outcome, "exitCode")), 1);
        row = stored_row();
        assert_int_equal(row.state, RUN_ENDED);
        assert_int_equal(row.out_bytes, strlen(whole));
        assert_true(row.ended_usec > 0);
        run_row_done(&row);
        /* It succeeded, as systemd has it: there is nothing to collect. */
        assert_int_equal(world.n_sent, 0);
        assert_int_equal(world.n_questions, 0);
        run_conclude(world.r);
        expect_calls("");
        spin();
        expect_calls("released");
}

static void test_all_pieces_of_the_rest_are_read_before_the_end(void **state) {
        live("shell");
        say_much(2500 * 1024);
        run_set_ended(world.r);
        run_drive(world.r);
        expect_calls("driven(true)");
        spin();
        expect_calls("driven(true); driven(true); ending; ended(no result, supervisor lost); released");
}

static void test_an_end_leaves_neither_clock_nor_limits_in_the_store(void **state) {
        static const char *const keys[] = { "limits:" ID ":1", "runtime:" ID ":1" };
        RunRow row;

        live("shell");
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                assert_return_code(store_set(world.ctx.store, keys[i], "{}"), 0);
        say(OUTPUT);
        run_set_ended(world.r);
        spin();
        expect_calls("driven(true); ending; ended(no result, supervisor lost); released");
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(store_get(world.ctx.store, keys[i], &text), 0);
        }
        /* Also where it steered nothing. */
        assert_stored_up_to(strlen(OUTPUT), 1);
        row = stored_row();
        assert_int_equal(row.out_bytes, strlen(OUTPUT)); /* which nobody said */
        run_row_done(&row);
}

static void test_what_comes_behind_the_end_is_not_read(void **state) {
        _cleanup_free_ char *outcome = xasprintf("{\"outBytes\":%zu}", strlen(SHELL_STARTED));

        live("shell");
        world.populated = false;
        world.late = SHELL_STARTED TURN_START;
        write_file("outcome.json", outcome);
        spin();
        expect_calls("driven(false); effects(idle); driven(true); ending; ended(no result); released");
        assert_stored_up_to(strlen(SHELL_STARTED), 1);
}

static void test_an_outcome_waits_for_the_last_process(void **state) {
        live("shell");
        write_file("outcome.json", "{\"outBytes\":0}");
        spin();
        expect_calls("driven(false)");
        assert_false(run_has_ended(world.r));
        world.populated = false;
        run_wake(world.r);
        spin();
        expect_calls("driven(false); driven(false); ending; ended(no result); released");
}

static void end_without_outcome(const char *result) {
        live("shell");
        world.populated = false;
        run_wake(world.r);
        spin();
        expect_calls("driven(false)");
        answer_result(result);
        spin();
}

static void test_a_kill_for_memory_is_systemds_word(void **state) {
        end_without_outcome("oom-kill");
        expect_calls("driven(false); ending; ended(oom-kill, supervisor lost); released");
        assert_null(world.outcome);
        /* Its name and its Result are given back, though nobody waits for that any more. */
        answer_order(0, "Collect", 0, NULL);
        spin();
        expect_calls("");
}

static void test_a_timeout_is_systemds_word(void **state) {
        end_without_outcome("timeout");
        expect_calls("driven(false); ending; ended(timeout, supervisor lost); released");
        assert_int_equal(world.n_questions, 1);
}

static void test_a_stop_by_systemd_is_looked_for_in_the_journal(void **state) {
        world.stop_usec = now_usec(CLOCK_REALTIME);
        end_without_outcome("success");
        expect_calls("driven(false); driven(false)");
        /* Whether it stops all of the system is asked before anything is concluded. */
        assert_non_null(world.shutdown);
        world.shutdown(true, world.shutdown_userdata);
        spin();
        expect_calls("ending; ended(success, shutdown, stopped by systemd, supervisor lost); released");
        assert_int_equal(world.n_sent, 0);
}

static void test_an_outcome_of_systemds_stop_leaves_the_why_to_systemd(void **state) {
        live("shell");
        world.populated = false;
        write_file("outcome.json", "{\"outBytes\":0,\"stoppedBy\":\"systemd\"}");
        spin();
        expect_calls("driven(false)");
        answer_result("timeout");
        spin();
        expect_calls("driven(false); driven(false)");
        world.shutdown(false, world.shutdown_userdata);
        spin();
        expect_calls("ending; ended(timeout); released");
        assert_non_null(world.outcome);
}

static void test_a_stop_that_was_ordered_is_not_looked_for(void **state) {
        live("shell");
        run_set_stopping(world.r);
        world.populated = false;
        world.stop_usec = 1;
        run_wake(world.r);
        spin();
        expect_calls("driven(false)");
        answer_result("signal");
        spin();
        expect_calls("driven(false); ending; ended(signal, supervisor lost); released");
}

static void test_the_journals_line_is_waited_for_a_while(void **state) {
        end_without_outcome("signal");
        expect_calls("");
        for (unsigned i = 2; i <= 3; i++) {
                while (!world.result)
                        assert_return_code(sd_event_run(world.event, USEC_PER_SEC), 0);
                assert_int_equal(world.n_questions, i);
                expect_calls("");
                answer_result("signal");
        }
        spin();
        expect_calls("driven(false); ending; ended(signal, supervisor lost); released");
}

static void test_a_lost_supervisors_agent_is_killed(void **state) {
        _cleanup_free_ char *started = NULL;

        world.supervisor = fork();
        assert_true(world.supervisor >= 0);
        if (world.supervisor == 0)
                for (;;)
                        (void) pause();
        started = xasprintf("{\"cgroup\":\"" CGROUP "\",\"pid\":%d}", (int) world.supervisor);
        make_run(&(Setup){});
        open_folder();
        write_file("started", started);
        world.populated = true;
        assert_return_code(run_watch(world.r), 0);
        spin();
        expect_calls("driven(false)");
        assert_int_equal(world.n_sent, 0);
        assert_return_code(kill(world.supervisor, SIGKILL), 0);
        wait_for_call();
        expect_calls("driven(false)");
        assert_int_equal(world.n_sent, 1);
        run_wake(world.r);
        spin();
        expect_calls("driven(false)");
        assert_int_equal(world.n_sent, 1); /* once */
        /* Neither an answer nor anything else that changes is a reason to do it again: that has its time. */
        answer_order(0, "Kill", -EIO, "no");
        spin();
        expect_calls("ordered(Kill, 5, no); driven(false)");
        run_wake(world.r);
        spin();
        expect_calls("driven(false)");
        assert_int_equal(world.n_sent, 1);
        pass_time(600 * USEC_PER_MSEC);
        spin();
        assert_int_equal(world.n_sent, 2);
        assert_int_equal(world.n_warnings, 2); /* that it was killed, and that it failed */
        answer_order(1, "Kill", -EIO, "no");
        spin();
        expect_calls("ordered(Kill, 5, no); driven(false)");
        pass_time(600 * USEC_PER_MSEC);
        spin();
        assert_int_equal(world.n_sent, 3);
        assert_int_equal(world.n_warnings, 2);
        world.populated = false;
        answer_order(2, "Kill", 0, NULL);
        spin();
        expect_calls("ordered(Kill, 0, none); driven(false)");
        answer_result("timeout");
        spin();
        expect_calls("driven(false); ending; ended(timeout, supervisor lost); released");
}

static void test_a_run_without_a_process_ends_where_it_was_read(void **state) {
        make_run(&(Setup){ .state = "starting" });
        open_folder();
        say(SHELL_STARTED);
        run_end_without_process(world.r);
        run_conclude(world.r);
        expect_calls("ending; ended(no result)");
        assert_stored_up_to(0, 0);
        spin();
        expect_calls("released");
}

static void test_what_was_ordered_before_is_answered_by_the_end(void **state) {
        world.keeps = true;
        make_run(&(Setup){});
        open_folder();
        assert_return_code(run_order(world.r, LAUNCHER_FREEZE, NULL, 0), 0);
        assert_return_code(run_order(world.r, LAUNCHER_THAW, NULL, 0), 0);
        run_end_begin(world.r, NULL, "signal");
        run_conclude(world.r);
        expect_calls("ending; ended(signal)");
        answer_order(0, "Freeze", 0, NULL);
        spin();
        expect_calls("");
        answer_order(1, "Collect", 0, NULL);
        assert_int_equal(world.n_sent, 2);
}

static void test_no_end_is_reported_while_the_store_is_broken(void **state) {
        for (unsigned crashes = 0; crashes <= 2; crashes += 2) {
                make_run(&(Setup){ .crashes = crashes });
                open_folder();
                run_end_without_process(world.r);
                world.ctx.broken = true;
                run_conclude(world.r);
                expect_calls(crashes == 0 ? "ending" : "");
                world.ctx.broken = false;
                run_conclude(world.r);
                expect_calls(crashes == 0 ? "ending; ended(no result)" : "ended(no result, short)");
                world.r = run_free(world.r);
        }
}

static void test_a_release_is_a_turn_of_its_own(void **state) {
        RunRow row;

        world.keeps = true;
        make_run(&(Setup){});
        open_folder();
        run_end_without_process(world.r);
        run_conclude(world.r);
        expect_calls("ending; ended(no result)");
        say(OUTPUT);
        store_end();
        expect_calls("");
        assert_int_equal(run_directory_fd(world.r), -EBADF);
        row = stored_row();
        assert_int_equal(row.state, RUN_ENDED);
        assert_int_equal(row.out_bytes, 0);
        run_row_done(&row);
        assert_int_equal(sd_event_run(world.event, 0), 1);
        expect_calls("released");
        spin();
        expect_calls("");
}

static void test_a_conclusion_is_not_marked_when_it_is_done(void **state) {
        _cleanup_close_ int fd = -EBADF;

        live("shell");
        fd = fcntl(run_directory_fd(world.r), F_DUPFD_CLOEXEC, 3);
        world.populated = false;
        write_file("outcome.json", "{\"outBytes\":0}");
        spin();
        expect_calls("driven(false); driven(false); ending; ended(no result); released");
        assert_true(world.marked_over);
        assert_false(run_directory_is_concluding(fd));
}

static void test_what_killed_the_runner_twice_is_concluded_unread(void **state) {
        make_run(&(Setup){ .crashes = 2 });
        open_folder();
        write_file("started", STARTED);
        write_file("outcome.json", "{\"outBytes\":19,\"resources\":{\"oomKills\":1}}");
        say(SHELL_STARTED);
        assert_return_code(run_watch(world.r), 0);
        spin();
        expect_calls("ended(no result, short); released");
        assert_stored_up_to(0, 0);
        assert_non_null(world.outcome);
        RunRow row = stored_row();
        assert_int_equal(row.out_bytes, 0);
        run_row_done(&row);
}

static void test_what_killed_the_runner_twice_and_systemd_stopped_is_concluded_as_such(void **state) {
        world.stop_usec = now_usec(CLOCK_REALTIME);
        live_as(&(Setup){ .crashes = 2 });
        world.populated = false;
        run_wake(world.r);
        spin();
        answer_result("success");
        spin();
        expect_calls("ended(success, short, stopped by systemd); released");
}

static void test_what_killed_the_runner_twice_is_read_while_it_lives(void **state) {
        live_as(&(Setup){ .crashes = 2 });
        say(SHELL_STARTED);
        spin();
        expect_calls("effects(idle); driven(true)");
}

static void test_what_killed_the_runner_once_is_concluded_in_full(void **state) {
        live_as(&(Setup){ .crashes = 1 });
        world.populated = false;
        say(SHELL_STARTED);
        write_file("outcome.json", "{\"outBytes\":19}");
        spin();
        expect_calls("effects(idle); driven(true); driven(false); ending; ended(no result); released");
}

static void test_a_kill_that_nobody_saw_is_an_event_of_the_end(void **state) {
        live("shell");
        begin_limits();
        world.populated = false;
        write_file("outcome.json", "{\"outBytes\":0,\"resources\":{\"oomKills\":1}}");
        spin();
        expect_calls("driven(false); driven(false); ending; event(conversation.limit); changed; "
                     "ended(no result, oom); released");
        assert_true(owner_has_stored());
}

static void test_an_event_that_is_not_stored_changes_nothing(void **state) {
        _cleanup_json_ Json *params = json_object_new_object();

        live("shell");
        begin_limits();
        world.event_error = -EIO;
        assert_int_equal(run_limits_emit(world.r->limits, "conversation.limit", params), -EIO);
        expect_calls("event(conversation.limit); store_failed(5)");
        assert_false(owner_has_stored());
}

static void test_the_supervisor_says_where_the_agent_works(void **state) {
        make_run(&(Setup){});
        open_folder();
        write_file("started", "{\"cgroup\":\"" CGROUP "\",\"cwd\":\"/w\"}");
        world.populated = true;
        assert_return_code(run_watch(world.r), 0);
        spin();
        expect_calls("driven(false); directory(/w)");
        run_wake(world.r);
        spin();
        expect_calls("driven(false)");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(an_end_reads_the_rest_and_is_concluded_once),
                TEST(all_pieces_of_the_rest_are_read_before_the_end),
                TEST(an_end_leaves_neither_clock_nor_limits_in_the_store),
                TEST(what_comes_behind_the_end_is_not_read),
                TEST(an_outcome_waits_for_the_last_process),
                TEST(a_kill_for_memory_is_systemds_word),
                TEST(a_timeout_is_systemds_word),
                TEST(a_stop_by_systemd_is_looked_for_in_the_journal),
                TEST(an_outcome_of_systemds_stop_leaves_the_why_to_systemd),
                TEST(a_stop_that_was_ordered_is_not_looked_for),
                TEST(the_journals_line_is_waited_for_a_while),
                TEST(a_lost_supervisors_agent_is_killed),
                TEST(a_run_without_a_process_ends_where_it_was_read),
                TEST(what_was_ordered_before_is_answered_by_the_end),
                TEST(no_end_is_reported_while_the_store_is_broken),
                TEST(a_release_is_a_turn_of_its_own),
                TEST(a_conclusion_is_not_marked_when_it_is_done),
                TEST(what_killed_the_runner_twice_is_concluded_unread),
                TEST(what_killed_the_runner_twice_and_systemd_stopped_is_concluded_as_such),
                TEST(what_killed_the_runner_twice_is_read_while_it_lives),
                TEST(what_killed_the_runner_once_is_concluded_in_full),
                TEST(a_kill_that_nobody_saw_is_an_event_of_the_end),
                TEST(an_event_that_is_not_stored_changes_nothing),
                TEST(the_supervisor_says_where_the_agent_works),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
