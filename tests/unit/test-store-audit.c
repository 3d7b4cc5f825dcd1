/* SPDX-License-Identifier: MIT */
/* The audit record, and the upgrade of a store that has none yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/buffer.h"
#include "runner/agent/driver.h"
#include "runner/store/store-audit.h"
#include "runner/store/store-conversation.h"
#include "runner/store/transaction.h"
#include "store-test.h"

static void run_sql(Fixture *f, const char *sql) {
        _cleanup_free_ char *path = xasprintf("%s/store.db", f->path);
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* What version 4 has and version 3 had not, and so on. */
#define MAKE_VERSION_3 "PRAGMA user_version = 3;"
#define MAKE_VERSION_2 \
        MAKE_VERSION_3 "ALTER TABLE runs DROP COLUMN conclusion_crashes; PRAGMA user_version = 2;"
#define MAKE_VERSION_1 MAKE_VERSION_2 "DROP TABLE audit; PRAGMA user_version = 1;"

static int count_audit(const AuditRow *row, void *userdata) {
        ++*(unsigned *) userdata;
        return 0;
}

static void test_upgrade_keeps_everything(void **state) {
        _cleanup_free_ char *value = NULL;
        Fixture *f = *state;
        unsigned n = 0;

        open_store(f);
        assert_int_equal(store_set(f->store, "runnerId", "r-1"), 0);
        f->store = store_close(f->store);
        run_sql(f, MAKE_VERSION_1);
        open_store(f);
        assert_int_equal(store_get(f->store, "runnerId", &value), 1);
        assert_string_equal(value, "r-1");
        assert_int_equal(store_audit_list(f->store, NULL, 10, count_audit, &n), 0);
        assert_int_equal(n, 0);
}

static void test_upgrade_counts_no_crash_of_older_runs(void **state) {
        Fixture *f = *state;
        RunRow row = {};

        open_store(f);
        put_run(f->store, "c-1", 1);
        f->store = store_close(f->store);
        run_sql(f, MAKE_VERSION_2);
        open_store(f);
        assert_int_equal(store_get_run(f->store, "c-1", 1, &row), 1);
        assert_int_equal(row.conclusion_crashes, 0);
        run_row_done(&row);
}

static int64_t version_of(Fixture *f) {
        _cleanup_free_ char *path = xasprintf("%s/store.db", f->path);
        sqlite3_stmt *stmt;
        int64_t version;
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        version = sqlite3_column_int64(stmt, 0);
        assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return version;
}

/* What a program of before that one cannot read may be in it from now on, so it must not open it. */
static void test_upgrade_shuts_out_older_programs(void **state) {
        _cleanup_free_ char *value = NULL;
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_set(f->store, "runnerId", "r-1"), 0);
        f->store = store_close(f->store);
        run_sql(f, MAKE_VERSION_3);
        open_store(f);
        assert_int_equal(store_get(f->store, "runnerId", &value), 1);
        f->store = store_close(f->store);
        assert_int_equal(version_of(f), 4);
        open_store(f);
}

/* The states of drivers are a part of the store, and have versions of their own. Whoever changes a number here gives the store
 * another one too. */
static void test_states_of_drivers_go_with_the_store(void **state) {
        static const struct {
                const char *driver;
                uint64_t version;
        } states[] = {
                { "shell", 1 },
                { "claude", 2 },
        };

        assert_int_equal(STORE_SCHEMA_VERSION, 4);
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                _cleanup_(driver_freep) Driver *d = NULL;
                _cleanup_json_ Json *spec = json_object_new_object(), *saved = NULL;
                uint64_t version = 0;

                assert_int_equal(driver_find(states[i].driver)->new (spec, &d), 0);
                assert_int_equal(d->ops->save(d, &saved), 0);
                assert_int_equal(json_get_u64(saved, "version", &version), 1);
                assert_int_equal(version, states[i].version);
        }
}

/* A step of an upgrade that fails takes those before it back: the next start finds what this one found. */
static void test_failed_upgrade_changes_nothing(void **state) {
        _cleanup_(store_closep) Store *store = NULL;
        _cleanup_free_ char *error = NULL;
        Fixture *f = *state;

        open_store(f);
        f->store = store_close(f->store);
        run_sql(f, MAKE_VERSION_1 "CREATE TABLE t (x); CREATE INDEX audit_conversation ON t (x);");
        assert_true(store_open(f->fd, f->path, &store, &error) < 0);
        assert_non_null(error);
        run_sql(f, "DROP TABLE t; CREATE TABLE audit (must_not_be_there_yet);");
        run_sql(f, "DROP TABLE audit;");
        open_store(f);
}

static void add_audit(Fixture *f, const char *conversation, bool minor, const char *detail) {
        AuditRow row = {
                .when_usec = 5,
                .minor = minor,
                .kind = "call",
                .verdict = minor ? "refused" : "allowed",
                .origin = "dbus",
                .uid = 1000,
                .pid = 7,
                .comm = "northflarectl",
                .method = "Stop",
                .conversation = conversation,
                .detail = detail,
                .count = 3,
        };

        assert_int_equal(store_audit_add(f->store, &row), 0);
}

static int audit_details(const AuditRow *row, void *userdata) {
        assert_string_equal(row->kind, "call");
        assert_string_equal(row->verdict, row->minor ? "refused" : "allowed");
        assert_string_equal(row->comm, "northflarectl");
        assert_null(row->unit);
        assert_int_equal(row->uid, 1000);
        assert_int_equal(row->pid, 7);
        assert_int_equal(row->when_usec, 5);
        assert_int_equal(row->count, 3);
        return buffer_append_str(userdata, strempty(row->detail));
}

static void test_audit(void **state) {
        _cleanup_buffer_ Buffer all = {}, newest = {}, one = {};
        Fixture *f = *state;

        open_store(f);
        add_audit(f, NULL, false, "a");
        add_audit(f, "c-1", true, "b");
        add_audit(f, "c-2", false, "c");
        add_audit(f, "c-1", false, "d");
        assert_int_equal(store_audit_list(f->store, NULL, 10, audit_details, &all), 0);
        assert_string_equal(all.data, "abcd");
        assert_int_equal(store_audit_list(f->store, NULL, 2, audit_details, &newest), 0);
        assert_string_equal(newest.data, "cd");
        assert_int_equal(store_audit_list(f->store, "c-1", 10, audit_details, &one), 0);
        assert_string_equal(one.data, "bd");
}

/* So many refusals do not push out what was done. */
static void test_audit_is_bounded(void **state) {
        _cleanup_(transaction_done) Transaction t = {};
        Fixture *f = *state;
        unsigned n = 0;

        open_store(f);
        add_audit(f, "c-1", false, "done");
        assert_int_equal(transaction_begin(f->store, &t), 0);
        for (unsigned i = 0; i < STORE_AUDIT_MAX + 50; i++)
                add_audit(f, NULL, true, NULL);
        assert_int_equal(transaction_finish(&t, 0), 0);
        assert_int_equal(store_audit_list(f->store, NULL, 3 * STORE_AUDIT_MAX, count_audit, &n), 0);
        assert_int_equal(n, STORE_AUDIT_MAX + 1);
        n = 0;
        assert_int_equal(store_audit_list(f->store, "c-1", 10, count_audit, &n), 0);
        assert_int_equal(n, 1);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                CASE(test_upgrade_keeps_everything),
                CASE(test_upgrade_counts_no_crash_of_older_runs),
                CASE(test_upgrade_shuts_out_older_programs),
                CASE(test_states_of_drivers_go_with_the_store),
                CASE(test_failed_upgrade_changes_nothing),
                CASE(test_audit),
                CASE(test_audit_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
