/* SPDX-License-Identifier: MIT */
#pragma once

#include <sqlite3.h>

#include "runner/store/store.h"

/* One prepared statement each, kept for the life of the store; the SQL stands where it is used. */
typedef enum StatementId {
        STATEMENT_BEGIN,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_META_GET,
        STATEMENT_META_SET,
        STATEMENT_META_DELETE,
        STATEMENT_INBOUND_ADD,
        STATEMENT_INBOUND_FIND,
        STATEMENT_INBOUND_DONE,
        STATEMENT_INBOUND_RESPONSE,
        STATEMENT_INBOUND_PENDING,
        STATEMENT_INBOUND_PENDING_ALL,
        STATEMENT_INBOUND_COUNT,
        STATEMENT_INBOUND_COUNT_ALL,
        STATEMENT_INBOUND_PRUNE,
        STATEMENT_INBOUND_FORGET,
        STATEMENT_RESPONSE_QUEUE,
        STATEMENT_RESPONSE_NEXT,
        STATEMENT_RESPONSE_ACKED,
        STATEMENT_RESPONSE_START,
        STATEMENT_CONVERSATION_PUT,
        STATEMENT_CONVERSATION_GET,
        STATEMENT_CONVERSATION_LIST,
        STATEMENT_CONVERSATION_LIST_ENDED,
        STATEMENT_CONVERSATION_LIST_LIVE,
        STATEMENT_CONVERSATION_DELETE,
        STATEMENT_CONVERSATION_DELIVERED,
        STATEMENT_RUN_PUT,
        STATEMENT_RUN_GET,
        STATEMENT_RUN_CONCLUSION_CRASH,
        STATEMENT_RUN_ID,
        STATEMENT_RUN_DELETE,
        STATEMENT_PROGRESS_PUT,
        STATEMENT_PROGRESS_DRIVEN,
        STATEMENT_PROGRESS_ACKED,
        STATEMENT_PROGRESS_DELETE,
        STATEMENT_INPUT_SIZE,
        STATEMENT_INPUT_SET_SIZE,
        STATEMENT_INPUT_SIZE_DELETE,
        STATEMENT_INPUT_ADD,
        STATEMENT_INPUT_UNWRITTEN,
        STATEMENT_INPUT_FIRST,
        STATEMENT_INPUT_WRITTEN,
        STATEMENT_INPUT_DELETE,
        STATEMENT_EVENT_ADD,
        STATEMENT_EVENT_NAME,
        STATEMENT_EVENT_NEXT,
        STATEMENT_EVENT_COUNT,
        STATEMENT_EVENT_ACKED,
        STATEMENT_EVENT_DELETE,
        STATEMENT_ASIDE_ADD,
        STATEMENT_ASIDE_BOUND,
        STATEMENT_ASIDE_LIST,
        STATEMENT_ASIDE_COUNT,
        STATEMENT_ASIDE_DELETE,
        STATEMENT_AUDIT_ADD,
        STATEMENT_AUDIT_BOUND,
        STATEMENT_AUDIT_LIST,
        _STATEMENT_MAX,
} StatementId;

struct Store {
        sqlite3 *db;
        int lock_fd;
        unsigned depth; /* of open store_begin() */
        int failed;     /* first error inside the open transaction */
        void (*damaged)(void *userdata);
        void *userdata;
        sqlite3_stmt *statements[_STATEMENT_MAX];
};

/* ---- store-statement.c ---- */

/* A statement in use: a cached one, or one of its own where the cached is in use further up the stack. */
typedef struct Statement {
        Store *store;
        sqlite3_stmt *stmt;
        bool temporary;
} Statement;

int statement_prepare(Store *s, StatementId id, const char *sql, Statement *ret);
void statement_done(Statement *st);
#define _cleanup_statement_ _cleanup_(statement_done)

/* types: one letter for each parameter: s const char* (NULL is SQL's NULL), i int64_t, u uint64_t (stored as the
 * int64_t of the same bits), b const void* and size_t. The memory must stay until the statement is done. */
int statement_bind(Statement *st, const char *types, ...);
int statement_bindv(Statement *st, const char *types, va_list ap);
/* 1: a row; 0: the end. An error also spoils the open transaction. */
int statement_step(Statement *st);
/* prepare and bind in one. */
int statement_open(Store *s, Statement *ret, StatementId id, const char *sql, const char *types, ...);

const char *
statement_text(Statement *st, int column); /* borrowed until the next step; NULL for SQL's NULL */
int statement_dup(Statement *st, int column, char **ret);
int64_t statement_int(Statement *st, int column);
uint64_t statement_u64(Statement *st, int column);

/* Runs a statement that returns no rows, as a transaction or as part of the open one. Returns the number of rows it
 * changed. */
int store_execute(Store *s, StatementId id, const char *sql, const char *types, ...);
/* The same for a row that has to be there: 0, or -ENOENT where none was changed. */
int store_change(Store *s, StatementId id, const char *sql, const char *types, ...);
/* SQL that is not worth keeping; may be several statements. */
int store_execute_script(Store *s, const char *sql);

/* Ends what store_begin() began: commits where r >= 0, else rolls back. Returns r, or the commit's error. */
int store_end(Store *s, int r);
/* The errno of an SQLite result code. */
int store_error(Store *s, int result);

/* ---- store-schema.c ---- */

/* Checks whose file it is and how old, and brings it up to STORE_SCHEMA_VERSION. */
int store_schema_prepare(Store *s, const char *path, char **ret_error);
