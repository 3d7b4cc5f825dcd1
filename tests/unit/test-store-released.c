/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/fileio.h"
#include "runner/store/state.h"
#include "runner/store/store-audit.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"
#include "store-test.h"

/* Stores that released runners wrote (tests/upgrade), opened by this one: all that is in them is read, and nothing of it is
 * lost or changed by the steps to the present format. */

static sqlite3 *open_database(Fixture *f, const char *name) {
        _cleanup_free_ char *path = xasprintf("%s/%s", f->path, name);
        sqlite3 *db;

        assert_non_null(path);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        return db;
}

static void run_sql(sqlite3 *db, const char *sql) {
        char *error = NULL;

        if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
                fail_msg("%s: %s", sql, error);
}

/* The store as it was released, as name in the fixture's directory. */
static void lay_down(Fixture *f, const char *name) {
        _cleanup_free_ char *path = xasprintf("%s/d178ae2/store.sql", getenv("NF_UPGRADE"));
        _cleanup_free_ char *sql = NULL;
        sqlite3 *db;

        assert_non_null(path);
        assert_int_equal(read_file_at(AT_FDCWD, path, 16U << 20, &sql, NULL), 0);
        db = open_database(f, name);
        run_sql(db, sql);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The number that a query finds. */
static int64_t number(sqlite3 *db, const char *sql) {
        sqlite3_stmt *st;
        int64_t n;

        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        n = sqlite3_column_int64(st, 0);
        (void) sqlite3_finalize(st);
        return n;
}

/* The columns of a table, with commas. */
static char *columns_of(sqlite3 *db, const char *table) {
        _cleanup_free_ char *sql = xasprintf(
                "SELECT group_concat(name, ',') FROM pragma_table_info('%s', 'released')", table);
        sqlite3_stmt *st;
        char *columns;

        assert_non_null(sql);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        columns = strdup((const char *) sqlite3_column_text(st, 0));
        (void) sqlite3_finalize(st);
        assert_non_null(columns);
        return columns;
}

static void assert_table_kept(sqlite3 *db, const char *table) {
        _cleanup_free_ char *columns = columns_of(db, table);
        _cleanup_free_ char *sql = xasprintf(
                "SELECT count(*) FROM (SELECT %s FROM released.%s EXCEPT SELECT %s FROM main.%s)",
                columns,
                table,
                columns,
                table);
        _cleanup_free_ char *counts = xasprintf(
                "SELECT (SELECT count(*) FROM main.%s) - (SELECT count(*) FROM released.%s)", table, table);

        assert_non_null(sql);
        assert_non_null(counts);
        if (number(db, sql) != 0 || number(db, counts) != 0)
                fail_msg("%s: rows were lost, added or changed", table);
}

static void test_every_row_is_kept(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *attach = xasprintf("ATTACH '%s/released.db' AS released", f->path);
        sqlite3_stmt *st;
        sqlite3 *db;
        int n = 0;

        lay_down(f, "store.db");
        lay_down(f, "released.db");
        open_store(f);
        f->store = store_close(f->store);
        db = open_database(f, "store.db");
        assert_int_equal(number(db, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
        assert_string_equal(sqlite3_errmsg(db), "not an error");
        assert_non_null(attach);
        run_sql(db, attach);
        assert_int_equal(
                sqlite3_prepare_v2(
                        db,
                        "SELECT name FROM released.sqlite_schema WHERE type = 'table'"
                        " AND name NOT LIKE 'sqlite_%'",
                        -1,
                        &st,
                        NULL),
                SQLITE_OK);
        for (; sqlite3_step(st) == SQLITE_ROW; n++)
                assert_table_kept(db, (const char *) sqlite3_column_text(st, 0));
        (void) sqlite3_finalize(st);
        assert_int_equal(n, 11);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- each reader of the store, over all that is there ---- */

typedef struct Walk {
        Store *store;
        sqlite3 *released;
        int conversations, runs, inputs, own_events, inbound, set_aside, audit;
} Walk;

static int64_t count(Walk *w, const char *table) {
        _cleanup_free_ char *sql = xasprintf("SELECT count(*) FROM %s", table);

        assert_non_null(sql);
        return number(w->released, sql);
}

static void assert_text(sqlite3_stmt *st, int column, const char *actual) {
        const char *expected = (const char *) sqlite3_column_text(st, column);

        if (!expected)
                assert_null(actual);
        else {
                assert_non_null(actual);
                assert_string_equal(actual, expected);
        }
}

static int on_input(uint64_t offset, const void *data, size_t size, void *userdata) {
        Walk *w = userdata;

        assert_non_null(data);
        assert_true(size > 0);
        w->inputs++;
        return 0;
}

static void read_own_events(Walk *w, const char *conversation, unsigned run) {
        int64_t seq = 0;
        OwnEvent e = {};

        while (store_next_own_event(w->store, conversation, run, seq, &e) > 0) {
                assert_non_null(e.message_id);
                assert_non_null(e.method);
                assert_non_null(e.members);
                seq = e.seq;
                w->own_events++;
                own_event_done(&e);
        }
}

static void read_run(Walk *w, sqlite3_stmt *st) {
        const char *conversation = (const char *) sqlite3_column_text(st, 0);
        unsigned run = (unsigned) sqlite3_column_int64(st, 1);
        RunRow row;

        assert_int_equal(store_get_run(w->store, conversation, run, &row), 1);
        assert_text(st, 2, row.run_id);
        assert_text(st, 3, run_state_to_string(row.state));
        assert_text(st, 4, row.unit);
        assert_text(st, 5, row.invocation);
        assert_text(st, 6, row.spec);
        assert_true(row.out_bytes == (uint64_t) sqlite3_column_int64(st, 7));
        assert_true(row.started_usec == (uint64_t) sqlite3_column_int64(st, 8));
        assert_true(row.ended_usec == (uint64_t) sqlite3_column_int64(st, 9));
        assert_true(row.driven == (uint64_t) sqlite3_column_int64(st, 10));
        assert_text(st, 11, row.driven_state);
        assert_true(row.acked == (uint64_t) sqlite3_column_int64(st, 12));
        assert_text(st, 13, row.acked_state);
        assert_int_equal(row.acked_own, sqlite3_column_int64(st, 14));
        assert_int_equal(row.delivered, sqlite3_column_int64(st, 15) != 0);
        assert_int_equal(row.conclusion_crashes, 0);
        run_row_done(&row);
        read_own_events(w, conversation, run);
        assert_int_equal(store_unwritten_input(w->store, conversation, run, on_input, w), 0);
        w->runs++;
}

static int on_conversation(const ConversationRow *row, void *userdata) {
        Walk *w = userdata;
        _cleanup_free_ char *sql = xasprintf(
                "SELECT workspace, task, agent, origin, params, session, state, reason, detail, directory, branch,"
                " run, created_usec, ended_usec, delivered FROM conversations WHERE id = '%s'",
                row->id);
        sqlite3_stmt *st;

        assert_non_null(sql);
        assert_int_equal(sqlite3_prepare_v2(w->released, sql, -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        const char *const texts[] = {
                row->workspace,
                row->task,
                row->agent,
                row->origin,
                row->params,
                row->session,
                conversation_state_to_string(row->state),
                end_reason_to_string(row->reason),
                row->detail,
                row->directory,
                row->branch,
        };
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_text(st, (int) i, texts[i]);
        assert_int_equal(row->run, sqlite3_column_int64(st, 11));
        assert_true(row->created_usec == (uint64_t) sqlite3_column_int64(st, 12));
        assert_true(row->ended_usec == (uint64_t) sqlite3_column_int64(st, 13));
        assert_int_equal(row->delivered, sqlite3_column_int64(st, 14) != 0);
        (void) sqlite3_finalize(st);
        w->conversations++;
        return 0;
}

static int on_inbound(const InboundMessage *m, void *userdata) {
        assert_non_null(m->envelope_id);
        assert_non_null(m->method);
        assert_non_null(m->params);
        ((Walk *) userdata)->inbound++;
        return 0;
}

static int on_set_aside(const SetAside *e, void *userdata) {
        assert_non_null(e->message_id);
        assert_non_null(e->json);
        assert_non_null(e->why);
        ((Walk *) userdata)->set_aside++;
        return 0;
}

static int on_audit(const AuditRow *row, void *userdata) {
        assert_non_null(row->kind);
        assert_non_null(row->verdict);
        assert_non_null(row->origin);
        ((Walk *) userdata)->audit++;
        return 0;
}

static void test_every_row_is_read(void **state) {
        Fixture *f = *state;
        Walk w = {};
        sqlite3_stmt *st;

        lay_down(f, "store.db");
        lay_down(f, "released.db");
        open_store(f);
        w.store = f->store;
        w.released = open_database(f, "released.db");

        assert_int_equal(store_list_conversations(f->store, false, on_conversation, &w), 0);
        assert_int_equal(w.conversations, count(&w, "conversations"));
        assert_int_equal(
                sqlite3_prepare_v2(
                        w.released,
                        "SELECT conversation, run, run_id, state, unit, invocation, spec, out_bytes,"
                        " started_usec, ended_usec, driven, driven_state, acked, acked_state, acked_own,"
                        " delivered FROM runs JOIN progress USING (conversation, run)",
                        -1,
                        &st,
                        NULL),
                SQLITE_OK);
        while (sqlite3_step(st) == SQLITE_ROW)
                read_run(&w, st);
        (void) sqlite3_finalize(st);
        read_own_events(&w, "", 0);
        assert_int_equal(w.runs, count(&w, "runs"));
        assert_int_equal(w.own_events, count(&w, "own_events"));
        assert_int_equal(w.inputs, count(&w, "input"));
        assert_int_equal(store_pending_inbound(f->store, NULL, on_inbound, &w), 0);
        assert_int_equal(w.inbound, count(&w, "inbound WHERE done = 0"));
        assert_int_equal(store_list_set_aside(f->store, on_set_aside, &w), 0);
        assert_int_equal(w.set_aside, count(&w, "set_aside"));
        assert_int_equal(store_audit_list(f->store, NULL, 1000, on_audit, &w), 0);
        assert_int_equal(w.audit, count(&w, "audit"));
        /* None of these is there by chance. */
        assert_true(
                w.conversations > 20 && w.runs > 20 && w.own_events > 0 && w.inbound > 2 &&
                w.set_aside == 1 && w.audit > 5);
        assert_int_equal(sqlite3_close(w.released), SQLITE_OK);
}

/* A fixture that lost one of them would test less than it says. */
static void test_every_state_is_there(void **state) {
        static const char *const spellings[][2] = {
                { "conversations WHERE state", "new" },
                { "conversations WHERE state", "checkout" },
                { "conversations WHERE state", "starting" },
                { "conversations WHERE state", "live" },
                { "conversations WHERE state", "ended" },
                { "conversations WHERE reason", "completed" },
                { "conversations WHERE reason", "stopped" },
                { "conversations WHERE reason", "failed" },
                { "conversations WHERE reason", "oom-killed" },
                { "conversations WHERE reason", "timeout" },
                { "conversations WHERE reason", "budget" },
                { "conversations WHERE reason", "agent-exited" },
                { "conversations WHERE reason", "shutdown" },
                { "conversations WHERE reason", "lost" },
                { "conversations WHERE origin", "orchestrator" },
                { "conversations WHERE origin", "local" },
                { "runs WHERE state", "preparing" },
                { "runs WHERE state", "starting" },
                { "runs WHERE state", "live" },
                { "runs WHERE state", "ended" },
        };
        Fixture *f = *state;
        sqlite3 *db;

        lay_down(f, "released.db");
        db = open_database(f, "released.db");
        for (size_t i = 0; i < ELEMENTSOF(spellings); i++) {
                _cleanup_free_ char *sql = xasprintf(
                        "SELECT count(*) FROM %s = '%s'", spellings[i][0], spellings[i][1]);

                assert_non_null(sql);
                if (number(db, sql) == 0)
                        fail_msg("no row has %s = '%s'", spellings[i][0], spellings[i][1]);
        }
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, store_test_set_up, store_test_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_every_row_is_kept),
                TEST(test_every_row_is_read),
                TEST(test_every_state_is_there),
        };

        return cmocka_run_group_tests_name("store-released", tests, NULL, NULL);
}
