/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runner/link/decision.h"

/* The table of docs/protocol.md, row by row: 0 no, 1 yes, -1 whatever. The first row that fits decides. */
typedef struct Row {
        int accepted, runner, addressee, names, here, creates, active, can_claim;
        Decision decision;
} Row;

static const Row table[] = {
        { 1, -1, -1, -1, -1, -1, -1, -1, DECISION_SKIP_DUPLICATE },
        { -1, 1, -1, -1, -1, -1, -1, -1, DECISION_PROCESS },
        { -1, -1, ADDRESSEE_OTHER, 0, -1, -1, -1, -1, DECISION_SKIP_NOT_MINE },
        { -1, -1, ADDRESSEE_OTHER, 1, 0, -1, -1, -1, DECISION_SKIP_NOT_MINE },
        { -1, -1, -1, 1, 1, -1, -1, -1, DECISION_PROCESS },
        { -1, -1, -1, -1, -1, 1, 0, -1, DECISION_SKIP_NOT_ACTIVE },
        { -1, -1, -1, -1, -1, 1, 1, 1, DECISION_CLAIM },
        { -1, -1, -1, -1, -1, 1, 1, 0, DECISION_PROCESS },
        { -1, -1, ADDRESSEE_ANY, 1, 0, 0, -1, -1, DECISION_SKIP_NOT_MINE },
        { -1, -1, ADDRESSEE_SELF, 1, 0, 0, -1, -1, DECISION_ANSWER_UNKNOWN },
        { -1, -1, ADDRESSEE_SELF, 0, -1, 0, -1, -1, DECISION_PROCESS },
        { -1, -1, ADDRESSEE_ANY, 0, -1, 0, 1, -1, DECISION_PROCESS },
        { -1, -1, ADDRESSEE_ANY, 0, -1, 0, 0, -1, DECISION_SKIP_NOT_MINE },
};

static bool fits(int wanted, int is) {
        return wanted < 0 || wanted == is;
}

static void test_all(void **state) {
        bool used[ELEMENTSOF(table)] = {};

        for (unsigned bits = 0; bits < 128; bits++)
                for (int a = 0; a < _ADDRESSEE_MAX; a++) {
                        const DecisionInput in = {
                                .accepted = bits & 1,
                                .is_runner_method = bits & 2,
                                .addressee = (Addressee) a,
                                .names_conversation = bits & 4,
                                .is_here = bits & 8,
                                .creates_work = bits & 16,
                                .is_active = bits & 32,
                                .can_claim = bits & 64,
                        };
                        const char *reason = NULL;
                        size_t i;

                        for (i = 0; i < ELEMENTSOF(table); i++)
                                if (fits(table[i].accepted, in.accepted) &&
                                    fits(table[i].runner, in.is_runner_method) &&
                                    fits(table[i].addressee, a) &&
                                    fits(table[i].names, in.names_conversation) &&
                                    fits(table[i].here, in.is_here) &&
                                    fits(table[i].creates, in.creates_work) &&
                                    fits(table[i].active, in.is_active) &&
                                    fits(table[i].can_claim, in.can_claim))
                                        break;
                        assert_true(i < ELEMENTSOF(table));
                        used[i] = true;
                        assert_int_equal(decide(&in, &reason), table[i].decision);
                        assert_non_null(reason);
                        assert_int_equal(decide(&in, NULL), table[i].decision);
                }
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_true(used[i]);
}

static void test_names(void **state) {
        for (int d = 0; d < _DECISION_MAX; d++)
                assert_non_null(decision_to_string((Decision) d));
        assert_null(decision_to_string(_DECISION_MAX));
}

static void test_methods(void **state) {
        assert_true(method_creates_work("conversation.start"));
        assert_true(method_creates_work("conversation.resume"));
        assert_true(method_creates_work("git.operation"));
        assert_false(method_creates_work("message.user"));
        assert_false(method_creates_work("conversation.stop"));
        assert_false(method_creates_work("conversation.start2"));
        assert_false(method_creates_work(""));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_methods),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
