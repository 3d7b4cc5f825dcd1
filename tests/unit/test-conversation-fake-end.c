/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "conversation-place.h"
#include "runner/conversation/conversation-start.h"
#include "runner/store/state-step.h"
#include "runner/store/store-events.h"
#include "runner/store/store-inbound.h"

/* The start of a conversation's run, its end, and what is left of it. */

/* ---- the start ---- */

static void test_a_start_is_one_transaction_and_messages_go_on_after_it(void **state) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        _cleanup_(run_row_done) RunRow run = {};
        Place *p = *state;

        begin_start(p);
        set_params(p, "limits", "{\"runtimeMaxSec\":60}");
        set_params(p, "timeouts", "{\"silenceSec\":7}");
        (void) accept_message(p, "conversation.start", "{\"prompt\":\"first\"}", NULL);
        p->n_commits = 0;
        fake_run.phase = DRIVER_STARTING;
        report_started(p);
        assert_int_equal(p->n_commits, 2); /* of the start and of the message */
        assert_calls("limits clock watchdog events changed write heard changed look");
        assert_int_equal(fake_run.max_secs, 60);
        assert_int_equal(fake_run.timeouts.silence_usec, 7 * USEC_PER_SEC);
        assert_int_equal(store_get_conversation(p->ctx.run.store, "c-1", &row), 1);
        assert_int_equal(row.state, CONVERSATION_LIVE);
        assert_int_equal(store_get_run(p->ctx.run.store, "c-1", 1, &run), 1);
        assert_string_equal(run.unit, UNIT);
        assert_string_equal(run.invocation, "0123");
        assert_events(
                p,
                "conversation.started \"agent\":\"shell\",\"scope\":\"" UNIT
                "\",\"repositoryTrusted\":false\n");
        assert_input(p, "first\n");
}

static void test_a_start_that_fails_to_be_stored_leaves_the_store_as_it_was(void **state) {
        static const Failure failures[] = {
                { .started = -EIO, .calls = "store-failed" },
                { .table = "conversations", .operation = "UPDATE", .calls = "store-failed" },
                { .table = "own_events",
                  .operation = "INSERT",
                  .calls = "limits clock watchdog store-failed" },
                { .commit = true, .calls = "limits clock watchdog store-failed" },
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                begin_start(p);
                _cleanup_free_ char *before = dump(p), *after = NULL;

                begin_failure(p, &failures[i]);
                report_started(p);
                end_failure(p, &failures[i]);
                after = dump(p);
                assert_string_equal(after, before);
                assert_calls(failures[i].calls);
        }
}

static void test_a_start_that_a_runner_before_this_one_made_is_announced(void **state) {
        Place *p = *state;

        begin_start(p);
        assert_return_code(conversation_adopt_started(p->c, UNIT), 0);
        assert_int_equal(p->n_commits, 1);
        assert_calls("limits clock watchdog events changed");
        assert_int_equal(p->n_visible, 2);
        assert_string_equal(conversation_state(p->c), "idle");
}

static void test_a_launcher_that_is_lost_is_reported_and_the_start_tried_again(void **state) {
        Place *p = *state;

        begin_start(p);
        p->c->run->under_way = false;
        p->c->run->ops->launcher_lost(p->c);
        assert_calls("events");
        assert_events(
                p,
                "error.report \"code\":\"launcher-lost\",\"text\":\"northflare-launcher ended "
                "during a start\"\n");
        p->c->run->ops->start_again(p->c);
        assert_calls("start");
        assert_true(p->c->run->under_way);
        report_started(p);
        assert_calls("limits clock watchdog events changed look");
        assert_int_equal(p->c->row.state, CONVERSATION_LIVE);
}

static void test_a_start_that_fails_ends_it_in_the_words_of_the_launcher(void **state) {
        Place *p = *state;

        begin_start(p);
        p->c->run->ops->start_failed("no such unit", p->c);
        assert_calls("close events changed release ended");
        assert_int_equal(p->c->row.reason, END_FAILED);
        assert_detail(p, "detail", "no such unit");
        assert_detail(p, "stoppedBy", NULL);
}

static void test_a_start_that_cannot_be_ordered_ends_it_or_waits_for_room(void **state) {
        Place *p = *state;

        begin_in(p, CONVERSATION_STARTING);
        fake_run.start_error = -ENOSPC;
        conversation_advance(p->c);
        assert_calls("start no-room");
        assert_int_equal(p->c->row.state, CONVERSATION_STARTING);
        fake_run.start_error = -EINVAL;
        conversation_advance(p->c);
        assert_calls("start close events changed release ended");
        assert_int_equal(p->c->row.reason, END_FAILED);
        assert_detail(p, "detail", "the plan is no good");
        begin_in(p, CONVERSATION_STARTING);
        fake_run.start_error = -EPERM;
        conversation_advance(p->c);
        assert_detail(p, "detail", "failed to start the agent: Operation not permitted");
}

/* ---- the end ---- */

/* How a run ended, and what is said of that. */
typedef struct EndCase {
        const char *outcome;
        RunEndFacts facts;
        StopCause stop;
        const char *words, *failure;
        bool end_sent;
        EndReason reason;
        const char *text, *stopped_by;
        bool reported; /* that the supervisor was lost */
} EndCase;

#define SHORT_TEXT                                                                                                 \
        "the runner crashed 2 times while it concluded this run: the rest of its output, its usage and the state " \
        "of its checkout are omitted"

/* clang-format off */
static const EndCase end_cases[] = {
        { .outcome = "{\"exitCode\":0}", .reason = END_COMPLETED },
        {
                .outcome = "{\"exitCode\":0}",
                .facts.last_turn_failed = true,
                .end_sent = true,
                .reason = END_COMPLETED,
        },
        {
                .outcome = "{\"exitCode\":0}",
                .facts.last_turn_failed = true,
                .reason = END_AGENT_EXITED,
        },
        { .outcome = "{\"exitCode\":3}", .end_sent = true, .reason = END_AGENT_EXITED },
        {
                .outcome = "{\"exitCode\":1}",
                .failure = "it cannot resume",
                .reason = END_FAILED,
                .text = "it cannot resume",
        },
        {
                .outcome = "{\"signal\":9}",
                .stop = STOP_BY_FAILURE,
                .failure = "it cannot resume",
                .reason = END_FAILED,
                .text = "it cannot resume",
                .stopped_by = "runner",
        },
        {
                .outcome = "{\"stage\":\"exec\",\"errno\":2}",
                .reason = END_FAILED,
                .text = "the agent could not be executed: No such file or directory",
        },
        { .outcome = "{\"exitCode\":0}", .stop = STOP_BY_PERSON, .reason = END_STOPPED, .stopped_by = "runner" },
        {
                .outcome = "{\"exitCode\":1}",
                .stop = STOP_BY_PERSON,
                .words = "timeout",
                .reason = END_STOPPED,
                .stopped_by = "runner",
        },
        {
                .outcome = "{\"exitCode\":1}",
                .stop = STOP_BY_RUNTIME,
                .reason = END_TIMEOUT,
                .stopped_by = "runner",
        },
        {
                .outcome = "{\"exitCode\":1}",
                .stop = STOP_BY_SILENCE,
                .reason = END_TIMEOUT,
                .text = "the agent was silent for longer than timeouts.silenceSec allows",
                .stopped_by = "runner",
        },
        {
                .outcome = "{\"exitCode\":0}",
                .stop = STOP_BY_BUDGET,
                .reason = END_BUDGET,
                .text = "its budget is exhausted: turns",
                .stopped_by = "runner",
        },
        {
                .outcome = "{\"exitCode\":0}",
                .stop = STOP_BY_SHUTDOWN,
                .reason = END_SHUTDOWN,
                .stopped_by = "runner",
        },
        { .facts.supervisor_lost = true, .stop = STOP_BY_PERSON, .reason = END_STOPPED, .stopped_by = "runner" },
        {
                .outcome = "{\"signal\":15,\"stoppedBy\":\"systemd\"}",
                .reason = END_STOPPED,
                .stopped_by = "systemd",
        },
        {
                .outcome = "{\"signal\":15,\"stoppedBy\":\"systemd\"}",
                .facts.shutdown = true,
                .reason = END_SHUTDOWN,
                .stopped_by = "systemd",
        },
        {
                .outcome = "{\"signal\":15,\"stoppedBy\":\"supervisor\"}",
                .reason = END_TIMEOUT,
                .stopped_by = "supervisor",
        },
        { .outcome = "{\"signal\":9}", .facts.oom = true, .reason = END_OOM_KILLED },
        {
                .outcome = "{\"signal\":9}",
                .facts.oom = true, .facts.oom_by_workspace = true,
                .reason = END_OOM_KILLED,
                .text = "the memoryMax that all conversations of the workspace share was reached",
        },
        { .outcome = "{\"signal\":9}", .facts.oom_by_workspace = true, .reason = END_AGENT_EXITED },
        {
                .facts.oom = true, .facts.oomd = true, .facts.supervisor_lost = true,
                .reason = END_OOM_KILLED,
                .text = "killed by systemd-oomd, because this machine ran out of memory",
                .reported = true,
        },
        { .facts.result = "oom-kill", .facts.supervisor_lost = true, .reason = END_OOM_KILLED, .reported = true },
        { .facts.result = "timeout", .facts.supervisor_lost = true, .reason = END_TIMEOUT },
        {
                .facts.shutdown = true, .facts.supervisor_lost = true,
                .reason = END_SHUTDOWN,
                .stopped_by = "systemd",
        },
        {
                .facts.stopped_by_systemd = true, .facts.supervisor_lost = true,
                .reason = END_STOPPED,
                .stopped_by = "systemd",
        },
        { .facts.supervisor_lost = true, .reason = END_LOST, .reported = true },
        { .reason = END_LOST },
        {
                .facts.is_short = true,
                .facts.stopped_by_systemd = true,
                .reason = END_LOST,
                .text = SHORT_TEXT,
                .stopped_by = "systemd",
        },
        {
                .outcome = "{\"exitCode\":1}",
                .facts.is_short = true,
                .failure = "it cannot resume",
                .end_sent = true,
                .reason = END_AGENT_EXITED,
                .text = SHORT_TEXT,
        },
};
/* clang-format on */

static void end_as(Place *p, const EndCase *e) {
        _cleanup_json_ Json *outcome = NULL;

        set_params(p, "budget", "{\"turns\":5}");
        fake_run.usage.turns = 5;
        if (e->outcome)
                assert_return_code(json_parse(e->outcome, strlen(e->outcome), &outcome, NULL), 0);
        fake_run.facts = e->facts;
        fake_run.facts.outcome = outcome;
        fake_run.is_short = e->facts.is_short;
        p->c->run->row.conclusion_crashes = e->facts.is_short ? 2 : 0;
        p->c->run->end_sent = e->end_sent;
        p->c->stop.cause = e->stop;
        assert_return_code(free_and_strdup(&p->c->stop.words, e->words), 0);
        if (e->failure)
                assert_return_code(free_and_strdup(&p->c->run->failure, e->failure), 0);
        report_over(p);
        fake_run.facts = (RunEndFacts){};
}

static void test_every_verdict_is_stored_with_its_text_and_who_stopped_it(void **state) {
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(end_cases); i++) {
                const EndCase *e = &end_cases[i];
                _cleanup_(own_event_done) OwnEvent first = {};

                begin(p);
                end_as(p, e);
                assert_calls("close events changed release ended");
                assert_int_equal(p->c->row.state, CONVERSATION_ENDED);
                assert_int_equal(p->c->row.reason, e->reason);
                assert_detail(p, "reason", end_reason_to_string(e->reason));
                assert_detail(p, "stopReason", e->words);
                assert_detail(p, "detail", e->text);
                assert_detail(p, "stoppedBy", e->stopped_by);
                assert_int_equal(p->n_visible, e->reported ? 2 : 1);
                assert_int_equal(
                        store_next_own_event(p->ctx.run.store, "c-1", 1, p->events_read, &first), 1);
                assert_string_equal(first.method, e->reported ? "error.report" : "conversation.ended");
                if (e->reported)
                        assert_non_null(strstr(first.members, "\"code\":\"supervisor-lost\""));
                skip_events(p);
        }
}

static void test_an_end_names_all_that_the_supervisor_said(void **state) {
        static const char outcome[] =
                "{\"exitCode\":3,\"resources\":{\"cpuUsec\":9},\"outFull\":true,\"endedUsec\":5}";
        _cleanup_json_ Json *o = NULL;
        Place *p = *state;

        use();
        assert_return_code(free_and_strdup(&p->c->row.session, "s-1"), 0);
        assert_return_code(free_and_strdup(&p->c->row.directory, "/d"), 0);
        assert_return_code(json_parse(outcome, strlen(outcome), &o, NULL), 0);
        fake_run.facts.outcome = o;
        p->c->run->row.driven = 77;
        report_over(p);
        assert_events(
                p,
                "conversation.ended \"reason\":\"agent-exited\",\"sessionId\":\"s-1\",\"directory\":\"/d\"," USAGE
                ",\"exitCode\":3,\"resources\":{\"cpuUsec\":9},\"outFull\":true,\"outBytes\":77\n");
        assert_int_equal(conversation_turns(p->c), 1);
}

static void test_an_end_without_the_supervisors_word_has_the_resources_that_were_read(void **state) {
        _cleanup_json_ Json *o = json_object_new_object();
        Place *p = *state;

        assert_return_code(json_set_u64(o, "cpuUsec", 9), 0);
        use();
        fake_run.facts.resources = o;
        report_over(p);
        assert_events(
                p,
                "conversation.ended \"reason\":\"lost\"," USAGE
                ",\"resources\":{\"cpuUsec\":9},\"outBytes\":0\n");
}

static void test_a_short_end_has_no_usage(void **state) {
        Place *p = *state;

        use();
        fake_run.is_short = fake_run.facts.is_short = true;
        report_over(p);
        assert_events(
                p,
                "conversation.ended \"reason\":\"lost\",\"detail\":\"the runner crashed 0 times while it concluded this "
                "run: the rest of its output, its usage and the state of its checkout are omitted\","
                "\"outBytes\":0\n");
}

static void test_an_end_waits_for_git_once_and_has_its_answer(void **state) {
        _cleanup_json_ Json *status = json_object_new_object();
        CheckoutStatus *call;
        Place *p = *state;

        assert_return_code(json_set_bool(status, "dirty", true), 0);
        use();
        take_checkout(p);
        report_over(p);
        assert_calls("git");
        report_over(p);
        assert_calls("");
        call = p->c->git.call;
        call->done(0, NULL, status, call->userdata);
        assert_calls("close events changed release ended");
        assert_events(
                p,
                "conversation.ended \"reason\":\"lost\",\"directory\":\"/d\"," USAGE
                ",\"git\":{\"dirty\":true},\"outBytes\":0\n");
}

static void test_an_end_has_its_branch_where_git_gives_no_answer(void **state) {
        CheckoutStatus *call;
        Place *p = *state;

        use();
        take_checkout(p);
        report_over(p);
        call = p->c->git.call;
        call->done(-EIO, "no", NULL, call->userdata);
        assert_calls("git close events changed release ended");
        assert_events(
                p,
                "conversation.ended \"reason\":\"lost\",\"directory\":\"/d\"," USAGE
                ",\"git\":{\"branch\":\"b\"},\"outBytes\":0\n");
}

static void test_git_is_not_asked_before_the_runner_is_ready(void **state) {
        Place *p = *state;

        take_checkout(p);
        p->ctx.run.ready = false;
        report_over(p);
        assert_calls("close events changed release ended");
}

static void test_messages_that_wait_at_the_end_are_reported_and_a_stop_is_answered(void **state) {
        _cleanup_(inbound_message_done) InboundMessage response = {};
        Place *p = *state;

        say(p, "a");
        (void) accept_message(p, "conversation.interrupt", "{}", NULL);
        (void) accept_message(p, "conversation.stop", "{}", "17");
        say(p, "b");
        stop(p, STOP_BY_PERSON, DAY);
        assert_calls("events changed ask look");
        skip_events(p);
        p->n_commits = 0;
        report_over(p);
        assert_int_equal(p->n_commits, 1);
        assert_calls("close events responded:stopped changed release ended");
        assert_int_equal(p->n_visible, 3);
        assert_events(
                p,
                "error.report \"code\":\"message-not-delivered\",\"text\":\"The conversation ended before the "
                "agent could accept this message.\",\"about\":\"m-1\"\n"
                "error.report \"code\":\"message-not-delivered\",\"text\":\"The conversation ended before the "
                "agent could accept this message.\",\"about\":\"m-4\"\n"
                "conversation.ended \"reason\":\"stopped\",\"usage\":{\"turns\":0,\"inputTokens\":0,"
                "\"outputTokens\":0,\"cacheReadTokens\":0,\"cacheWriteTokens\":0},\"stoppedBy\":"
                "\"runner\",\"outBytes\":0\n");
        assert_int_equal(p->c->n_pending, 0);
        assert_int_equal(count_pending(p), 0);
        assert_int_equal(store_next_response(p->ctx.run.store, 0, &response), 1);
        assert_string_equal(
                response.response,
                "{\"jsonrpc\":\"2.0\",\"id\":17,\"result\":{\"conversationId\":\"c-1\",\"stopped\":true,"
                "\"reason\":\"stopped\"},\"messageId\":\"rsp:m-3\"}");
}

/* A stop is accepted also where no other message is, and stands behind all of them. */
static void test_a_stop_behind_more_messages_than_are_read_at_once_is_answered(void **state) {
        _cleanup_(inbound_message_done) InboundMessage response = {};
        Place *p = *state;

        for (unsigned i = 0; i < 600; i++)
                say(p, "a");
        (void) accept_message(p, "conversation.stop", "{}", "17");
        (void) accept_message(p, "conversation.stop", "{}", "18");
        report_over(p);
        assert_calls("close events responded:lost responded:lost changed release ended");
        assert_int_equal(p->n_visible, 601);
        assert_int_equal(count_pending(p), 0);
        assert_int_equal(store_next_response(p->ctx.run.store, 0, &response), 1);
        assert_string_equal(response.envelope_id, "m-601");
}

static void test_an_end_that_fails_at_any_step_is_not_announced(void **state) {
        static const Failure failures[] = {
                { .table = "responses", .operation = "INSERT" },
                { .table = "inbound", .operation = "UPDATE" },
                { .table = "own_events", .operation = "INSERT" },
                { .end = -EIO },
                { .table = "conversations", .operation = "UPDATE" },
                { .commit = true },
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                begin(p);
                say(p, "a");
                (void) accept_message(p, "conversation.stop", "{}", "17");
                _cleanup_free_ char *before = dump(p), *after = NULL;

                begin_failure(p, &failures[i]);
                report_over(p);
                end_failure(p, &failures[i]);
                after = dump(p);
                assert_string_equal(after, before);
                assert_calls("store-failed");
        }
}

/* ---- what is left ---- */

static void test_a_run_that_is_released_goes_and_its_figures_stay(void **state) {
        Place *p = *state;

        use();
        take_checkout(p);
        p->ctx.run.ready = false;
        p->c->run->row.driven = 77;
        assert_return_code(report_effects(p, "", "s-1", false), 0);
        report_released(p);
        assert_non_null(p->c->run);
        report_over(p);
        assert_non_null(p->c->run);
        assert_null(p->c->params);
        assert_int_equal(fake_run.n_freed, 0);
        report_released(p);
        assert_null(p->c->run);
        assert_int_equal(fake_run.n_freed, 1);
        assert_null(p->c->params);
        assert_null(p->c->row.session);
        assert_string_equal(conversation_scope(p->c), UNIT);
        assert_int_equal(conversation_driven(p->c), 77);
        assert_int_equal(conversation_output_tokens(p->c), 3);
        assert_string_equal(conversation_state(p->c), "ended");
        /* All of it is there again. */
        assert_return_code(conversation_take_all(p->c), 0);
        assert_string_equal(p->c->row.session, "s-1");
        assert_string_equal(p->c->row.branch, "b");
        assert_true(p->c->run->ended);
}

static void test_a_run_that_is_released_stays_while_the_store_is_broken(void **state) {
        Place *p = *state;

        report_over(p);
        p->ctx.run.broken = true;
        report_released(p);
        assert_non_null(p->c->run);
}

static void test_after_a_resume_nothing_of_the_run_before_is_left(void **state) {
        _cleanup_json_ Json *status = json_object_new_object();
        CheckoutStatus *call;
        Place *p = *state;
        Run *old;

        assert_return_code(json_set_bool(status, "dirty", true), 0);
        take_checkout(p);
        assert_return_code(report_effects(p, "", "s-1", false), 0);
        p->c->run->ops->silent(p->c);
        report_over(p);
        call = p->c->git.call;
        call->done(0, NULL, status, call->userdata);
        assert_non_null(p->c->git.status);
        report_released(p);
        assert_null(p->c->git.status);
        skip_events(p);
        buffer_done(&fake_run.calls);

        assert_return_code(conversation_take_all(p->c), 0);
        old = p->c->run;
        assert_non_null(old);
        conversation_row_set_state(&p->c->row, CONVERSATION_NEW);
        conversation_row_set_reason(&p->c->row, END_NONE);
        assert_return_code(conversation_prepare_run(p->c, p->c->row.session), 0);
        assert_int_equal(fake_run.n_made, 3);
        assert_int_equal(fake_run.n_freed, 2);
        assert_int_equal(run_row(p->c->run)->run, 2);
        assert_string_equal(json_get_string(run_spec(p->c->run), "resumeSessionId"), "s-1");
        assert_false(p->c->run->ended);
        assert_int_equal(p->c->stop.stage, STOP_NONE);
        assert_false(conversation_is_stopping(p->c));
        assert_null(p->c->stop.words);
        assert_int_equal(p->c->last_phase, PHASE_NONE);
        assert_false(p->c->git.asked);
        assert_null(p->c->git.status);
        assert_string_equal(conversation_state(p->c), "starting");
        p->run = 2;

        conversation_advance(p->c);
        report_started(p);
        assert_calls("start limits clock watchdog events changed look");
        assert_string_equal(conversation_state(p->c), "idle");
        report_over(p);
        assert_calls("git");
        call = p->c->git.call;
        call->done(-EIO, "no", NULL, call->userdata);
        assert_int_equal(p->c->row.reason, END_LOST);
        assert_detail(p, "detail", NULL);
        assert_detail(p, "stoppedBy", NULL);
        assert_null(strstr(p->c->row.detail, "dirty"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_start_is_one_transaction_and_messages_go_on_after_it),
                TEST(a_start_that_fails_to_be_stored_leaves_the_store_as_it_was),
                TEST(a_start_that_a_runner_before_this_one_made_is_announced),
                TEST(a_launcher_that_is_lost_is_reported_and_the_start_tried_again),
                TEST(a_start_that_fails_ends_it_in_the_words_of_the_launcher),
                TEST(a_start_that_cannot_be_ordered_ends_it_or_waits_for_room),
                TEST(every_verdict_is_stored_with_its_text_and_who_stopped_it),
                TEST(an_end_names_all_that_the_supervisor_said),
                TEST(an_end_without_the_supervisors_word_has_the_resources_that_were_read),
                TEST(a_short_end_has_no_usage),
                TEST(an_end_waits_for_git_once_and_has_its_answer),
                TEST(an_end_has_its_branch_where_git_gives_no_answer),
                TEST(git_is_not_asked_before_the_runner_is_ready),
                TEST(messages_that_wait_at_the_end_are_reported_and_a_stop_is_answered),
                TEST(a_stop_behind_more_messages_than_are_read_at_once_is_answered),
                TEST(an_end_that_fails_at_any_step_is_not_announced),
                TEST(a_run_that_is_released_goes_and_its_figures_stay),
                TEST(a_run_that_is_released_stays_while_the_store_is_broken),
                TEST(after_a_resume_nothing_of_the_run_before_is_left),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
