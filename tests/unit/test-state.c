/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runner/store/state-step.h"
#include "runner/store/state.h"
#include "runner/store/store-internal.h"
#include "store-test.h"

/* States and reasons: how they are spelled, which may follow which, and what becomes of a spelling that nobody knows. */

/* ---- spellings ---- */

static void test_every_conversation_state_is_read_as_it_is_written(void **state) {
        static const char *const spellings[] = { "new", "checkout", "starting", "live", "ended", "unknown" };

        assert_int_equal(ELEMENTSOF(spellings), _CONVERSATION_STATE_MAX);
        for (ConversationState s = 0; s < _CONVERSATION_STATE_MAX; s++) {
                assert_string_equal(conversation_state_to_string(s), spellings[s]);
                assert_int_equal(conversation_state_from_string(spellings[s]), s);
        }
        assert_int_equal(conversation_state_from_string("hibernating"), CONVERSATION_UNKNOWN);
        assert_int_equal(conversation_state_from_string("Live"), CONVERSATION_UNKNOWN);
        assert_int_equal(conversation_state_from_string(""), CONVERSATION_UNKNOWN);
        assert_int_equal(conversation_state_from_string(NULL), CONVERSATION_UNKNOWN);
}

static void test_every_run_state_is_read_as_it_is_written(void **state) {
        static const char *const spellings[] = { "preparing", "starting", "live", "ended", "unknown" };

        assert_int_equal(ELEMENTSOF(spellings), _RUN_STATE_MAX);
        for (RunState s = 0; s < _RUN_STATE_MAX; s++) {
                assert_string_equal(run_state_to_string(s), spellings[s]);
                assert_int_equal(run_state_from_string(spellings[s]), s);
        }
        assert_int_equal(run_state_from_string("hibernating"), RUN_UNKNOWN);
        assert_int_equal(run_state_from_string(NULL), RUN_UNKNOWN);
}

/* Where the row of a run was missing, programs before this one put one with the state of its conversation. */
static void test_a_run_may_be_stored_with_the_state_of_its_conversation(void **state) {
        static const RunState states[] = {
                RUN_PREPARING, RUN_PREPARING, RUN_STARTING, RUN_LIVE, RUN_ENDED, RUN_UNKNOWN,
        };

        for (ConversationState s = 0; s < _CONVERSATION_STATE_MAX; s++) {
                assert_int_equal(run_state_from_string(conversation_state_to_string(s)), states[s]);
                assert_int_equal(run_state_of_conversation(s), states[s]);
        }
}

static void test_every_reason_is_read_as_it_is_written(void **state) {
        static const char *const spellings[] = {
                "completed",    "stopped", "timeout",    "budget",   "failed",
                "agent-exited", "lost",    "oom-killed", "shutdown", "unknown",
        };

        assert_int_equal(ELEMENTSOF(spellings) + 1, _END_REASON_MAX);
        for (size_t i = 0; i < ELEMENTSOF(spellings); i++) {
                EndReason r = (EndReason) (i + 1);

                assert_string_equal(end_reason_to_string(r), spellings[i]);
                assert_int_equal(end_reason_from_string(spellings[i]), r);
        }
        assert_null(end_reason_to_string(END_NONE));
        assert_int_equal(end_reason_from_string(NULL), END_NONE);
        assert_int_equal(end_reason_from_string(""), END_UNKNOWN);
        assert_int_equal(end_reason_from_string("exploded"), END_UNKNOWN);
}

static void test_every_cause_of_a_stop_is_read_as_it_is_written(void **state) {
        for (StopCause c = STOP_BY_NONE + 1; c < _STOP_CAUSE_MAX; c++)
                assert_int_equal(stop_cause_from_string(stop_cause_to_string(c)), c);
        assert_null(stop_cause_to_string(STOP_BY_NONE));
        assert_int_equal(stop_cause_from_string("thunder"), STOP_BY_UNKNOWN);
        assert_int_equal(stop_cause_from_string(NULL), STOP_BY_UNKNOWN);
}

/* ---- steps ---- */

static void test_which_state_of_a_conversation_may_follow_which(void **state) {
        static const char allowed[_CONVERSATION_STATE_MAX][_CONVERSATION_STATE_MAX + 1] = {
                /* new, checkout, starting, live, ended, unknown */
                [CONVERSATION_NEW] = "-xx-x-",      [CONVERSATION_CHECKOUT] = "-xx-x-",
                [CONVERSATION_STARTING] = "--xxx-", [CONVERSATION_LIVE] = "--x-x-",
                [CONVERSATION_ENDED] = "x-----",    [CONVERSATION_UNKNOWN] = "----x-",
        };

        for (ConversationState from = 0; from < _CONVERSATION_STATE_MAX; from++)
                for (ConversationState to = 0; to < _CONVERSATION_STATE_MAX; to++)
                        if (conversation_state_may_become(from, to) != (allowed[from][to] == 'x'))
                                fail_msg(
                                        "%s to %s",
                                        conversation_state_to_string(from),
                                        conversation_state_to_string(to));
}

static void test_which_state_of_a_run_may_follow_which(void **state) {
        static const char allowed[_RUN_STATE_MAX][_RUN_STATE_MAX + 1] = {
                /* preparing, starting, live, ended, unknown */
                [RUN_PREPARING] = "-xxx-", [RUN_STARTING] = "-xxx-", [RUN_LIVE] = "x--x-",
                [RUN_ENDED] = "-----",     [RUN_UNKNOWN] = "---x-",
        };

        for (RunState from = 0; from < _RUN_STATE_MAX; from++)
                for (RunState to = 0; to < _RUN_STATE_MAX; to++)
                        if (run_state_may_become(from, to) != (allowed[from][to] == 'x'))
                                fail_msg("%s to %s", run_state_to_string(from), run_state_to_string(to));
}

static void test_an_end_has_one_reason_until_it_is_resumed(void **state) {
        for (EndReason from = 0; from < _END_REASON_MAX; from++)
                for (EndReason to = 0; to < _END_REASON_MAX; to++) {
                        bool expected = from == END_NONE ? to != END_NONE && to != END_UNKNOWN :
                                from == END_UNKNOWN      ? to == END_NONE || to == END_LOST :
                                                           to == END_NONE;

                        if (end_reason_may_become(from, to) != expected)
                                fail_msg("reason %d to %d", (int) from, (int) to);
                }
}

static void carry_out_forbidden_steps(void) {
        ConversationRow c = { .id = (char *) "c-1", .state = CONVERSATION_ENDED, .reason = END_LOST };
        RunRow r = { .conversation = (char *) "c-1", .state = RUN_ENDED };

        conversation_row_set_state(&c, CONVERSATION_LIVE);
        assert_int_equal(c.state, CONVERSATION_LIVE);
        conversation_row_set_reason(&c, END_STOPPED);
        assert_int_equal(c.reason, END_STOPPED);
        run_row_set_state(&r, RUN_LIVE);
        assert_int_equal(r.state, RUN_LIVE);
}

static char *stderr_of(void (*function)(void)) {
        int saved = dup(STDERR_FILENO);
        FILE *f = tmpfile();
        char text[1024];
        size_t n;

        assert_non_null(f);
        assert_true(dup2(fileno(f), STDERR_FILENO) >= 0);
        function();
        (void) fflush(stderr);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        (void) close(saved);
        rewind(f);
        n = fread(text, 1, sizeof(text) - 1, f);
        text[n] = 0;
        (void) fclose(f);
        return strdup(text);
}

static void test_a_forbidden_step_is_logged_and_carried_out(void **state) {
        _cleanup_free_ char *text = NULL;

        state_steps_set_critical(false);
        text = stderr_of(carry_out_forbidden_steps);
        assert_non_null(strstr(text, "err "));
        assert_non_null(strstr(text, "Forbidden step: state of conversation c-1 from ended to live."));
        assert_non_null(strstr(text, "Forbidden step: reason of conversation c-1 from lost to stopped."));
        assert_non_null(strstr(text, "Forbidden step: run of conversation c-1 from ended to live."));
}

static void test_a_forbidden_step_aborts_where_it_is_critical(void **state) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                (void) signal(SIGABRT, SIG_DFL);
                state_steps_set_critical(true);
                conversation_row_set_state(
                        &(ConversationRow){ .id = (char *) "c-1", .state = CONVERSATION_ENDED },
                        CONVERSATION_LIVE);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void carry_out_allowed_steps(void) {
        ConversationRow c = { .id = (char *) "c-1" };
        RunRow r = { .conversation = (char *) "c-1" };

        conversation_row_set_state(&c, CONVERSATION_CHECKOUT);
        conversation_row_set_state(&c, CONVERSATION_STARTING);
        run_row_set_state(&r, RUN_STARTING);
        run_row_set_state(&r, RUN_LIVE);
        conversation_row_set_state(&c, CONVERSATION_LIVE);
        run_row_set_state(&r, RUN_ENDED);
        conversation_row_set_state(&c, CONVERSATION_ENDED);
        conversation_row_set_reason(&c, END_COMPLETED);
        conversation_row_set_state(&c, CONVERSATION_NEW);
        conversation_row_set_reason(&c, END_NONE);
}

static void test_nothing_is_said_of_a_step_that_is_allowed(void **state) {
        _cleanup_free_ char *text = NULL;

        state_steps_set_critical(true);
        text = stderr_of(carry_out_allowed_steps);
        assert_string_equal(text, "");
}

/* ---- the store ---- */

static void sql(Store *s, const char *text) {
        assert_int_equal(sqlite3_exec(s->db, text, NULL, NULL, NULL), SQLITE_OK);
}

static void test_the_store_has_every_state_and_reason_as_text(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = NULL;
        ConversationRow c = conversation("c-1");
        RunRow r = {
                .conversation = (char *) "c-1", .run = 1, .spec = (char *) "{}", .state = RUN_STARTING
        };
        sqlite3_stmt *stmt;

        c.state = CONVERSATION_CHECKOUT;
        c.reason = END_OOM_KILLED;
        open_store(f);
        assert_int_equal(store_put_conversation(f->store, &c), 0);
        assert_int_equal(store_put_run(f->store, &r), 0);
        assert_int_equal(
                sqlite3_prepare_v2(
                        f->store->db,
                        "SELECT c.state || ' ' || c.reason || ' ' || r.state FROM conversations c, runs r",
                        -1,
                        &stmt,
                        NULL),
                SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        text = strdup((const char *) sqlite3_column_text(stmt, 0));
        (void) sqlite3_finalize(stmt);
        assert_string_equal(text, "checkout oom-killed starting");
}

static int see_unknown(const ConversationRow *r, void *userdata) {
        Seen *s = userdata;

        assert_string_equal(r->unknown, "hibernating");
        assert_int_equal(r->state, CONVERSATION_UNKNOWN);
        s->n++;
        return 0;
}

static void test_a_spelling_that_is_not_known_is_read_with_its_text(void **state) {
        _cleanup_(conversation_row_done) ConversationRow out = {};
        Fixture *f = *state;
        ConversationRow in = conversation("c-1");
        RunRow run = {};
        Seen seen = {};

        open_store(f);
        assert_int_equal(store_put_conversation(f->store, &in), 0);
        put_run(f->store, "c-1", 1);
        assert_int_equal(store_get_run(f->store, "c-1", 1, &run), 1);
        assert_null(run.unknown);
        run_row_done(&run);
        sql(f->store, "UPDATE runs SET state = 'dozing'");
        assert_int_equal(store_get_run(f->store, "c-1", 1, &run), 1);
        assert_int_equal(run.state, RUN_UNKNOWN);
        assert_string_equal(run.unknown, "dozing");
        run_row_done(&run);

        sql(f->store, "UPDATE conversations SET reason = 'exploded'");
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 1);
        assert_int_equal(out.state, CONVERSATION_LIVE);
        assert_int_equal(out.reason, END_UNKNOWN);
        assert_string_equal(out.unknown, "exploded");
        conversation_row_done(&out);
        sql(f->store, "UPDATE conversations SET state = 'hibernating'");
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 1);
        assert_int_equal(out.state, CONVERSATION_UNKNOWN);
        assert_string_equal(out.unknown, "hibernating");
        assert_int_equal(store_list_conversations(f->store, true, see_unknown, &seen), 0);
        assert_int_equal(seen.n, 1);
}

#define STORE_TEST(name) \
        cmocka_unit_test_setup_teardown(test_##name, store_test_set_up, store_test_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_conversation_state_is_read_as_it_is_written),
                cmocka_unit_test(test_every_run_state_is_read_as_it_is_written),
                cmocka_unit_test(test_a_run_may_be_stored_with_the_state_of_its_conversation),
                cmocka_unit_test(test_every_reason_is_read_as_it_is_written),
                cmocka_unit_test(test_every_cause_of_a_stop_is_read_as_it_is_written),
                cmocka_unit_test(test_which_state_of_a_conversation_may_follow_which),
                cmocka_unit_test(test_which_state_of_a_run_may_follow_which),
                cmocka_unit_test(test_an_end_has_one_reason_until_it_is_resumed),
                cmocka_unit_test(test_a_forbidden_step_is_logged_and_carried_out),
                cmocka_unit_test(test_a_forbidden_step_aborts_where_it_is_critical),
                cmocka_unit_test(test_nothing_is_said_of_a_step_that_is_allowed),
                STORE_TEST(the_store_has_every_state_and_reason_as_text),
                STORE_TEST(a_spelling_that_is_not_known_is_read_with_its_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
