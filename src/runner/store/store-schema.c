/* SPDX-License-Identifier: MIT */
#include "common/ident.h"
#include "runner/store/store-schema.h"
#include "runner/store/store-statement.h"
#include "runner/store/transaction.h"

/* "NFRS" in SQLite's header (file(1) and sqlite3 show it): distinguishes a store from other databases. */
#define APPLICATION_ID INT64_C(0x4e465253)

/* seq columns that are handed out are AUTOINCREMENT: a number is never given twice, whatever was deleted. */
static const char schema_1[] =
        "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;"

        "CREATE TABLE inbound ("
        "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  envelope_id TEXT NOT NULL UNIQUE,"
        "  conversation TEXT,"
        "  method TEXT NOT NULL,"
        "  params TEXT," /* NULL once nothing is left to do: messages may be large, ids are kept for days */
        "  request_id TEXT,"
        "  response TEXT,"
        "  received_usec INTEGER NOT NULL,"
        "  done INTEGER NOT NULL);"
        "CREATE INDEX inbound_pending ON inbound (conversation, seq) WHERE done = 0;"
        "CREATE INDEX inbound_pending_all ON inbound (seq) WHERE done = 0;"
        "CREATE INDEX inbound_conversation ON inbound (conversation) WHERE conversation IS NOT NULL;"

        /* Responses to send, in the order in which they became known. */
        "CREATE TABLE responses ("
        "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  inbound INTEGER NOT NULL UNIQUE);"

        "CREATE TABLE conversations ("
        "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  id TEXT NOT NULL UNIQUE,"
        "  workspace TEXT, task TEXT, agent TEXT, origin TEXT,"
        "  params TEXT, session TEXT, state TEXT NOT NULL, reason TEXT, detail TEXT,"
        "  directory TEXT, branch TEXT,"
        "  run INTEGER NOT NULL, created_usec INTEGER NOT NULL, ended_usec INTEGER NOT NULL,"
        "  delivered INTEGER NOT NULL);"
        "CREATE INDEX conversations_live ON conversations (seq) WHERE state <> 'ended' OR delivered = 0;"

        /* What changes with every batch of output stands apart from the large and steady part. */
        "CREATE TABLE runs ("
        "  conversation TEXT NOT NULL, run INTEGER NOT NULL,"
        "  run_id TEXT NOT NULL, state TEXT NOT NULL, unit TEXT, invocation TEXT, spec TEXT,"
        "  out_bytes INTEGER NOT NULL, started_usec INTEGER NOT NULL, ended_usec INTEGER NOT NULL,"
        "  UNIQUE (conversation, run));"
        "CREATE TABLE progress ("
        "  conversation TEXT NOT NULL, run INTEGER NOT NULL,"
        "  driven INTEGER NOT NULL, driven_state TEXT,"
        "  acked INTEGER NOT NULL, acked_state TEXT, acked_own INTEGER NOT NULL, delivered INTEGER NOT NULL,"
        "  UNIQUE (conversation, run));"

        /* Lines for in.log that may be missing there; of the others only the sums are kept. */
        "CREATE TABLE input ("
        "  conversation TEXT NOT NULL, run INTEGER NOT NULL,"
        "  at INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL,"
        "  UNIQUE (conversation, run, at));"
        "CREATE TABLE input_size ("
        "  conversation TEXT NOT NULL, run INTEGER NOT NULL,"
        "  total INTEGER NOT NULL, written INTEGER NOT NULL,"
        "  PRIMARY KEY (conversation, run)) WITHOUT ROWID;"

        "CREATE TABLE own_events ("
        "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  conversation TEXT NOT NULL, run INTEGER NOT NULL, at_offset INTEGER NOT NULL,"
        "  message_id TEXT, method TEXT NOT NULL, members TEXT NOT NULL);"
        "CREATE INDEX own_events_run ON own_events (conversation, run, seq);"

        "CREATE TABLE set_aside ("
        "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  message_id TEXT NOT NULL, conversation TEXT, json BLOB NOT NULL, why TEXT, when_usec INTEGER NOT NULL);";

static const char schema_2[] =
        "CREATE TABLE audit ("
        "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  minor INTEGER NOT NULL, when_usec INTEGER NOT NULL,"
        "  kind TEXT NOT NULL, verdict TEXT NOT NULL, origin TEXT NOT NULL,"
        "  uid INTEGER NOT NULL, pid INTEGER NOT NULL, comm TEXT, unit TEXT,"
        "  method TEXT, conversation TEXT, detail TEXT, count INTEGER NOT NULL);"
        "CREATE INDEX audit_minor ON audit (minor, seq);"
        "CREATE INDEX audit_conversation ON audit (conversation, seq) WHERE conversation IS NOT NULL;";

static const char schema_3[] = "ALTER TABLE runs ADD COLUMN conclusion_crashes INTEGER NOT NULL DEFAULT 0;";

static int upgrade_to_1(Store *s) {
        char id[UUID_SIZE];
        int r;

        r = store_execute_script(s, schema_1);
        if (r < 0)
                return r;
        uuid_make(id);
        return store_set(s, "storeId", id);
}

static int upgrade_to_2(Store *s) {
        return store_execute_script(s, schema_2);
}

static int upgrade_to_3(Store *s) {
        return store_execute_script(s, schema_3);
}

/* The driver of Claude Code saves states that a program of version 3 cannot read: where they stand is as before. */
static int upgrade_to_4(Store *s) {
        return 0;
}

/* upgrades[n] brings a store from version n to n + 1; all that are needed run in one transaction. */
static int (*const upgrades[])(Store *s) = {
        upgrade_to_1,
        upgrade_to_2,
        upgrade_to_3,
        upgrade_to_4,
};
static_assert(ELEMENTSOF(upgrades) == STORE_SCHEMA_VERSION, "one upgrade for each version");

static int query_int(Store *s, const char *sql, int64_t *ret) {
        sqlite3_stmt *stmt;
        int result;

        result = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
        if (result != SQLITE_OK)
                return store_error(s, result);
        result = sqlite3_step(stmt);
        if (result == SQLITE_ROW)
                *ret = sqlite3_column_int64(stmt, 0);
        (void) sqlite3_finalize(stmt);
        return result == SQLITE_ROW ? 0 : result == SQLITE_DONE ? -EUCLEAN : store_error(s, result);
}

static int upgrade(Store *s, int64_t version) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *sql = NULL;
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        for (int64_t v = version; v < STORE_SCHEMA_VERSION && r >= 0; v++)
                r = upgrades[v](s);
        if (r >= 0) {
                sql = xasprintf(
                        "PRAGMA application_id = %lld; PRAGMA user_version = %d;",
                        (long long) APPLICATION_ID,
                        STORE_SCHEMA_VERSION);
                r = sql ? store_execute_script(s, sql) : -ENOMEM;
        }
        return transaction_finish(&t, r);
}

int store_schema_prepare(Store *s, const char *path, char **ret_error) {
        int64_t version = 0, application = 0, tables = 0;
        int r;

        r = query_int(s, "PRAGMA user_version", &version);
        if (r >= 0)
                r = query_int(s, "PRAGMA application_id", &application);
        if (r >= 0)
                r = query_int(s, "SELECT count(*) FROM sqlite_schema", &tables);
        if (r < 0)
                return r;
        if (application != APPLICATION_ID && (tables > 0 || version != 0)) {
                *ret_error = xasprintf("%s is a database of another program", path);
                return -EMEDIUMTYPE;
        }
        if (version > STORE_SCHEMA_VERSION) {
                *ret_error = xasprintf(
                        "%s was written by a newer northflare-runner (format %lld, this one supports up to %d)",
                        path,
                        (long long) version,
                        STORE_SCHEMA_VERSION);
                return -EPROTONOSUPPORT;
        }
        if (version < 0) {
                *ret_error = xasprintf("%s has the invalid format %lld", path, (long long) version);
                return -EMEDIUMTYPE;
        }
        return version < STORE_SCHEMA_VERSION ? upgrade(s, version) : 0;
}
