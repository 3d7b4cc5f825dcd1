/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fileio.h"
#include "orchestrator/hub/database.h"

#define SCHEMA_VERSION 1

/* Times are CLOCK_REALTIME microseconds.
 *
 * messages: what goes to runners. n is the order in which they were made, seq the place in the delivery order and the
 * cursor on the wire: NULL as long as a message waits for its conversation to be claimed, and a new one when it is
 * addressed to another runner, so that a stream that has gone past the old place still gets it.
 * events: what came from runners, once for each (runner, message_id). */
static const char schema[] =
        "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
        "CREATE TABLE tokens(id TEXT PRIMARY KEY, name TEXT, hash TEXT NOT NULL UNIQUE,"
        " created INTEGER NOT NULL, used INTEGER, revoked INTEGER);"
        "CREATE TABLE runners(uid TEXT PRIMARY KEY, runner_id TEXT NOT NULL UNIQUE, token TEXT NOT NULL,"
        " store_id TEXT UNIQUE, generation INTEGER NOT NULL, confirmed INTEGER NOT NULL DEFAULT 0,"
        " active INTEGER NOT NULL DEFAULT 0, hostname TEXT, version TEXT, info TEXT, heartbeat TEXT,"
        " registered INTEGER NOT NULL, seen INTEGER NOT NULL, acked INTEGER NOT NULL DEFAULT 0);"
        "CREATE INDEX runners_token ON runners(token);"
        "CREATE TABLE conversations(id TEXT PRIMARY KEY, token TEXT NOT NULL, owner TEXT, previous TEXT,"
        " state TEXT NOT NULL, reason TEXT, agent TEXT, workspace TEXT, task TEXT, params TEXT,"
        " run INTEGER, served INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL,"
        " updated INTEGER NOT NULL, ended INTEGER);"
        "CREATE TABLE messages(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " seq INTEGER UNIQUE, token TEXT NOT NULL, target TEXT, conversation TEXT, task TEXT,"
        " method TEXT NOT NULL, params TEXT NOT NULL, request INTEGER NOT NULL, work INTEGER NOT NULL,"
        " claimed_by TEXT, created INTEGER NOT NULL, answered INTEGER, response TEXT, replaced_by TEXT);"
        "CREATE INDEX messages_target ON messages(target, seq) WHERE answered IS NULL;"
        "CREATE INDEX messages_conversation ON messages(conversation, n);"
        "CREATE INDEX messages_open ON messages(token) WHERE answered IS NULL;"
        "CREATE TABLE events(n INTEGER PRIMARY KEY AUTOINCREMENT, runner TEXT NOT NULL,"
        " message_id TEXT NOT NULL, conversation TEXT, method TEXT NOT NULL, body TEXT NOT NULL,"
        " received INTEGER NOT NULL, UNIQUE(runner, message_id));"
        "CREATE INDEX events_conversation ON events(conversation, n);"
        "CREATE INDEX events_runner ON events(runner, n);"
        "CREATE TABLE questions(id TEXT PRIMARY KEY, conversation TEXT NOT NULL, tool TEXT, title TEXT,"
        " asked INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE INDEX questions_conversation ON questions(conversation);"
        "INSERT INTO meta VALUES('seq', 0), ('epoch', lower(hex(randomblob(4))));";

struct Database {
        sqlite3 *db;
        unsigned depth;
        int error; /* the first one inside the open transaction */
};

static int errno_of(int r) {
        switch (r & 0xff) {
        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_CONSTRAINT:
                return -EEXIST;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
                return -EACCES;
        default:
                return -EIO;
        }
}

/* A failed statement spoils the transaction it stands in, so that a caller who continues cannot commit half of it. */
static int fail(Database *d, int r) {
        r = errno_of(r);
        if (r < 0 && d->depth > 0 && d->error == 0)
                d->error = r;
        return r;
}

static int bind(Statement *s, const char *types, va_list ap) {
        int r = SQLITE_OK;

        for (int i = 1; *types && r == SQLITE_OK; types++, i++)
                switch (*types) {
                case 's': {
                        const char *text = va_arg(ap, const char *);
                        r = sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
                        break;
                }
                case 't': {
                        const char *text = va_arg(ap, const char *);
                        size_t size = va_arg(ap, size_t);
                        r = sqlite3_bind_text64(s, i, text, size, SQLITE_STATIC, SQLITE_UTF8);
                        break;
                }
                default:
                        assert(*types == 'i');
                        r = sqlite3_bind_int64(s, i, va_arg(ap, int64_t));
                }
        return r;
}

static int query(Database *d, Statement **ret, const char *sql, const char *types, va_list ap) {
        _cleanup_statement_ Statement *s = NULL;
        int r = sqlite3_prepare_v2(d->db, sql, -1, &s, NULL);

        if (r == SQLITE_OK)
                r = bind(s, types, ap);
        if (r != SQLITE_OK)
                return fail(d, r);
        *ret = TAKE_PTR(s);
        return 0;
}

int db_query(Database *d, Statement **ret, const char *sql, const char *types, ...) {
        va_list ap;

        va_start(ap, types);
        int r = query(d, ret, sql, types, ap);
        va_end(ap);
        return r;
}

int db_step(Statement *s) {
        int r = sqlite3_step(s);

        return r == SQLITE_ROW ? 1 : errno_of(r);
}

Statement *db_finish(Statement *s) {
        (void) sqlite3_finalize(s);
        return NULL;
}

const char *db_text(Statement *s, int column) {
        return (const char *) sqlite3_column_text(s, column);
}

int64_t db_int(Statement *s, int column) {
        return sqlite3_column_int64(s, column);
}

int db_run(Database *d, const char *sql, const char *types, ...) {
        _cleanup_statement_ Statement *s = NULL;
        va_list ap;

        va_start(ap, types);
        int r = query(d, &s, sql, types, ap);
        va_end(ap);
        if (r < 0)
                return r;
        do
                r = sqlite3_step(s);
        while (r == SQLITE_ROW);
        if (r != SQLITE_DONE)
                return fail(d, r);
        return sqlite3_changes(d->db);
}

/* A query stepped to its first row: 1, or 0 where there is no row or its first column is NULL. */
static int first_row(Database *d, Statement **ret, const char *sql, const char *types, va_list ap) {
        int r = query(d, ret, sql, types, ap);

        if (r < 0)
                return r;
        r = sqlite3_step(*ret);
        if (r == SQLITE_ROW)
                return sqlite3_column_type(*ret, 0) != SQLITE_NULL;
        return r == SQLITE_DONE ? 0 : fail(d, r);
}

int db_lookup(Database *d, char **ret, const char *sql, const char *types, ...) {
        _cleanup_statement_ Statement *s = NULL;
        va_list ap;

        va_start(ap, types);
        int r = first_row(d, &s, sql, types, ap);
        va_end(ap);
        if (r <= 0)
                return r;
        const char *text = db_text(s, 0);
        char *copy = text ? strdup(text) : NULL;
        if (!copy)
                return fail(d, SQLITE_NOMEM);
        *ret = copy;
        return 1;
}

int db_lookup_int(Database *d, int64_t *ret, const char *sql, const char *types, ...) {
        _cleanup_statement_ Statement *s = NULL;
        va_list ap;

        va_start(ap, types);
        int r = first_row(d, &s, sql, types, ap);
        va_end(ap);
        *ret = r > 0 ? db_int(s, 0) : 0;
        return r;
}

static int exec(Database *d, const char *sql) {
        return errno_of(sqlite3_exec(d->db, sql, NULL, NULL, NULL));
}

/* The outermost is a transaction of SQLite's, those inside are savepoints: one that is given up (a refusal, no
 * failure) takes back its own changes alone. */
static int exec_savepoint(Database *d, const char *verb) {
        char sql[64];

        (void) snprintf(sql, sizeof(sql), "%s level%u", verb, d->depth);
        return exec(d, sql);
}

int transaction_begin(Database *d, Transaction *t) {
        int r = d->depth == 0 ? exec(d, "BEGIN IMMEDIATE") : exec_savepoint(d, "SAVEPOINT");

        if (r < 0)
                return r;
        if (d->depth == 0)
                d->error = 0;
        d->depth++;
        t->database = d;
        return 0;
}

static int end(Transaction *t, bool keep) {
        Database *d = TAKE_PTR(t->database);
        int r = 0;

        keep = keep && d->error == 0;
        if (--d->depth > 0) {
                if (!keep)
                        r = exec_savepoint(d, "ROLLBACK TO");
                int q = exec_savepoint(d, "RELEASE");
                r = r < 0 ? r : q;
                if (r < 0 && d->error == 0)
                        d->error = r;
                return d->error;
        }
        if (keep)
                r = exec(d, "COMMIT");
        if (!keep || r < 0)
                (void) exec(d, "ROLLBACK");
        return d->error < 0 ? d->error : r;
}

int transaction_commit(Transaction *t) {
        return end(t, true);
}

void transaction_done(Transaction *t) {
        if (t->database)
                (void) end(t, false);
}

static int setup(Database *d) {
        int64_t version;
        int r;

        r = exec(
                d,
                "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                "BEGIN EXCLUSIVE; COMMIT;");
        if (r < 0)
                return r;
        r = db_lookup_int(d, &version, "PRAGMA user_version", "");
        if (r < 0)
                return r;
        if (version > SCHEMA_VERSION)
                return -EPROTONOSUPPORT;
        if (version == SCHEMA_VERSION)
                return 0;
        r = exec(d, "BEGIN EXCLUSIVE");
        if (r >= 0)
                r = exec(d, schema);
        if (r >= 0)
                r = exec(d, "PRAGMA user_version=1; COMMIT");
        return r;
}

int database_open(const char *dir, Database **ret, char **ret_error) {
        _cleanup_(database_closep) Database *d = new0(Database, 1);
        _cleanup_free_ char *path = xasprintf("%s/orchestrator.db", dir);
        int r;

        *ret_error = NULL;
        if (!d || !path)
                return -ENOMEM;
        r = mkdir_parents(dir, 0700);
        if (r < 0) {
                *ret_error = xasprintf("Failed to create the directory %s: %s", dir, strerror(-r));
                return r;
        }
        /* Made here for the sake of its mode; SQLite gives its journals the same. Closed before SQLite opens it: closing
         * any descriptor of the file would drop the locks that it takes. */
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                r = -errno;
                *ret_error = xasprintf("Failed to open %s: %s", path, strerror(-r));
                return r;
        }
        safe_close(fd);
        r = errno_of(sqlite3_open_v2(path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
        if (r >= 0)
                r = setup(d);
        if (r == -EBUSY)
                *ret_error = xasprintf("%s is in use by another orchestrator", path);
        else if (r == -EPROTONOSUPPORT)
                *ret_error = xasprintf("%s was written by a newer version of this program", path);
        else if (r < 0)
                *ret_error = xasprintf("Failed to use %s: %s", path, strerror(-r));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

Database *database_close(Database *d) {
        if (!d)
                return NULL;
        (void) sqlite3_close_v2(d->db);
        free(d);
        return NULL;
}

int row_string(Json *o, const char *name, Statement *s, int column) {
        return json_set_string(o, name, db_text(s, column));
}

int row_time(Json *o, const char *name, Statement *s, int column) {
        char buf[TIMESTAMP_MAX];

        if (!db_text(s, column))
                return 0;
        return json_set_string(o, name, format_timestamp((uint64_t) db_int(s, column), buf));
}
