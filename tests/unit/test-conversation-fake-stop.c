/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "conversation-place.h"
#include "runner/conversation/conversation-control.h"
#include "runner/conversation/conversation-report.h"
#include "runner/conversation/conversation-start.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/store/state-step.h"

/* How a conversation stops its run, and what else it has done to its scope. */

/* ---- the stop ---- */

static void test_a_stop_goes_through_its_stages_by_time(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("events changed ask look");
        assert_events(p, "conversation.state \"state\":\"stopping\",\"queued\":0\n");
        assert_true(p->c->run->stopping);
        assert_time_left(p, DAY);
        let_time_pass(p);
        assert_calls("terminate");
        assert_true(time_left(p) > 0 && time_left(p) <= 5 * USEC_PER_SEC);
        let_time_pass(p);
        assert_calls("kill");
        let_time_pass(p);
        assert_calls("order:Kill");
        /* While that is under way none is ordered; it is once more where it was answered and something is left. */
        let_time_pass(p);
        assert_calls("");
        report_ordered(p, LAUNCHER_KILL, 0, NULL);
        let_time_pass(p);
        assert_calls("order:Kill");
}

/* The stop continues, and what was rolled back is reported by the next that stores. */
static void test_a_stop_that_is_not_stored_is_reported_later(void **state) {
        Place *p = *state;

        p->commit_fails = true;
        stop(p, STOP_BY_PERSON, DAY);
        p->commit_fails = false;
        assert_events(p, "");
        assert_int_equal(conversation_emit_state(p->c), 0);
        assert_events(p, "conversation.state \"state\":\"stopping\",\"queued\":0\n");
        assert_int_equal(conversation_emit_state(p->c), 0);
        assert_events(p, "");
}

/* The table refuses it, without a transaction around. */
static void test_a_state_that_is_not_stored_is_reported_later(void **state) {
        Place *p = *state;
        sqlite3 *db = p->ctx.run.store->db;

        assert_int_equal(
                sqlite3_exec(
                        db,
                        "CREATE TRIGGER refuses BEFORE INSERT ON own_events BEGIN "
                        "SELECT RAISE(ABORT, 'refused'); END",
                        NULL,
                        NULL,
                        NULL),
                SQLITE_OK);
        p->c->run->ops->frozen(true, p->c);
        assert_int_equal(sqlite3_exec(db, "DROP TRIGGER refuses", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(conversation_emit_state(p->c), 0);
        assert_events(p, "conversation.state \"state\":\"frozen\",\"queued\":0\n");
}

static void test_a_stop_without_grace_kills_at_once(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, 0);
        assert_calls("events changed ask kill look");
        let_time_pass(p);
        assert_calls("order:Kill");
}

static void test_the_first_cause_of_a_stop_counts_and_the_agent_is_asked_once(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_RUNTIME, DAY);
        stop(p, STOP_BY_PERSON, 2 * DAY);
        assert_calls("events changed ask look look");
        assert_time_left(p, 2 * DAY);
        stop(p, STOP_BY_BUDGET, 0);
        assert_calls("kill look");
        assert_int_equal(p->c->stop.cause, STOP_BY_RUNTIME);
        report_over(p);
        assert_int_equal(p->c->row.reason, END_TIMEOUT);
}

static void test_the_first_words_of_a_stop_are_kept(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_DRAIN, DAY);
        conversation_stop(
                p->c, &(StopOrder){ .cause = STOP_BY_PERSON, .words = "enough", .grace_usec = DAY });
        conversation_stop(
                p->c, &(StopOrder){ .cause = STOP_BY_PERSON, .words = "shutdown", .grace_usec = DAY });
        report_over(p);
        assert_int_equal(p->c->row.reason, END_STOPPED);
        assert_detail(p, "reason", "stopped");
        assert_detail(p, "stopReason", "enough");
        assert_detail(p, "detail", NULL);
}

static void test_the_stages_of_a_stop_end_with_the_run(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("events changed ask look");
        p->c->run->ended = true;
        let_time_pass(p);
        assert_calls("");
        report_over(p);
        assert_null(p->c->stop.timer);
}

static void test_a_stop_before_the_start_ends_it_at_once(void **state) {
        Place *p = *state;

        begin_in(p, CONVERSATION_STARTING);
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("close events changed release ended");
        assert_events(
                p,
                "conversation.ended \"reason\":\"stopped\",\"usage\":{\"turns\":0,\"inputTokens\":0,"
                "\"outputTokens\":0,\"cacheReadTokens\":0,\"cacheWriteTokens\":0},\"stoppedBy\":"
                "\"runner\",\"outBytes\":0\n");
        assert_int_equal(p->c->row.state, CONVERSATION_ENDED);
        assert_true(p->c->run->ended);
}

static void test_a_stop_during_the_checkout_ends_both(void **state) {
        Place *p = *state;

        begin_in(p, CONVERSATION_NEW);
        set_params(p, "repository", "{\"url\":\"https://example.org/r\"}");
        conversation_advance(p->c);
        assert_calls("checkout");
        assert_int_equal(p->c->row.state, CONVERSATION_CHECKOUT);
        stop(p, STOP_BY_PERSON, DAY);
        assert_null(p->c->checkout);
        assert_calls("checkout-free close events changed release ended");
        assert_int_equal(p->c->row.reason, END_STOPPED);
}

/* It has no process that could say more. */
static void test_a_stop_before_the_start_ends_it_for_its_cause(void **state) {
        static const struct {
                StopCause cause;
                EndReason reason;
        } stops[] = {
                { STOP_BY_PERSON, END_STOPPED },
                { STOP_BY_ORCHESTRATOR, END_STOPPED },
                { STOP_BY_DRAIN, END_STOPPED },
                { STOP_BY_SHUTDOWN, END_SHUTDOWN },
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(stops); i++) {
                begin_in(p, CONVERSATION_NEW);
                set_params(p, "repository", "{\"url\":\"https://example.org/r\"}");
                conversation_advance(p->c);
                assert_calls("checkout");
                stop(p, stops[i].cause, DAY);
                assert_calls("checkout-free close events changed release ended");
                assert_int_equal(p->c->row.reason, stops[i].reason);
                assert_detail(p, "reason", end_reason_to_string(stops[i].reason));
                assert_detail(p, "stoppedBy", "runner");
                skip_events(p);
        }
}

/* A launcher that a runner before this one has asked may still be at it. */
static void test_a_stop_of_a_start_that_nobody_waits_for_kills_what_may_come_of_it(void **state) {
        Place *p = *state;

        begin_in(p, CONVERSATION_STARTING);
        run_row_set_state(&p->c->run->row, RUN_STARTING);
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("abandon close events changed release ended");
        assert_int_equal(p->c->row.reason, END_STOPPED);
}

static void test_a_stop_while_the_launcher_starts_it_is_resumed_when_it_has_started(void **state) {
        Place *p = *state;

        begin_start(p);
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("changed");
        assert_string_equal(conversation_state(p->c), "stopping");
        assert_null(p->c->stop.timer);
        report_started(p);
        assert_calls("limits clock watchdog events changed ask look");
        assert_time_left(p, DAY);
        report_over(p);
        assert_int_equal(p->c->row.reason, END_STOPPED);
}

static void test_a_start_that_fails_during_a_stop_ends_as_the_stop_has_it(void **state) {
        Place *p = *state;

        begin_start(p);
        conversation_stop(
                p->c, &(StopOrder){ .cause = STOP_BY_PERSON, .words = "enough", .grace_usec = DAY });
        p->c->run->under_way = false;
        assert_calls("changed");
        p->c->run->ops->launcher_lost(p->c);
        p->c->run->ops->start_failed("no such unit", p->c);
        assert_calls("events close events changed release ended");
        assert_int_equal(p->c->row.state, CONVERSATION_ENDED);
        assert_int_equal(p->c->row.reason, END_STOPPED);
        assert_detail(p, "stopReason", "enough");
        assert_detail(p, "detail", NULL);
        assert_detail(p, "stoppedBy", "runner");

        begin_start(p);
        stop(p, STOP_BY_SHUTDOWN, DAY);
        p->c->run->under_way = false;
        p->c->run->ops->start_failed("no such unit", p->c);
        assert_int_equal(p->c->row.reason, END_SHUTDOWN);
}

static void test_a_stop_of_one_that_is_frozen_thaws_it_and_its_time_begins_then(void **state) {
        Place *p = *state;

        p->c->run->ops->frozen(true, p->c);
        assert_calls("frozen events changed");
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("events changed cancel order:Thaw ask look");
        assert_int_equal(time_left(p), 0);
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("look"); /* it is being thawed already */
        assert_events(
                p,
                "conversation.state \"state\":\"frozen\",\"queued\":0\n"
                "conversation.state \"state\":\"stopping\",\"queued\":0\n");
        report_ordered(p, LAUNCHER_THAW, 0, NULL);
        assert_calls("thawed look");
        assert_false(conversation_is_frozen(p->c));
        assert_time_left(p, DAY);
        assert_events(p, "");
        /* Somebody else does it again. */
        p->c->run->ops->frozen(true, p->c);
        assert_calls("frozen cancel order:Thaw");
}

static void test_the_time_of_a_stop_stands_still_while_it_is_frozen(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, DAY);
        assert_return_code(sd_event_source_set_time_relative(p->c->stop.timer, DAY / 2), 0);
        assert_calls("events changed ask look");
        p->c->run->ops->frozen(true, p->c);
        assert_calls("frozen cancel order:Thaw");
        assert_int_equal(time_left(p), 0);
        /* Whoever has thawed it. */
        p->c->run->ops->frozen(false, p->c);
        assert_calls("thawed");
        assert_time_left(p, DAY / 2);
        let_time_pass(p);
        assert_calls("terminate");
}

static void test_a_stop_while_a_freeze_is_under_way_thaws_it_again(void **state) {
        Place *p = *state;

        conversation_order(p->c, LAUNCHER_FREEZE, NULL, 0);
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("order:Freeze events changed ask look");
        report_ordered(p, LAUNCHER_FREEZE, 0, NULL);
        assert_calls("frozen cancel order:Thaw");
        assert_int_equal(time_left(p), 0);
        report_ordered(p, LAUNCHER_THAW, 0, NULL);
        assert_calls("thawed look");
        assert_time_left(p, DAY);
}

static void test_what_cannot_be_thawed_is_killed(void **state) {
        Place *p = *state;

        p->c->run->ops->frozen(true, p->c);
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("frozen events changed events changed cancel order:Thaw ask look");
        skip_events(p);
        report_ordered(p, LAUNCHER_THAW, -EIO, "it does not thaw");
        assert_calls("thawed order:Kill");
        assert_int_equal(p->c->stop.stage, STOP_FORCED);
        assert_true(time_left(p) > 0 && time_left(p) <= 5 * USEC_PER_SEC);
        assert_events(p, "");
}

static void test_what_no_thaw_can_be_ordered_for_is_killed(void **state) {
        Place *p = *state;

        p->c->run->ops->frozen(true, p->c);
        fake_run.refused = LAUNCHER_THAW;
        fake_run.order_error = -EBUSY;
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("frozen events changed events changed cancel thawed order:Kill ask look");
        assert_int_equal(p->c->stop.stage, STOP_FORCED);
        assert_true(time_left(p) > 0 && time_left(p) <= 5 * USEC_PER_SEC);
}

static void test_what_freezes_during_a_stop_and_no_thaw_can_be_ordered_for_is_killed(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("events changed ask look");
        fake_run.refused = LAUNCHER_THAW;
        fake_run.order_error = -EBUSY;
        p->c->run->ops->frozen(true, p->c);
        assert_calls("frozen cancel thawed order:Kill");
        assert_true(time_left(p) > 0 && time_left(p) <= 5 * USEC_PER_SEC);
}

static void test_a_thaw_that_the_kill_took_back_is_not_waited_for(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, 0);
        let_time_pass(p);
        assert_int_equal(p->c->stop.stage, STOP_FORCED);
        p->c->run->ops->frozen(true, p->c);
        assert_calls("events changed ask kill look order:Kill frozen cancel order:Thaw");
        report_ordered(p, LAUNCHER_THAW, -ECANCELED, NULL);
        assert_calls("thawed");
        assert_int_equal(p->c->stop.stage, STOP_FORCED);
        assert_true(time_left(p) > 0 && time_left(p) <= 5 * USEC_PER_SEC);
}

static void test_an_order_that_fails_during_a_stop_is_reported(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("events changed ask look");
        skip_events(p);
        report_ordered(p, LAUNCHER_FREEZE, -EIO, "it does not freeze");
        report_ordered(p, LAUNCHER_SET_LIMITS, -ECANCELED, NULL);
        assert_calls("events events");
        assert_events(
                p,
                "error.report \"code\":\"control-failed\",\"text\":\"Freeze failed: it does not freeze\"\n"
                "error.report \"code\":\"control-failed\",\"text\":\"SetLimits failed: the conversation is ended\"\n");
        report_ordered(p, LAUNCHER_SET_LIMITS, 0, NULL);
        assert_calls("limits-set");
}

/* It was a person's, and nothing is frozen. */
static void test_a_thaw_that_fails_during_a_stop_takes_no_grace(void **state) {
        Place *p = *state;

        conversation_order(p->c, LAUNCHER_THAW, NULL, 0);
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("order:Thaw events changed ask look");
        skip_events(p);
        report_ordered(p, LAUNCHER_THAW, -EIO, "no");
        assert_calls("events");
        assert_events(p, "error.report \"code\":\"control-failed\",\"text\":\"Thaw failed: no\"\n");
        assert_int_equal(p->c->stop.stage, STOP_ASKED);
}

/* The stop's own is behind it, and the last one. */
static void test_a_persons_thaw_is_not_taken_for_that_of_the_stop(void **state) {
        static const int errors[] = { -ECANCELED, -EIO };
        Place *p = *state;

        conversation_order(p->c, LAUNCHER_THAW, NULL, 0);
        stop(p, STOP_BY_PERSON, DAY);
        p->c->run->ops->frozen(true, p->c);
        assert_calls("order:Thaw events changed ask look frozen cancel order:Thaw");
        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                p->c->run->ops->ordered(LAUNCHER_THAW, errors[i], NULL, p->c->run->userdata);
                assert_calls("events");
        }
        assert_int_equal(p->c->stop.stage, STOP_ASKED);
        assert_true(conversation_is_frozen(p->c));
        report_ordered(p, LAUNCHER_THAW, 0, NULL);
        assert_calls("thawed look");
        assert_time_left(p, DAY);
}

static void test_a_second_stop_with_more_grace_delays_no_step_that_has_begun(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, 0);
        stop(p, STOP_BY_PERSON, DAY);
        assert_true(time_left(p) > 0 && time_left(p) <= 5 * USEC_PER_SEC);
        skip_events(p);
        buffer_done(&fake_run.calls);
}

/* Of what a dead supervisor left, which is ordered again for as long as something lives. */
static void test_a_kill_that_fails_is_no_event(void **state) {
        Place *p = *state;

        report_ordered(p, LAUNCHER_KILL, -EIO, "no");
        assert_calls("");
        assert_events(p, "");
}

static void test_a_second_stop_without_grace_goes_on_from_where_the_first_is(void **state) {
        Place *p = *state;

        stop(p, STOP_BY_PERSON, 0);
        let_time_pass(p);
        assert_int_equal(p->c->stop.stage, STOP_FORCED);
        assert_calls("events changed ask kill look order:Kill");
        stop(p, STOP_BY_PERSON, 0);
        assert_int_equal(p->c->stop.stage, STOP_FORCED);
}

/* ---- orders ---- */

static void test_a_freeze_and_a_thaw_change_the_state(void **state) {
        Place *p = *state;

        conversation_order(p->c, LAUNCHER_FREEZE, NULL, 0);
        report_ordered(p, LAUNCHER_FREEZE, 0, NULL);
        assert_calls("order:Freeze frozen events changed");
        assert_int_equal(p->n_visible, 1);
        assert_true(conversation_is_frozen(p->c));
        assert_events(p, "conversation.state \"state\":\"frozen\",\"queued\":0\n");
        conversation_order(p->c, LAUNCHER_THAW, NULL, 0);
        report_ordered(p, LAUNCHER_THAW, 0, NULL);
        assert_calls("order:Thaw thawed events changed");
        assert_events(p, "conversation.state \"state\":\"idle\",\"queued\":0\n");
}

static void test_a_freeze_that_the_kernel_has_reported_already_is_reported_once(void **state) {
        Place *p = *state;

        p->c->run->ops->frozen(true, p->c);
        report_ordered(p, LAUNCHER_FREEZE, 0, NULL);
        assert_calls("frozen events changed");
}

static void test_limits_that_were_set_are_known_to_the_run(void **state) {
        Place *p = *state;

        conversation_order(p->c, LAUNCHER_SET_LIMITS, NULL, 0);
        report_ordered(p, LAUNCHER_SET_LIMITS, 0, NULL);
        assert_calls("order:SetLimits limits-set");
}

static void test_an_order_that_fails_is_reported_in_the_words_of_the_launcher(void **state) {
        Place *p = *state;

        report_ordered(p, LAUNCHER_SET_LIMITS, -EINVAL, "no such limit");
        assert_calls("events");
        assert_int_equal(p->n_visible, 1);
        assert_events(
                p,
                "error.report \"code\":\"control-failed\",\"text\":\"SetLimits failed: no such limit\"\n");
}

static void test_an_order_that_fails_without_words_is_reported_with_those_of_its_error(void **state) {
        Place *p = *state;

        report_ordered(p, LAUNCHER_FREEZE, -ECONNREFUSED, NULL);
        assert_calls("events");
        assert_false(conversation_is_frozen(p->c));
        assert_events(
                p,
                "error.report \"code\":\"control-failed\",\"text\":\"Freeze failed: Connection refused\"\n");
}

static void test_an_order_that_cannot_be_given_is_reported(void **state) {
        Place *p = *state;

        fake_run.refused = LAUNCHER_FREEZE;
        fake_run.order_error = -EBUSY;
        conversation_order(p->c, LAUNCHER_FREEZE, NULL, 0);
        assert_calls("events");
        assert_events(
                p,
                "error.report \"code\":\"control-failed\",\"text\":\"Freeze failed: Device or resource busy\"\n");
}

/* ---- why the runner itself stops it ---- */

static void test_an_agent_that_says_nothing_is_stopped_for_that(void **state) {
        Place *p = *state;

        p->c->run->ops->silent(p->c);
        assert_calls("events changed ask look");
        assert_time_left(p, 600 * USEC_PER_SEC);
        report_over(p);
        assert_int_equal(p->c->row.reason, END_TIMEOUT);
        assert_detail(p, "detail", "the agent was silent for longer than timeouts.silenceSec allows");
}

static void test_an_agent_that_has_had_its_time_is_stopped_for_that(void **state) {
        Place *p = *state;

        p->c->run->ops->time_over(p->c);
        assert_calls("events changed ask look");
        assert_time_left(p, 600 * USEC_PER_SEC);
        report_over(p);
        assert_int_equal(p->c->row.reason, END_TIMEOUT);
        assert_detail(p, "detail", NULL);
}

static void test_an_agent_that_has_spent_its_budget_is_stopped_between_turns(void **state) {
        Place *p = *state;

        set_params(p, "budget", "{\"turns\":1}");
        report_driven(p, true);
        assert_calls("events write heard");
        fake_run.usage.turns = 1;
        fake_run.phase = DRIVER_RUNNING;
        report_driven(p, false);
        assert_calls("");
        fake_run.phase = DRIVER_IDLE;
        say(p, "a");
        report_driven(p, false);
        assert_calls("events changed ask look");
        assert_time_left(p, 600 * USEC_PER_SEC);
        report_driven(p, false);
        assert_calls("");
        assert_input(p, "");
        report_over(p);
        assert_int_equal(p->c->row.reason, END_BUDGET);
        assert_detail(p, "detail", "its budget is exhausted: turns");
}

static void test_a_run_that_has_failed_is_killed_without_a_reason_of_its_own(void **state) {
        _cleanup_json_ Json *outcome = json_object_new_object();
        Place *p = *state;

        assert_return_code(json_set_u64(outcome, "signal", 9), 0);
        assert_return_code(run_set_failure(p->c->run, strdup("it cannot resume")), 0);
        fake_run.facts.outcome = outcome;
        report_driven(p, false);
        assert_calls("events changed ask kill look");
        report_driven(p, false);
        assert_calls("");
        report_over(p);
        assert_int_equal(p->c->row.reason, END_FAILED);
        assert_detail(p, "detail", "it cannot resume");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_stop_goes_through_its_stages_by_time),
                TEST(a_stop_that_is_not_stored_is_reported_later),
                TEST(a_state_that_is_not_stored_is_reported_later),
                TEST(a_stop_without_grace_kills_at_once),
                TEST(the_first_cause_of_a_stop_counts_and_the_agent_is_asked_once),
                TEST(the_first_words_of_a_stop_are_kept),
                TEST(a_stop_before_the_start_ends_it_for_its_cause),
                TEST(a_stop_of_a_start_that_nobody_waits_for_kills_what_may_come_of_it),
                TEST(the_stages_of_a_stop_end_with_the_run),
                TEST(a_stop_before_the_start_ends_it_at_once),
                TEST(a_stop_during_the_checkout_ends_both),
                TEST(a_stop_while_the_launcher_starts_it_is_resumed_when_it_has_started),
                TEST(a_start_that_fails_during_a_stop_ends_as_the_stop_has_it),
                TEST(a_stop_of_one_that_is_frozen_thaws_it_and_its_time_begins_then),
                TEST(the_time_of_a_stop_stands_still_while_it_is_frozen),
                TEST(a_stop_while_a_freeze_is_under_way_thaws_it_again),
                TEST(what_cannot_be_thawed_is_killed),
                TEST(what_no_thaw_can_be_ordered_for_is_killed),
                TEST(what_freezes_during_a_stop_and_no_thaw_can_be_ordered_for_is_killed),
                TEST(a_thaw_that_the_kill_took_back_is_not_waited_for),
                TEST(an_order_that_fails_during_a_stop_is_reported),
                TEST(a_thaw_that_fails_during_a_stop_takes_no_grace),
                TEST(a_persons_thaw_is_not_taken_for_that_of_the_stop),
                TEST(a_second_stop_with_more_grace_delays_no_step_that_has_begun),
                TEST(a_kill_that_fails_is_no_event),
                TEST(a_second_stop_without_grace_goes_on_from_where_the_first_is),
                TEST(a_freeze_and_a_thaw_change_the_state),
                TEST(a_freeze_that_the_kernel_has_reported_already_is_reported_once),
                TEST(limits_that_were_set_are_known_to_the_run),
                TEST(an_order_that_fails_is_reported_in_the_words_of_the_launcher),
                TEST(an_order_that_fails_without_words_is_reported_with_those_of_its_error),
                TEST(an_order_that_cannot_be_given_is_reported),
                TEST(an_agent_that_says_nothing_is_stopped_for_that),
                TEST(an_agent_that_has_had_its_time_is_stopped_for_that),
                TEST(an_agent_that_has_spent_its_budget_is_stopped_between_turns),
                TEST(a_run_that_has_failed_is_killed_without_a_reason_of_its_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
