/* SPDX-License-Identifier: MIT */
#include <stdarg.h>

#include "runner/store/store-statement.h"

int store_error(Store *s, int result) {
        int e;

        switch (result & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_TOOBIG:
                return -E2BIG;
        case SQLITE_CONSTRAINT:
                return -EEXIST;
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
                /* The WAL reports a full disk as an I/O error, with the errno that says so. */
                e = s->db ? sqlite3_system_errno(s->db) : 0;
                return e == ENOSPC || e == EDQUOT ? -ENOSPC : e == EACCES || e == EROFS ? -e : -EIO;
        default:
                return -EIO;
        }
}

static int note_error(Store *s, int result) {
        int r = store_error(s, result);

        if (r < 0 && s->depth > 0 && s->failed == 0)
                s->failed = r;
        if (r == -EUCLEAN && s->damaged) {
                void (*damaged)(void *) = s->damaged;

                s->damaged = NULL;
                damaged(s->userdata);
        }
        return r;
}

int statement_prepare(Store *s, StatementId id, const char *sql, Statement *ret) {
        sqlite3_stmt *stmt = s->statements[id];
        bool temporary = stmt && sqlite3_stmt_busy(stmt);

        if (!stmt || temporary) {
                int result = sqlite3_prepare_v3(
                        s->db, sql, -1, temporary ? 0 : SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
                if (result != SQLITE_OK) {
                        *ret = (Statement){ .store = s };
                        return note_error(s, result);
                }
                if (!temporary)
                        s->statements[id] = stmt;
        }
        *ret = (Statement){ .store = s, .stmt = stmt, .temporary = temporary };
        return 0;
}

void statement_done(Statement *st) {
        if (!st->stmt)
                return;
        if (st->temporary)
                (void) sqlite3_finalize(st->stmt);
        else {
                (void) sqlite3_reset(st->stmt);
                /* The bound memory belongs to the caller: leave no pointer to it. */
                (void) sqlite3_clear_bindings(st->stmt);
        }
        st->stmt = NULL;
}

int statement_bindv(Statement *st, const char *types, va_list ap) {
        const void *data;
        const char *text;
        size_t size;
        int result = SQLITE_OK;

        for (int i = 1; types[i - 1] && result == SQLITE_OK; i++)
                switch (types[i - 1]) {
                case 's':
                        text = va_arg(ap, const char *);
                        result = text ?
                                sqlite3_bind_text64(
                                        st->stmt, i, text, strlen(text), SQLITE_STATIC, SQLITE_UTF8) :
                                sqlite3_bind_null(st->stmt, i);
                        break;
                case 'i':
                        result = sqlite3_bind_int64(st->stmt, i, va_arg(ap, int64_t));
                        break;
                case 'u':
                        result = sqlite3_bind_int64(st->stmt, i, (int64_t) va_arg(ap, uint64_t));
                        break;
                case 'b':
                        data = va_arg(ap, const void *);
                        size = va_arg(ap, size_t);
                        result = sqlite3_bind_blob64(st->stmt, i, data ? data : "", size, SQLITE_STATIC);
                        break;
                default:
                        assert(false);
                        result = SQLITE_MISUSE;
                }
        return note_error(st->store, result);
}

int statement_bind(Statement *st, const char *types, ...) {
        va_list ap;

        va_start(ap, types);
        int r = statement_bindv(st, types, ap);
        va_end(ap);
        return r;
}

int statement_step(Statement *st) {
        int result = sqlite3_step(st->stmt);

        return result == SQLITE_ROW ? 1 : note_error(st->store, result);
}

static int
open_statement(Store *s, Statement *ret, StatementId id, const char *sql, const char *types, va_list ap) {
        int r = statement_prepare(s, id, sql, ret);
        if (r < 0)
                return r;
        r = statement_bindv(ret, types, ap);
        if (r < 0)
                statement_done(ret);
        return r;
}

int statement_open(Store *s, Statement *ret, StatementId id, const char *sql, const char *types, ...) {
        va_list ap;

        va_start(ap, types);
        int r = open_statement(s, ret, id, sql, types, ap);
        va_end(ap);
        return r;
}

int statement_first(Store *s, Statement *ret, StatementId id, const char *sql, const char *types, ...) {
        va_list ap;

        va_start(ap, types);
        int r = open_statement(s, ret, id, sql, types, ap);
        va_end(ap);
        return r < 0 ? r : statement_step(ret);
}

const char *statement_text(Statement *st, int column) {
        return (const char *) sqlite3_column_text(st->stmt, column);
}

int statement_dup(Statement *st, int column, char **ret) {
        const char *text = statement_text(st, column);

        if (!text && sqlite3_column_type(st->stmt, column) != SQLITE_NULL)
                return -ENOMEM;
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

int64_t statement_int(Statement *st, int column) {
        return sqlite3_column_int64(st->stmt, column);
}

uint64_t statement_u64(Statement *st, int column) {
        return (uint64_t) sqlite3_column_int64(st->stmt, column);
}

int store_execute_script(Store *s, const char *sql) {
        return note_error(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}
