/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "hub-place.h"
#include "runner/conversation/conversation-start.h"
#include "runner/conversation/conversation-stop.h"
#include "runner/run/run-state.h"
#include "runner/runner-adopt.h"
#include "runner/runner-conversations.h"
#include "runner/store/state-step.h"
#include "runner/store/store-events.h"
#include "runner/store/store-inbound.h"

/* What the hub makes of the conversations in its store. */

/* ---- cases ---- */

/* The one that is one too many of those that have ended is the one that began first: here it is that which ends last. */
static void test_one_that_ends_is_not_forgotten_under_its_caller(void **state) {
        Place *p = *state;

        for (unsigned i = 0; i <= ENDED_KEPT_MAX; i++)
                call(p, "conversation.start", i, ",\"agent\":\"shell\"");
        for (unsigned i = ENDED_KEPT_MAX; i > 0; i--)
                call(p, "conversation.stop", i, "");
        assert_int_equal(registry_count_ended(p->r->conversations), ENDED_KEPT_MAX);
        call(p, "conversation.stop", 0, "");
        assert_string_equal(p->reason, "stopped");
        assert_int_equal(p->n_replies, 2 * (ENDED_KEPT_MAX + 1));
        /* It goes by itself, and can be had again. */
        assert_int_equal(p->n_removed, 0);
        turn_until(p, &p->n_removed, 1);
        assert_null(registry_find(p->r->conversations, "c-0"));
        assert_int_equal(registry_count_ended(p->r->conversations), ENDED_KEPT_MAX);
        assert_non_null(runner_find_conversation(p->r, "c-0"));
        turn_until(p, &p->n_removed, 2);
}

/* ---- conversations that cannot be read as they were ---- */

static void assert_spec(Place *p, const char *expected) {
        _cleanup_(run_row_done) RunRow run = {};

        assert_int_equal(store_get_run(p->r->store, "c-0", 1, &run), 1);
        assert_string_equal(run.spec, expected);
}

/* It lives, and is stopped, since nobody knows what it says; that is told in its end. */
static void lives_and_is_stopped(Place *p, const Stored *s, const char *words, unsigned said) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        Conversation *c;

        store(p, s);
        p->scope = true;
        c = adopt(p);
        assert_int_equal(registry_count_live(p->r->conversations), 1);
        assert_null(p->killed); /* its supervisor is asked */
        turn(p);
        assert_true(conversation_is_live(c));
        assert_string_equal(conversation_state(c), "stopping");
        assert_true(c->run->end_sent);
        /* Whoever wants that as well gets his answer. */
        call(p, "conversation.stop", 0, ",\"graceMs\":0");
        assert_int_equal(p->n_replies, 0);
        supervisor_ends(p, "\"signal\":15");
        turn(p);
        assert_end(p, "failed", words, said);
        /* Nobody knows what it has used. */
        assert_int_equal(store_get_conversation(p->r->store, "c-0", &row), 1);
        assert_int_equal(strstr(row.detail, "usage") != NULL, s->no_row);
        assert_int_equal(p->n_replies, 1);
        assert_string_equal(p->reason, "failed");
}

/* A conversation that runs keeps what it was started with. */
static void test_an_agent_that_is_not_configured_any_more(void **state) {
        Place *p = *state;
        Conversation *c;

        store(p,
              &(Stored){
                      .agent = "brief",
                      .state = "live",
                      .spec = "{\"protocol\":\"shell\"}",
                      .driven_state = BEHIND_ONE,
              });
        p->scope = true;
        c = adopt(p);
        turn(p);
        assert_null(p->killed);
        assert_string_equal(conversation_state(c), "idle");
        call(p, "conversation.stop", 0, "");
        assert_int_equal(p->n_replies, 0);
        supervisor_ends(p, "\"exitCode\":0");
        turn(p);
        assert_end(p, "stopped", "\"turns\":3", 2);
        assert_int_equal(p->n_replies, 1);
        assert_string_equal(p->reason, "stopped");
}

/* It began under an older program, and what the agent speaks was the configuration's knowledge. */
static void test_an_agent_of_an_unknown_protocol(void **state) {
        lives_and_is_stopped(
                *state,
                &(Stored){ .agent = "brief", .state = "live", .driven_state = BEHIND_ONE },
                "agent brief is not configured any more: add it to \\\"agents\\\"",
                0);
        assert_spec(*state, "{\"protocol\":\"none\"}");
}

static void test_a_state_that_cannot_be_read(void **state) {
        lives_and_is_stopped(
                *state,
                &(Stored){
                        .agent = "shell",
                        .state = "live",
                        .driven_state = "{\"lines\":1,\"driver\":{\"version\":99}}",
                },
                "failed to read the stored run of agent shell",
                2);
}

static void test_a_spec_that_cannot_be_read(void **state) {
        lives_and_is_stopped(
                *state,
                &(Stored){ .agent = "shell", .state = "live", .spec = "{", .driven_state = BEHIND_ONE },
                "failed to read the stored run of agent shell",
                2);
}

static void test_a_run_that_is_not_in_the_store(void **state) {
        lives_and_is_stopped(
                *state,
                &(Stored){ .agent = "shell", .state = "live", .no_row = true },
                "failed to read the stored run of agent shell",
                2);
}

/* It may say more than can be read in one go, and more again while that is read. */
static void test_an_agent_of_an_unknown_protocol_that_says_much(void **state) {
        enum { LINES = 40000 };
        Place *p = *state;
        _cleanup_buffer_ Buffer lines = {};
        Conversation *c;

        store(p, &(Stored){ .agent = "brief", .state = "live" });
        for (unsigned i = 0; i < LINES; i++)
                (void) buffer_append_str(&lines, LINE);
        assert_return_code(buffer_append(&lines, "", 1), 0);
        write_file(p, "out.log", lines.data);
        p->scope = true;
        c = adopt(p);
        run_drive(c->run);
        assert_in_range(c->run->row.driven, 1, LINES * strlen(LINE) - 1);
        assert_string_equal(conversation_state(c), "stopping");
}

/* It ended by itself meanwhile: that is what is told. */
static void test_an_agent_that_has_ended_meanwhile(void **state) {
        Place *p = *state;

        store(p,
              &(Stored){
                      .agent = "brief",
                      .state = "live",
                      .spec = "{\"protocol\":\"shell\"}",
                      .driven_state = BEHIND_ONE,
              });
        supervisor_ends(p, "\"exitCode\":0");
        (void) adopt(p);
        turn(p);
        assert_end(p, "completed", NULL, 2);
}

/* What was asked of the launcher goes with it. */
static void test_an_agent_that_had_not_begun(void **state) {
        Place *p = *state;

        store(p, &(Stored){ .agent = "brief", .state = "starting", .spec = "{\"protocol\":\"shell\"}" });
        p->scope = true;
        (void) adopt(p);
        assert_string_equal(p->killed, UNIT);
        assert_end(p, "failed", "agent brief is not configured any more", 0);
}

static void test_an_agent_that_was_not_asked_for_yet(void **state) {
        Place *p = *state;

        store(p, &(Stored){ .agent = "brief", .state = "new", .no_folder = true });
        (void) adopt(p);
        assert_end(p, "failed", "agent brief is not configured any more", 0);
}

/* ---- spellings that nobody knows ---- */

/* What the journal is told while it is adopted. */
static char *adopt_and_listen(Place *p) {
        int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        FILE *f = tmpfile();
        char text[2048];
        size_t n;

        assert_non_null(f);
        assert_return_code(dup2(fileno(f), STDERR_FILENO), errno);
        (void) adopt(p);
        assert_return_code(dup2(saved, STDERR_FILENO), errno);
        safe_close(saved);
        rewind(f);
        n = fread(text, 1, sizeof(text) - 1, f);
        text[n] = 0;
        (void) fclose(f);
        return strdup(text);
}

static void lives_and_is_lost(Place *p, const char *sql, const char *words) {
        _cleanup_free_ char *journal = NULL;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        run_sql(p, sql);
        p->scope = true;
        journal = adopt_and_listen(p);
        assert_non_null(strstr(journal, words));
        assert_non_null(strstr(journal, "Conversation c-0 counts as lost: "));
        /* What of it still runs belongs to no conversation. */
        assert_string_equal(p->killed, UNIT);
        turn(p);
        assert_end(p, "lost", "which this program does not know", 1);
}

static void test_a_state_that_nobody_knows_is_lost(void **state) {
        lives_and_is_lost(
                *state,
                "UPDATE conversations SET state = 'hibernating'",
                "its state is stored as \"hibernating\", which this program does not know");
}

static void test_a_state_of_a_run_that_nobody_knows_is_lost(void **state) {
        lives_and_is_lost(
                *state,
                "UPDATE runs SET state = 'dozing'",
                "its run's state is stored as \"dozing\", which this program does not know");
}

static void test_a_reason_that_nobody_knows_of_one_that_lives_is_lost(void **state) {
        lives_and_is_lost(
                *state,
                "UPDATE conversations SET reason = 'exploded'",
                "its reason is stored as \"exploded\", which this program does not know");
}

/* Its end was reported by whoever knew the word. */
static void test_an_end_whose_reason_nobody_knows_counts_as_lost(void **state) {
        _cleanup_free_ char *journal = NULL;
        Place *p = *state;
        Conversation *c;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        run_sql(p,
                "UPDATE conversations SET state = 'ended', reason = 'exploded'; UPDATE runs SET state = 'dozing'");
        journal = adopt_and_listen(p);
        assert_non_null(strstr(journal, "its reason is stored as \"exploded\""));
        c = registry_find(p->r->conversations, "c-0");
        assert_int_equal(c->row.reason, END_LOST);
        assert_int_equal(store_count_own_events(p->r->store, "c-0", 1, 0), 0);
        call(p, "conversation.stop", 0, "");
        assert_string_equal(p->reason, "lost");
        assert_return_code(conversation_take_all(c), 0);
        assert_int_equal(run_row(c->run)->state, RUN_ENDED);
}

/* Of a later program, for what had ended by the words of both rows. */
static void test_a_state_that_nobody_knows_of_what_has_ended_keeps_its_end(void **state) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        Place *p = *state;
        _cleanup_free_ char *journal = NULL;
        unsigned said;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        supervisor_ends(p, "\"exitCode\":0");
        (void) adopt(p);
        turn(p);
        assert_end(p, "completed", NULL, 2);
        said = (unsigned) store_count_own_events(p->r->store, "c-0", 1, 0);
        runner_forget_all(p->r);
        run_sql(p, "UPDATE conversations SET state = 'archived'");
        state_steps_set_critical(false);
        journal = adopt_and_listen(p);
        state_steps_set_critical(true);
        assert_null(strstr(journal, STATE_STEP_FORBIDDEN));
        assert_non_null(strstr(journal, "its state is stored as \"archived\""));
        assert_end(p, "completed", NULL, 2);
        assert_int_equal(store_count_own_events(p->r->store, "c-0", 1, 0), said);
        assert_int_equal(store_get_conversation(p->r->store, "c-0", &row), 1);
        assert_int_equal(row.state, CONVERSATION_ENDED);
        assert_true(row.ended_usec > 0);
}

static void test_a_state_that_nobody_knows_beside_a_reason_is_lost(void **state) {
        lives_and_is_lost(
                *state,
                "UPDATE conversations SET state = 'hibernating', reason = 'completed'",
                "its state is stored as \"hibernating\", which this program does not know");
}

/* ---- stops ---- */

static void test_the_words_of_a_stop_do_not_decide_how_it_ends(void **state) {
        static const char *const words[] = { "timeout", "budget", "shutdown", "enough" };
        Place *p = *state;

        for (unsigned i = 0; i < ELEMENTSOF(words); i++) {
                _cleanup_(conversation_row_done) ConversationRow row = {};
                _cleanup_free_ char *members = xasprintf(",\"reason\":\"%s\"", words[i]),
                                    *id = xasprintf("c-%u", i),
                                    *said = xasprintf("\"stopReason\":\"%s\"", words[i]);

                call(p, "conversation.start", i, ",\"agent\":\"shell\"");
                call(p, "conversation.stop", i, members);
                assert_string_equal(p->reason, "stopped");
                assert_int_equal(store_get_conversation(p->r->store, id, &row), 1);
                assert_int_equal(row.reason, END_STOPPED);
                assert_non_null(strstr(row.detail, said));
                assert_non_null(strstr(row.detail, "\"reason\":\"stopped\""));
        }
}

/* A runner that begins again in the middle of a stop, or reads its store again, knows what it was for. */
static void resumes_the_stop(
        Place *p,
        const StopOrder *order,
        const char *failure,
        const char *reason,
        const char *words) {
        _cleanup_free_ char *left = NULL;
        unsigned said;
        Conversation *c;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        p->scope = true;
        c = adopt(p);
        turn(p);
        if (failure)
                assert_return_code(run_set_failure(c->run, strdup(failure)), 0);
        conversation_stop(c, order);
        said = (unsigned) store_count_own_events(p->r->store, "c-0", 1, 0);
        runner_forget_all(p->r);
        c = adopt(p);
        assert_string_equal(conversation_state(c), "stopping");
        assert_true(c->run->stopping);
        assert_true(c->run->end_sent);
        assert_int_equal(c->stop.cause, order->cause);
        assert_int_equal(c->stop.grace_usec, order->grace_usec);
        turn(p);
        /* That it is being stopped was said. */
        assert_int_equal(store_count_own_events(p->r->store, "c-0", 1, 0), said);
        supervisor_ends(p, "\"signal\":15");
        turn(p);
        assert_end(p, reason, words, 2);
        assert_int_equal(store_get(p->r->store, "stop:c-0:1", &left), 0);
}

static void test_a_restart_keeps_the_cause_of_a_stop(void **state) {
        resumes_the_stop(
                *state,
                &(StopOrder){ .cause = STOP_BY_SHUTDOWN, .grace_usec = 60 * USEC_PER_SEC },
                NULL,
                "shutdown",
                "\"stoppedBy\":\"runner\"");
}

static void test_a_restart_keeps_the_words_of_a_stop(void **state) {
        resumes_the_stop(
                *state,
                &(StopOrder){ .cause = STOP_BY_PERSON, .words = "en\"ough", .grace_usec = 7 },
                NULL,
                "stopped",
                "\"stopReason\":\"en\\\"ough\"");
}

static void test_a_restart_keeps_the_failure_of_a_stop(void **state) {
        resumes_the_stop(
                *state,
                &(StopOrder){ .cause = STOP_BY_FAILURE, .grace_usec = 7 },
                "it \"broke\"",
                "failed",
                "\"detail\":\"it \\\"broke\\\"\"");
}

/* Stored by a program that did not store the failure. */
static void test_a_stop_for_a_failure_that_is_not_stored_is_a_failure(void **state) {
        Place *p = *state;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        assert_return_code(
                store_set(p->r->store, "stop:c-0:1", "{\"cause\":\"failure\",\"graceUsec\":7}"), 0);
        p->scope = true;
        (void) adopt(p);
        turn(p);
        supervisor_ends(p, "\"exitCode\":0");
        turn(p);
        assert_end(p, "failed", NULL, 2);
}

/* Of another program's store. */
static void test_a_cause_that_nobody_knows_is_a_stop(void **state) {
        Place *p = *state;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        assert_return_code(
                store_set(p->r->store, "stop:c-0:1", "{\"cause\":\"thunder\",\"graceUsec\":7}"), 0);
        p->scope = true;
        (void) adopt(p);
        turn(p);
        supervisor_ends(p, "\"signal\":15");
        turn(p);
        assert_end(p, "stopped", NULL, 2);
}

/* Nothing can be read of it, and it goes with the run that it was of. */
static void test_a_stop_that_cannot_be_read_goes_with_its_run(void **state) {
        Place *p = *state;
        _cleanup_free_ char *left = NULL;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        assert_return_code(store_set(p->r->store, "stop:c-0:1", "{\"cause"), 0);
        supervisor_ends(p, "\"exitCode\":0");
        (void) adopt(p);
        turn(p);
        assert_end(p, "completed", NULL, 2);
        assert_int_equal(store_get(p->r->store, "stop:c-0:1", &left), 0);
}

/* It is of a run that another store had. */
static void test_a_new_run_has_no_stop(void **state) {
        Place *p = *state;
        _cleanup_free_ char *left = NULL;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        supervisor_ends(p, "\"exitCode\":0");
        (void) adopt(p);
        turn(p);
        assert_return_code(
                store_set(p->r->store, "stop:c-0:2", "{\"cause\":\"person\",\"graceUsec\":7}"), 0);
        call(p, "conversation.resume", 0, "");
        assert_int_equal(p->code, 0);
        assert_int_equal(registry_find(p->r->conversations, "c-0")->row.run, 2);
        assert_int_equal(store_get(p->r->store, "stop:c-0:2", &left), 0);
}

/* An orchestrator's or a person's stop that was accepted and not begun. */
static void begins_a_stop_that_waits(Place *p, const char *id, const char *request, StopCause cause) {
        Conversation *c;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        assert_return_code(
                store_accept(
                        p->r->store,
                        &(InboundMessage){
                                .envelope_id = (char *) id,
                                .conversation = (char *) "c-0",
                                .method = (char *) "conversation.stop",
                                .request_id = (char *) request,
                                .params = (char *) "{\"reason\":\"shutdown\",\"graceMs\":9}",
                                .received_usec = 1,
                        },
                        NULL,
                        false,
                        NULL),
                0);
        p->scope = true;
        c = adopt(p);
        assert_int_equal(c->stop.cause, cause);
        assert_string_equal(c->stop.words, "shutdown");
        assert_int_equal(c->stop.grace_usec, 9 * USEC_PER_MSEC);
        turn(p);
        supervisor_ends(p, "\"signal\":15");
        turn(p);
        assert_end(p, "stopped", "\"stopReason\":\"shutdown\"", 2);
}

static void test_a_stop_that_waits_is_begun_with_its_words(void **state) {
        begins_a_stop_that_waits(*state, "m-1", NULL, STOP_BY_ORCHESTRATOR);
}

static void test_a_persons_stop_that_waits_is_a_persons(void **state) {
        begins_a_stop_that_waits(*state, "local-0123456789abcdef", NULL, STOP_BY_PERSON);
}

/* An orchestrator gives its messages the ids that it likes. */
static void test_an_orchestrators_stop_is_not_a_persons_by_its_id(void **state) {
        begins_a_stop_that_waits(*state, "local-lima", NULL, STOP_BY_ORCHESTRATOR);
}

static void test_a_stop_with_a_request_id_is_an_orchestrators(void **state) {
        begins_a_stop_that_waits(*state, "local-0123456789abcdef", "7", STOP_BY_ORCHESTRATOR);
}

/* Nothing makes one that lives without a run. */
static void test_one_without_a_run_is_left_alone(void **state) {
        Place *p = *state;
        Conversation *c;

        store(p, &(Stored){ .agent = "shell", .state = "new", .no_folder = true });
        assert_return_code(adopt_rows(p), 0);
        p->r->ctx->run.ready = true;
        c = registry_find(p->r->conversations, "c-0");
        c->run = run_free(c->run);
        conversation_advance(c);
        conversation_stop(c, &(StopOrder){ .cause = STOP_BY_PERSON });
        assert_true(conversation_is_live(c));
}

/* What is accepted is carried out. */
static void test_an_order_that_could_not_even_wait_is_refused(void **state) {
        static const struct {
                const char *method, *members;
        } calls[] = {
                { "conversation.freeze", "" },
                { "conversation.thaw", "" },
                { "conversation.config", ",\"limits\":{\"tasksMax\":7}" },
        };
        Place *p = *state;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        p->scope = true;
        (void) adopt(p);
        for (unsigned busy = 0; busy < 2; busy++)
                for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                        p->busy = busy;
                        p->n_ordered = 0;
                        call(p, calls[i].method, 0, calls[i].members);
                        assert_int_equal(p->code, busy ? -32003 : 0);
                        assert_int_equal(p->n_ordered, !busy);
                }
        /* What needs no order is taken. */
        call(p, "conversation.config", 0, ",\"model\":\"m\"");
        assert_int_equal(p->code, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(one_that_ends_is_not_forgotten_under_its_caller),
                TEST(an_agent_that_is_not_configured_any_more),
                TEST(an_agent_of_an_unknown_protocol),
                TEST(an_agent_of_an_unknown_protocol_that_says_much),
                TEST(a_state_that_cannot_be_read),
                TEST(a_spec_that_cannot_be_read),
                TEST(a_run_that_is_not_in_the_store),
                TEST(an_agent_that_has_ended_meanwhile),
                TEST(an_agent_that_had_not_begun),
                TEST(an_agent_that_was_not_asked_for_yet),
                TEST(a_state_that_nobody_knows_is_lost),
                TEST(a_state_of_a_run_that_nobody_knows_is_lost),
                TEST(a_reason_that_nobody_knows_of_one_that_lives_is_lost),
                TEST(an_end_whose_reason_nobody_knows_counts_as_lost),
                TEST(a_state_that_nobody_knows_of_what_has_ended_keeps_its_end),
                TEST(a_state_that_nobody_knows_beside_a_reason_is_lost),
                TEST(the_words_of_a_stop_do_not_decide_how_it_ends),
                TEST(a_restart_keeps_the_cause_of_a_stop),
                TEST(a_restart_keeps_the_words_of_a_stop),
                TEST(a_restart_keeps_the_failure_of_a_stop),
                TEST(a_stop_for_a_failure_that_is_not_stored_is_a_failure),
                TEST(a_cause_that_nobody_knows_is_a_stop),
                TEST(a_stop_that_cannot_be_read_goes_with_its_run),
                TEST(a_new_run_has_no_stop),
                TEST(a_stop_that_waits_is_begun_with_its_words),
                TEST(a_persons_stop_that_waits_is_a_persons),
                TEST(an_orchestrators_stop_is_not_a_persons_by_its_id),
                TEST(a_stop_with_a_request_id_is_an_orchestrators),
                TEST(one_without_a_run_is_left_alone),
                TEST(an_order_that_could_not_even_wait_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
