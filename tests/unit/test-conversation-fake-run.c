/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "conversation-place.h"
#include "runner/conversation/conversation-input.h"

/* What a conversation makes of the output of its run, and of messages for it. */

/* ---- effects of a piece of output ---- */

static void test_effects_are_one_transaction_and_announced_once_after_it(void **state) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        Place *p = *state;

        fake_run.phase = DRIVER_RUNNING;
        assert_return_code(report_effects(p, "line\n", "s-1", false), 0);
        assert_int_equal(p->n_commits, 1);
        assert_calls("");
        assert_input(p, "line\n");
        assert_int_equal(store_get_conversation(p->ctx.run.store, "c-1", &row), 1);
        assert_string_equal(row.session, "s-1");
        report_driven(p, true);
        assert_calls("events changed write heard");
        assert_int_equal(p->n_visible, 1);
        assert_events(p, "conversation.state \"state\":\"running\",\"queued\":0\n");
        report_driven(p, false);
        assert_calls("");
}

static void test_effects_that_fail_at_any_step_leave_the_store_as_it_was(void **state) {
        static const Failure failures[] = {
                { .effects = -EIO },
                { .table = "input", .operation = "INSERT" },
                { .table = "conversations", .operation = "UPDATE" },
                { .table = "own_events", .operation = "INSERT" },
                { .commit = true },
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                begin(p);
                _cleanup_free_ char *before = dump(p), *after = NULL;

                fake_run.phase = DRIVER_RUNNING;
                begin_failure(p, &failures[i]);
                assert_true(report_effects(p, "line\n", "s-1", false) < 0);
                end_failure(p, &failures[i]);
                assert_false(in_transaction(p));
                after = dump(p);
                assert_string_equal(after, before);
                assert_calls("");
        }
}

static void test_output_that_was_read_before_reports_no_state(void **state) {
        Place *p = *state;

        fake_run.phase = DRIVER_RUNNING;
        assert_return_code(report_effects(p, "", "s-1", true), 0);
        assert_string_equal(p->c->row.session, "s-1");
        assert_events(p, "");
}

static void test_the_session_that_is_known_is_the_one_that_was_stored(void **state) {
        Place *p = *state;
        const RunOps *ops = p->c->run->ops;

        assert_false(ops->is_session("s-1", p->c));
        assert_return_code(report_effects(p, "", "s-1", false), 0);
        assert_true(ops->is_session("s-1", p->c));
        assert_false(ops->is_session("s-2", p->c));
}

/* ---- messages ---- */

static void test_accepted_messages_are_one_transaction_and_one_announcement(void **state) {
        Place *p = *state;

        say(p, "a");
        say(p, "b");
        say(p, "c");
        p->n_commits = 0;
        fake_run.phase = DRIVER_RUNNING;
        conversation_pump_input(p->c);
        assert_int_equal(p->n_commits, 1);
        assert_calls("write heard events changed");
        assert_int_equal(p->n_visible, 1);
        assert_events(p, "conversation.state \"state\":\"running\",\"queued\":3\n");
        assert_input(p, "a\nb\nc\n");
        assert_int_equal(p->c->n_pending, 0);
        assert_int_equal(count_pending(p), 0);
        conversation_pump_input(p->c);
        assert_calls("");
}

static void test_a_message_that_is_refused_is_reported_and_the_others_are_delivered(void **state) {
        Place *p = *state;

        say(p, "a");
        say(p, "refuse");
        say(p, "mute");
        (void) accept_message(p, "permission.respond", "{\"requestId\":\"none\"}", NULL);
        say(p, "b");
        p->n_commits = 0;
        conversation_pump_input(p->c);
        assert_int_equal(p->n_commits, 1);
        assert_calls("write heard events changed");
        assert_int_equal(p->n_visible, 3);
        assert_events(
                p,
                "error.report \"code\":\"message-not-delivered\",\"text\":\"the agent takes no such "
                "message\",\"about\":\"m-2\"\n"
                "error.report \"code\":\"message-not-delivered\",\"text\":\"it does not conform to the agent's "
                "protocol\",\"about\":\"m-3\"\n"
                "error.report \"code\":\"message-not-delivered\",\"text\":\"it does not conform to the agent's "
                "protocol\",\"about\":\"m-4\"\n");
        assert_input(p, "a\nb\n");
        assert_int_equal(p->c->n_pending, 0);
        assert_int_equal(count_pending(p), 0);
}

static void test_a_batch_that_fails_at_any_step_leaves_the_store_as_it_was(void **state) {
        static const Failure failures[] = {
                { .effects = -EIO },
                { .table = "own_events", .operation = "INSERT" },
                { .table = "inbound", .operation = "UPDATE" },
                { .commit = true },
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                begin(p);
                say(p, "refuse");
                say(p, "a");
                _cleanup_free_ char *before = dump(p), *after = NULL;

                begin_failure(p, &failures[i]);
                conversation_pump_input(p->c);
                end_failure(p, &failures[i]);
                after = dump(p);
                assert_string_equal(after, before);
                assert_calls("store-failed");
                assert_int_equal(p->c->n_pending, 2);
        }
}

static void test_a_message_that_waits_holds_up_messages_but_no_interrupt_and_no_answer(void **state) {
        Place *p = *state;

        fake_run.waits = "a";
        fake_run.answer_error = 1;
        say(p, "a");
        say(p, "b");
        (void) accept_message(p, "conversation.interrupt", "{}", NULL);
        (void) accept_message(
                p,
                "permission.respond",
                "{\"requestId\":\"question:5.1\",\"behavior\":\"allow\",\"message\":\"yes\"}",
                NULL);
        (void) accept_message(p, "conversation.config", "{\"model\":\"m\"}", NULL);
        conversation_pump_input(p->c);
        assert_input(p, "interrupt\nallow 5.1 yes\n");
        assert_int_equal(p->c->n_pending, 2);
        assert_int_equal(count_pending(p), 2);
        fake_run.waits = NULL;
        conversation_pump_input(p->c);
        assert_input(p, "interrupt\nallow 5.1 yes\na\nb\n");
        assert_int_equal(p->c->n_pending, 0);
        assert_int_equal(count_pending(p), 0);
}

static void test_nothing_is_announced_where_every_message_waits(void **state) {
        Place *p = *state;

        fake_run.waits = "a";
        say(p, "a");
        p->n_commits = 0;
        conversation_pump_input(p->c);
        assert_int_equal(p->n_commits, 0);
        assert_calls("");
}

static void test_the_message_that_began_it_is_its_prompt_and_a_stop_stays(void **state) {
        Place *p = *state;

        (void) accept_message(p, "conversation.start", "{\"prompt\":\"first\"}", NULL);
        (void) accept_message(p, "conversation.stop", "{}", "1");
        (void) accept_message(p, "conversation.resume", "{\"prompt\":\"second\"}", NULL);
        (void) accept_message(p, "conversation.resume", "{}", NULL);
        conversation_pump_input(p->c);
        assert_input(p, "first\nsecond\n");
        assert_events(p, "");
        assert_int_equal(p->c->n_pending, 1);
        assert_int_equal(count_pending(p), 1);
}

/* Every tenth is refused. */
static void test_more_messages_than_a_batch_has_are_all_delivered_once_and_in_order(void **state) {
        _cleanup_buffer_ Buffer lines = {};
        Place *p = *state;

        for (unsigned i = 0; i < 2 * RUN_INPUT_PARTS_MAX + 5; i++) {
                char content[16];

                (void) snprintf(content, sizeof(content), "a%u", i);
                say(p, i % 10 == 0 ? "mute" : content);
                if (i % 10 != 0)
                        (void) buffer_printf(&lines, "%s\n", content);
        }
        p->n_commits = 0;
        conversation_pump_input(p->c);
        assert_int_equal(p->n_commits, 3);
        assert_calls("write heard events changed");
        assert_int_equal(p->n_visible, 14);
        assert_input(p, lines.data);
        assert_int_equal(p->c->n_pending, 0);
        assert_int_equal(count_pending(p), 0);
}

/* Two of them are more than 512 KiB. */
static void test_lines_above_the_bound_of_a_batch_go_into_the_next(void **state) {
        _cleanup_free_ char *is = NULL;
        Place *p = *state;

        for (unsigned i = 0; i < 7; i++) {
                say(p, "400000");
                say(p, "end");
        }
        p->n_commits = 0;
        conversation_pump_input(p->c);
        assert_int_equal(p->n_commits, 4);
        assert_calls("write heard changed");
        is = input(p);
        assert_int_equal(strlen(is), 7 * (400000 + 4));
        for (unsigned i = 0; i < 7; i++)
                assert_memory_equal(is + 400003 + (size_t) i * 400004 - 4, "\nend\n", 5);
        assert_int_equal(p->c->n_pending, 0);
        assert_int_equal(count_pending(p), 0);
}

/* What is taken into memory at once: two of them, and what is not for the agent besides. */
static void test_large_messages_are_taken_up_a_few_at_a_time(void **state) {
        size_t size = (size_t) 7 * 1024 * 1024;
        _cleanup_free_ char *pad = new0(char, size + 1);
        Place *p = *state;

        assert_non_null(pad);
        memset(pad, 'x', size);
        for (unsigned i = 0; i < 4; i++) {
                _cleanup_free_ char *params = xasprintf("{\"content\":\"m%u\",\"pad\":\"%s\"}", i, pad);

                (void) accept_message(p, "message.user", params, NULL);
        }
        say(p, "small");
        (void) accept_message(p, "conversation.interrupt", "{}", NULL);
        p->n_commits = 0;
        conversation_pump_input(p->c);
        assert_int_equal(p->n_commits, 2);
        assert_input(p, "m0\nm1\ninterrupt\nm2\nm3\nsmall\n");
        assert_int_equal(p->c->n_pending, 0);
        assert_int_equal(count_pending(p), 0);
}

static void test_with_a_budget_a_message_waits_while_a_turn_runs(void **state) {
        static const DriverPhase phases[] = { DRIVER_RUNNING, DRIVER_WAITING_PERMISSION };
        Place *p = *state;

        set_params(p, "budget", "{\"turns\":5}");
        say(p, "a");
        for (size_t i = 0; i < ELEMENTSOF(phases); i++) {
                fake_run.phase = phases[i];
                conversation_pump_input(p->c);
                assert_input(p, "");
                assert_int_equal(p->c->n_pending, 1);
        }
        (void) accept_message(p, "conversation.interrupt", "{}", NULL);
        conversation_pump_input(p->c);
        assert_input(p, "interrupt\n");
        fake_run.phase = DRIVER_IDLE;
        conversation_pump_input(p->c);
        assert_input(p, "interrupt\na\n");
}

/* However many of those wait: the turn that they wait for may need it. */
static void test_what_is_not_for_the_agent_goes_past_a_batch_of_messages_that_wait(void **state) {
        Place *p = *state;

        set_params(p, "budget", "{\"turns\":9}");
        fake_run.phase = DRIVER_RUNNING;
        for (unsigned i = 0; i < 3 * RUN_INPUT_PARTS_MAX; i++)
                say(p, "waits");
        (void) accept_message(p, "conversation.interrupt", "{}", NULL);
        conversation_pump_input(p->c);
        assert_input(p, "interrupt\n");
        assert_int_equal(p->c->n_pending, 3 * RUN_INPUT_PARTS_MAX);
        buffer_done(&fake_run.calls);
        conversation_pump_input(p->c);
        assert_calls("");
}

static void test_no_message_is_taken_up_where_the_agent_cannot_take_any(void **state) {
        Place *p = *state;

        say(p, "a");
        p->c->stop.cause = STOP_BY_PERSON;
        conversation_pump_input(p->c);
        p->c->stop.cause = STOP_BY_NONE;
        p->c->run->ended = true;
        conversation_pump_input(p->c);
        p->c->run->ended = false;
        p->ctx.run.broken = true;
        conversation_pump_input(p->c);
        p->ctx.run.broken = false;
        p->c->row.state = CONVERSATION_STARTING;
        conversation_pump_input(p->c);
        assert_calls("");
        assert_input(p, "");
        assert_int_equal(p->c->n_pending, 1);
}

/* ---- questions ---- */

static int deny(Place *p) {
        return p->c->run->ops->deny(5, 1, "nobody answered", p->c->run->userdata);
}

static void test_a_question_expires_in_the_transaction_and_is_announced_after_it(void **state) {
        Place *p = *state;

        fake_run.answer_error = 1;
        assert_int_equal(deny(p), 1);
        assert_int_equal(p->n_commits, 1);
        assert_calls("expiring:question:5.1 write events changed expired:question:5.1");
        assert_int_equal(p->n_visible, 1);
        assert_events(p, "permission.expired \"requestId\":\"question:5.1\"\n");
        assert_input(p, "deny 5.1 nobody answered\n");
}

static void test_a_question_that_cannot_be_answered_does_not_expire(void **state) {
        static const int results[] = { 0, -EINVAL };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(results); i++) {
                fake_run.answer_error = results[i];
                assert_int_equal(deny(p), 0);
        }
        fake_run.answer_error = -ENOMEM;
        assert_int_equal(deny(p), -ENOMEM);
        assert_int_equal(p->n_commits, 0);
        assert_calls("");
        assert_events(p, "");
}

static void test_a_denial_that_fails_at_any_step_leaves_the_store_as_it_was(void **state) {
        static const Failure failures[] = {
                { .effects = -EIO, .calls = "" },
                { .table = "own_events", .operation = "INSERT", .calls = "" },
                { .expiring = -EIO, .calls = "expiring:question:5.1" },
                { .commit = true, .calls = "expiring:question:5.1" },
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                begin(p);
                _cleanup_free_ char *before = dump(p), *after = NULL;

                fake_run.answer_error = 1;
                begin_failure(p, &failures[i]);
                assert_true(deny(p) < 0);
                end_failure(p, &failures[i]);
                after = dump(p);
                assert_string_equal(after, before);
                assert_calls(failures[i].calls);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(effects_are_one_transaction_and_announced_once_after_it),
                TEST(effects_that_fail_at_any_step_leave_the_store_as_it_was),
                TEST(output_that_was_read_before_reports_no_state),
                TEST(the_session_that_is_known_is_the_one_that_was_stored),
                TEST(accepted_messages_are_one_transaction_and_one_announcement),
                TEST(a_message_that_is_refused_is_reported_and_the_others_are_delivered),
                TEST(a_batch_that_fails_at_any_step_leaves_the_store_as_it_was),
                TEST(a_message_that_waits_holds_up_messages_but_no_interrupt_and_no_answer),
                TEST(nothing_is_announced_where_every_message_waits),
                TEST(the_message_that_began_it_is_its_prompt_and_a_stop_stays),
                TEST(more_messages_than_a_batch_has_are_all_delivered_once_and_in_order),
                TEST(lines_above_the_bound_of_a_batch_go_into_the_next),
                TEST(large_messages_are_taken_up_a_few_at_a_time),
                TEST(with_a_budget_a_message_waits_while_a_turn_runs),
                TEST(what_is_not_for_the_agent_goes_past_a_batch_of_messages_that_wait),
                TEST(no_message_is_taken_up_where_the_agent_cannot_take_any),
                TEST(a_question_expires_in_the_transaction_and_is_announced_after_it),
                TEST(a_question_that_cannot_be_answered_does_not_expire),
                TEST(a_denial_that_fails_at_any_step_leaves_the_store_as_it_was),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
