/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-internal.h"
#include "runner/store/transaction.h"
#include "store-test.h"

static void test_rollback_undoes_all(void **state) {
        Transaction t = {};
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &t), 0);
        assert_int_equal(store_set(f->store, "cursor", "lost"), 0);
        (void) accept_message(f->store, "m-1", "c-1");
        assert_int_equal(transaction_finish(&t, -EXFULL), -EXFULL);
        assert_value(f->store, "cursor", NULL);
        assert_int_equal(store_is_accepted(f->store, "m-1"), 0);
        /* It is over: to end it again does nothing. */
        assert_int_equal(transaction_finish(&t, 7), 7);
        transaction_done(&t);
        assert_int_equal(store_set(f->store, "cursor", "kept"), 0);
}

static int set_and_leave(Store *s) {
        _cleanup_(transaction_done) Transaction t = {};

        assert_int_equal(transaction_begin(s, &t), 0);
        assert_int_equal(store_set(s, "cursor", "lost"), 0);
        return 0;
}

static void test_what_is_left_is_undone(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(set_and_leave(f->store), 0);
        assert_value(f->store, "cursor", NULL);
        reopen_store(f);
        assert_value(f->store, "cursor", NULL);
}

static void test_transactions_nest(void **state) {
        Transaction outer = {}, inner = {};
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &outer), 0);
        assert_int_equal(transaction_begin(f->store, &inner), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        assert_int_equal(transaction_finish(&inner, 3), 3);
        assert_int_equal(store_set(f->store, "runnerId", "b"), 0);
        assert_int_equal(transaction_finish(&outer, 0), 0);
        reopen_store(f);
        assert_value(f->store, "cursor", "a");
        assert_value(f->store, "runnerId", "b");
}

/* Only the outermost commits: what is inside of it goes with it. */
static void test_the_outer_undoes_the_inner(void **state) {
        Transaction outer = {}, inner = {};
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &outer), 0);
        assert_int_equal(transaction_begin(f->store, &inner), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        assert_int_equal(transaction_finish(&inner, 0), 0);
        assert_int_equal(transaction_finish(&outer, -EIO), -EIO);
        assert_value(f->store, "cursor", NULL);
}

static void test_the_inner_spoils_the_outer(void **state) {
        Transaction outer = {}, inner = {};
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &outer), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        assert_int_equal(transaction_begin(f->store, &inner), 0);
        assert_int_equal(transaction_finish(&inner, -EXFULL), -EXFULL);
        assert_int_equal(store_set(f->store, "cursor", "b"), -EXFULL);
        /* None begins in it any more, and none is open then. */
        assert_int_equal(transaction_begin(f->store, &inner), -EXFULL);
        assert_null(inner.store);
        assert_int_equal(transaction_finish(&inner, -ENOMEM), -ENOMEM);
        assert_int_equal(transaction_finish(&outer, 0), -EXFULL);
        assert_value(f->store, "cursor", NULL);
        assert_int_equal(store_set(f->store, "cursor", "c"), 0);
}

static void test_an_inner_that_is_left_spoils_the_outer(void **state) {
        Transaction outer = {};
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &outer), 0);
        assert_int_equal(set_and_leave(f->store), 0);
        assert_int_equal(store_set(f->store, "cursor", "b"), -ECANCELED);
        assert_int_equal(transaction_finish(&outer, 0), -ECANCELED);
        assert_value(f->store, "cursor", NULL);
}

static void test_error_spoils_the_transaction(void **state) {
        Transaction t = {};
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &t), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        assert_int_equal(store_set_driven(f->store, "no-such", 1, 10, "{}"), -ENOENT);
        assert_int_equal(store_set(f->store, "cursor", "b"), -ENOENT);
        assert_int_equal(transaction_finish(&t, 0), -ENOENT);
        assert_value(f->store, "cursor", NULL);
}

static int refuse_commit(void *userdata) {
        return 1;
}

static void test_a_commit_that_fails_undoes_all(void **state) {
        Transaction t = {};
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &t), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        (void) sqlite3_commit_hook(f->store->db, refuse_commit, NULL);
        assert_true(transaction_finish(&t, 0) < 0);
        (void) sqlite3_commit_hook(f->store->db, NULL, NULL);
        assert_null(t.store);
        assert_value(f->store, "cursor", NULL);
        /* The next one is not hurt. */
        assert_int_equal(transaction_begin(f->store, &t), 0);
        assert_int_equal(store_set(f->store, "cursor", "b"), 0);
        assert_int_equal(transaction_finish(&t, 0), 0);
        reopen_store(f);
        assert_value(f->store, "cursor", "b");
}

static void test_a_begin_that_fails_begins_nothing(void **state) {
        Transaction t = {};
        Fixture *f = *state;

        open_store(f);
        /* The database has one already, of which the store knows nothing. */
        assert_int_equal(sqlite3_exec(f->store->db, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(transaction_begin(f->store, &t), -EIO);
        assert_null(t.store);
        assert_int_equal(f->store->depth, 0);
        assert_int_equal(transaction_finish(&t, -EIO), -EIO);
        assert_int_equal(sqlite3_exec(f->store->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(transaction_begin(f->store, &t), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        assert_int_equal(transaction_finish(&t, 0), 0);
        assert_value(f->store, "cursor", "a");
}

static void test_close_rolls_back(void **state) {
        Transaction t = {};
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &t), 0);
        assert_int_equal(store_set(f->store, "cursor", "a"), 0);
        reopen_store(f);
        assert_value(f->store, "cursor", NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_rollback_undoes_all),
                CASE(test_what_is_left_is_undone),
                CASE(test_transactions_nest),
                CASE(test_the_outer_undoes_the_inner),
                CASE(test_the_inner_spoils_the_outer),
                CASE(test_an_inner_that_is_left_spoils_the_outer),
                CASE(test_error_spoils_the_transaction),
                CASE(test_a_commit_that_fails_undoes_all),
                CASE(test_a_begin_that_fails_begins_nothing),
                CASE(test_close_rolls_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
