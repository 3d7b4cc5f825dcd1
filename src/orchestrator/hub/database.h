/* SPDX-License-Identifier: MIT */
#pragma once

#include <sqlite3.h>

#include "common/json.h"
#include "common/util.h"

/* The orchestrator's SQLite file with its schema, and short ways to run a statement on it. Errors are negative errnos:
 * -ENOSPC (disk full), -EEXIST (a constraint), -EBUSY, -EUCLEAN (corrupt), -EIO. */
typedef struct Database Database;
typedef struct sqlite3_stmt Statement;

/* Opens or makes dir/orchestrator.db. Only one process may have it: -EBUSY. *ret_error is a sentence, to be freed. */
int database_open(const char *dir, Database **ret, char **ret_error);
Database *database_close(Database *d);
DEFINE_TRIVIAL_CLEANUP_FUNC(Database *, database_close);

/* Runs sql to its end. types says what the arguments are, one letter for each ?: s string or NULL (const char *),
 * i number (int64_t or uint64_t), t text with its length (const char *, size_t). Nothing is copied: the arguments
 * must live until the call returns. Returns the number of rows changed. */
int db_run(Database *d, const char *sql, const char *types, ...);

/* The same for a query: step with db_step(); the arguments must live until the statement is freed. */
int db_query(Database *d, Statement **ret, const char *sql, const char *types, ...);
/* 1: a row is there; 0: no more. */
int db_step(Statement *s);
Statement *db_finish(Statement *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(Statement *, db_finish);
#define _cleanup_statement_ _cleanup_(db_finishp)

/* Columns of the row, borrowed until the next step; NULL where the value is. */
const char *db_text(Statement *s, int column);
int64_t db_int(Statement *s, int column);

/* Members of an object from columns that are strings or times; left out where they are NULL. 0 or -ENOMEM. */
int row_string(Json *o, const char *name, Statement *s, int column);
int row_time(Json *o, const char *name, Statement *s, int column);

/* The first column of the first row as a copy: 1, or 0 where there is no row or it is NULL. */
int db_lookup(Database *d, char **ret, const char *sql, const char *types, ...);
/* The same for a number; 0 and *ret = 0 where there is none. */
int db_lookup_int(Database *d, int64_t *ret, const char *sql, const char *types, ...);

/* Transactions nest; use
 *     _cleanup_(transaction_done) Transaction t = {};
 *     r = transaction_begin(d, &t); … return transaction_commit(&t);
 * One that is not committed takes its own changes back; a statement that failed takes the outermost along, whose
 * commit then returns that error. */
typedef struct Transaction {
        Database *database;
} Transaction;
/* 0 or negative errno, both. */
int transaction_begin(Database *d, Transaction *t);
int transaction_commit(Transaction *t);
void transaction_done(Transaction *t);
