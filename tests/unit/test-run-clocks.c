/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run-test.h"
#include "runner/run/run-limit-events.h"
#include "runner/run/run-question.h"
#include "runner/run/run-state.h"

/* The clocks of a run. */

#define A_WHILE_USEC (60 * USEC_PER_MSEC)
#define SOON_USEC (20 * USEC_PER_MSEC)

/* Its second is over soon. */
static void live_for_a_second(uint64_t left_usec) {
        live_as(&(Setup){ .started_usec = now_usec(CLOCK_REALTIME) - USEC_PER_SEC + left_usec });
        assert_return_code(run_runtime_begin(world.r, 1), 0);
        expect_calls("");
}

static void test_a_runs_time_is_over_once(void **state) {
        live_for_a_second(SOON_USEC);
        wait_for_call();
        expect_calls("time_over");
        pass_time(A_WHILE_USEC);
        expect_calls("");
}

static void test_a_frozen_runs_time_stands_still(void **state) {
        live_for_a_second(SOON_USEC);
        run_set_frozen(world.r, true);
        assert_true(run_is_frozen(world.r));
        pass_time(A_WHILE_USEC);
        expect_calls("");
        run_set_frozen(world.r, false);
        assert_true(world.r->runtime.clock.frozen_usec >= A_WHILE_USEC);
        wait_for_call();
        expect_calls("time_over");
}

static void test_a_time_goes_on_with_the_next_runner(void **state) {
        live_for_a_second(SOON_USEC);
        world.r = run_free(world.r);
        make_run(&(Setup){ .started_usec = now_usec(CLOCK_REALTIME) });
        assert_return_code(run_runtime_restore(world.r, 3600), 0);
        wait_for_call();
        expect_calls("time_over");
}

static void test_a_time_ends_with_its_run(void **state) {
        live_for_a_second(SOON_USEC);
        run_end_without_process(world.r);
        pass_time(A_WHILE_USEC);
        expect_calls("");
}

static void watch_over(uint64_t silence_usec, uint64_t answer_usec) {
        assert_return_code(run_watchdog_begin(world.r, &(Timeouts){ silence_usec, answer_usec }), 0);
}

static void test_silence_is_reported_once_in_a_turn_only(void **state) {
        live("shell");
        watch_over(SOON_USEC, 0);
        say(SHELL_STARTED);
        spin();
        run_watchdog_update(world.r, true);
        expect_calls("effects(idle); driven(true)");
        pass_time(A_WHILE_USEC);
        expect_calls("");
        say(TURN_START);
        spin();
        run_watchdog_update(world.r, true);
        expect_calls("effects(running); driven(true)");
        wait_for_call();
        expect_calls("silent");
        pass_time(A_WHILE_USEC);
        expect_calls("");
}

static void test_a_frozen_agent_is_not_silent(void **state) {
        live("shell");
        say(SHELL_STARTED TURN_START);
        spin();
        expect_calls("effects(running); driven(true)");
        run_set_frozen(world.r, true);
        watch_over(SOON_USEC, 0);
        run_watchdog_freeze(world.r, true);
        pass_time(A_WHILE_USEC);
        expect_calls("");
        run_set_frozen(world.r, false);
        wait_for_call();
        expect_calls("silent");
}

static void ask_twice(void) {
        live("claude");
        say(INIT("s") QUESTION("a") QUESTION("b"));
        spin();
        expect_calls("effects(waiting-permission, session s); driven(true)");
}

static void expect_two_denials(void) {
        _cleanup_free_ char *calls = xasprintf(
                "deny(%zu.0); deny(%zu.0)", strlen(INIT("s")), strlen(INIT("s") QUESTION("a")));

        wait_for_call();
        expect_calls(calls);
}

static void test_an_unanswered_question_is_denied_once(void **state) {
        ask_twice();
        world.deny_result = 1;
        watch_over(0, SOON_USEC);
        expect_two_denials();
        pass_time(A_WHILE_USEC);
        expect_calls("");
}

static void test_a_question_that_cannot_be_denied_is_left(void **state) {
        ask_twice();
        world.deny_result = 0;
        watch_over(0, SOON_USEC);
        expect_two_denials();
        assert_true(run_has_question(world.r, strlen(INIT("s")), 0));
        pass_time(A_WHILE_USEC);
        expect_calls("");
}

static void test_a_denial_that_is_not_stored_ends_the_round(void **state) {
        _cleanup_free_ char *calls = xasprintf("deny(%zu.0); store_failed(5)", strlen(INIT("s")));

        ask_twice();
        world.deny_result = -EIO;
        watch_over(0, SOON_USEC);
        wait_for_call();
        expect_calls(calls);
        pass_time(A_WHILE_USEC);
        expect_calls("");
}

static void test_an_answered_question_is_not_denied(void **state) {
        ask_twice();
        assert_int_equal(deny_question(strlen(INIT("s")), 0), 1);
        assert_int_equal(deny_question(strlen(INIT("s") QUESTION("a")), 0), 1);
        watch_over(0, SOON_USEC);
        pass_time(A_WHILE_USEC);
        expect_calls("");
}

#define ASK(id, n, overlong)                                                                           \
        "{\"requestId\":\"\\\"" id "\\\"\",\"offset\":7,\"n\":" n ",\"size\":9,\"overlong\":" overlong \
        ",\"answered\":false}"

/* Three questions that an older runner left open, two of which are above today's bound. */
static void live_with_overlong_questions(void) {
        live_as(&(Setup){
                .spec = "{\"protocol\":\"claude\"}",
                .driven_state = "{\"lines\":0,\"driver\":{\"version\":2,\"ready\":true,\"inTurn\":true,"
                                "\"totalCost\":0.0,\"cost\":0.0,\"asks\":[" ASK("a", "0", "true") "," ASK(
                                        "b", "1", "false") "," ASK("c", "2", "true") "]}}",
        });
        assert_null(run_failure(world.r));
}

static void test_overlong_questions_are_denied(void **state) {
        live_with_overlong_questions();
        world.answers = true;
        run_deny_overlong_questions(world.r);
        expect_calls("deny(7.0); deny(7.2)");
        run_deny_overlong_questions(world.r);
        expect_calls("");
        assert_true(run_has_question(world.r, 7, 1));
}

static void test_an_overlong_question_that_cannot_be_denied_ends_the_round(void **state) {
        live_with_overlong_questions();
        run_deny_overlong_questions(world.r);
        expect_calls("deny(7.0)");
        world.deny_result = -EIO;
        run_deny_overlong_questions(world.r);
        expect_calls("deny(7.0); store_failed(5)");
}

static void test_no_clock_reports_after_a_stop_was_ordered(void **state) {
        live_as(&(Setup){ .started_usec = 1 });
        say(SHELL_STARTED TURN_START);
        spin();
        expect_calls("effects(running); driven(true)");
        /* Both would report in the next turn. */
        assert_return_code(run_runtime_begin(world.r, 1), 0);
        watch_over(1, 0);
        run_set_stopping(world.r);
        pass_time(SOON_USEC);
        run_watchdog_update(world.r, false);
        expect_calls("");
}

static void test_no_question_is_denied_after_a_stop_was_ordered(void **state) {
        ask_twice();
        watch_over(0, 1);
        run_set_stopping(world.r);
        pass_time(SOON_USEC);
        expect_calls("");
}

static void test_what_the_kernel_says_of_a_freeze_is_reported(void **state) {
        live("shell");
        begin_limits();
        run_limits_set_frozen(true, world.r->limits);
        expect_calls("frozen(true)");
        assert_true(run_is_frozen(world.r));
        run_limits_set_frozen(false, world.r->limits);
        expect_calls("frozen(false)");
        run_set_ended(world.r);
        run_limits_set_frozen(true, world.r->limits);
        expect_calls("");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_runs_time_is_over_once),
                TEST(a_frozen_runs_time_stands_still),
                TEST(a_time_goes_on_with_the_next_runner),
                TEST(a_time_ends_with_its_run),
                TEST(silence_is_reported_once_in_a_turn_only),
                TEST(a_frozen_agent_is_not_silent),
                TEST(an_unanswered_question_is_denied_once),
                TEST(a_question_that_cannot_be_denied_is_left),
                TEST(a_denial_that_is_not_stored_ends_the_round),
                TEST(an_answered_question_is_not_denied),
                TEST(overlong_questions_are_denied),
                TEST(an_overlong_question_that_cannot_be_denied_ends_the_round),
                TEST(no_clock_reports_after_a_stop_was_ordered),
                TEST(no_question_is_denied_after_a_stop_was_ordered),
                TEST(what_the_kernel_says_of_a_freeze_is_reported),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
