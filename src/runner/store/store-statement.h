/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store-internal.h"

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
/* The same, and the first step. */
int statement_first(Store *s, Statement *ret, StatementId id, const char *sql, const char *types, ...);

const char *
statement_text(Statement *st, int column); /* borrowed until the next step; NULL for SQL's NULL */
int statement_dup(Statement *st, int column, char **ret);
int64_t statement_int(Statement *st, int column);
uint64_t statement_u64(Statement *st, int column);

/* SQL that is not worth keeping; may be several statements. */
int store_execute_script(Store *s, const char *sql);

/* The errno of an SQLite result code. */
int store_error(Store *s, int result);
