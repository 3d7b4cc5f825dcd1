/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "hub-place.h"
#include "runner/runner-adopt.h"
#include "runner/runner-conversations.h"
#include "runner/runner-hooks.h"

/* The hub while its store takes nothing, and afterwards. */

/* A row that is starting, and a `started`: it has begun. */
static void test_a_start_that_cannot_be_stored_is_adopted_later(void **state) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        _cleanup_(run_row_done) RunRow run = {};
        Place *p = *state;

        store(p, &(Stored){ .agent = "shell", .state = "starting" });
        write_file(p, "started", "{\"version\":1,\"cgroup\":\"" CGROUP "\",\"cwd\":\"/w\"}");
        p->scope = p->refuses = true;
        assert_true(adopt_rows(p) < 0);
        assert_null(p->killed);
        p->refuses = false;
        runner_forget_all(p->r);
        (void) adopt(p);
        turn(p);
        assert_null(p->killed);
        assert_int_equal(store_get_conversation(p->r->store, "c-0", &row), 1);
        assert_int_equal(row.state, CONVERSATION_LIVE);
        assert_int_equal(store_get_run(p->r->store, "c-0", 1, &run), 1);
        assert_int_equal(run.state, RUN_LIVE);
        assert_int_equal(count_events(p, "\"conversation.started\""), 1);
}

/* ---- stops ---- */

static Conversation *begin_checkout(Place *p) {
        static const char params[] = "{\"repository\":{\"url\":\"https://example.org/r\"}}";
        Conversation *c;

        store(p, &(Stored){ .agent = "shell", .state = "checkout", .params = params, .no_folder = true });
        c = adopt(p);
        assert_int_equal(p->n_checkouts, 1);
        return c;
}

static void assert_never_begun(Place *p) {
        assert_int_equal(p->n_checkouts, 1);
        assert_int_equal(p->n_starts, 0);
}

static void let_drain_end(Place *p) {
        drain_set(p->r->drain, true, 0);
        turn(p);
}

static void begin_shutdown(Place *p) {
        assert_return_code(shutdown_open(p->r->shutdown), 0);
        p->shutdown->begun(60 * USEC_PER_SEC, p->r->shutdown);
        turn(p);
}

static void test_the_end_of_a_drain_holds_for_what_could_not_be_ended(void **state) {
        Place *p = *state;

        (void) begin_checkout(p);
        p->refuses = true;
        let_drain_end(p);
        assert_true(p->r->ctx->run.broken);
        repair_store(p);
        assert_end(p, "stopped", NULL, 0);
        assert_never_begun(p);
}

static void test_a_shutdown_holds_for_what_could_not_be_ended(void **state) {
        Place *p = *state;

        (void) begin_checkout(p);
        p->refuses = true;
        begin_shutdown(p);
        assert_true(p->r->ctx->run.broken);
        repair_store(p);
        assert_end(p, "shutdown", NULL, 0);
        assert_never_begun(p);
}

static void test_a_shutdown_that_was_cancelled_stops_nothing(void **state) {
        Place *p = *state;

        (void) begin_checkout(p);
        p->refuses = true;
        begin_shutdown(p);
        p->shutdown->cancelled(p->r->shutdown);
        repair_store(p);
        assert_int_equal(registry_count_live(p->r->conversations), 1);
        assert_int_equal(p->n_checkouts, 2);
}

/* Its stop was not stored. */
static void test_a_shutdown_holds_for_what_runs(void **state) {
        Place *p = *state;
        Conversation *c;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        p->scope = true;
        (void) adopt(p);
        turn(p);
        p->refuses = true;
        begin_shutdown(p);
        runner_store_failed(p->r, -EIO);
        repair_store(p);
        c = registry_find(p->r->conversations, "c-0");
        assert_int_equal(c->stop.cause, STOP_BY_SHUTDOWN);
        assert_string_equal(conversation_state(c), "stopping");
        supervisor_ends(p, "\"signal\":15");
        turn(p);
        assert_end(p, "shutdown", NULL, 2);
}

/* The store has it as it was before the call that it refused. */
static void test_what_the_store_does_not_have_is_not_ended(void **state) {
        Place *p = *state;

        store(p, &(Stored){ .agent = "shell", .state = "live", .driven_state = BEHIND_ONE });
        supervisor_ends(p, "\"exitCode\":0");
        (void) adopt(p);
        turn(p);
        assert_end(p, "completed", NULL, 2);
        p->refuses = true;
        assert_true(try_call(p, "conversation.resume", 0, "") < 0);
        assert_true(p->r->ctx->run.broken);
        p->refuses = false;
        begin_shutdown(p);
        drain_set(p->r->drain, true, 0);
        turn(p);
        repair_store(p);
        assert_end(p, "completed", NULL, 2);
        assert_int_equal(registry_find(p->r->conversations, "c-0")->row.run, 1);
}

/* The runner starts all the same, since the disk may be full for long, and goes on from the rows when there is room. */
static void test_a_runner_starts_with_a_store_that_cannot_be_written(void **state) {
        Place *p = *state;

        store(p, &(Stored){ .agent = "shell", .state = "starting" });
        write_file(p, "started", "{\"version\":1,\"cgroup\":\"" CGROUP "\",\"cwd\":\"/w\"}");
        p->scope = p->refuses = true;
        assert_return_code(runner_begin(p->r), 0);
        turn(p);
        assert_true(p->r->ctx->run.broken && p->r->ctx->run.ready);
        assert_null(p->killed);
        repair_store(p);
        turn(p);
        assert_null(p->killed);
        assert_int_equal(registry_count_live(p->r->conversations), 1);
        assert_int_equal(registry_find(p->r->conversations, "c-0")->row.state, CONVERSATION_LIVE);
        assert_int_equal(count_events(p, "\"conversation.started\""), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_runner_starts_with_a_store_that_cannot_be_written),
                TEST(a_start_that_cannot_be_stored_is_adopted_later),
                TEST(the_end_of_a_drain_holds_for_what_could_not_be_ended),
                TEST(a_shutdown_holds_for_what_could_not_be_ended),
                TEST(a_shutdown_that_was_cancelled_stops_nothing),
                TEST(a_shutdown_holds_for_what_runs),
                TEST(what_the_store_does_not_have_is_not_ended),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
