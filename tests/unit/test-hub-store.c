/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "hub-place.h"
#include "runner/runner-adopt.h"
#include "runner/runner-conversations.h"

/* The hub while its store takes nothing, and afterwards. */

/* A row that is starting, and a `started`: it has begun. */
static void test_a_start_that_cannot_be_stored_is_adopted_later(void **state) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        _cleanup_(run_row_done) RunRow run = {};
        Place *p = *state;

        store(p, &(Stored){ .agent = "shell", .state = "starting" });
        write_file(p, "started", "{\"version\":1,\"cgroup\":\"" CGROUP "\",\"cwd\":\"/w\"}");
        p->scope = p->refuses = true;
        assert_true(runner_adopt(p->r) < 0);
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

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_start_that_cannot_be_stored_is_adopted_later),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
