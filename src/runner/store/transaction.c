/* SPDX-License-Identifier: MIT */
#include "runner/store/store-statement.h"
#include "runner/store/transaction.h"

static int run(Store *s, StatementId id, const char *sql) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_prepare(s, id, sql, &st);
        return r < 0 ? r : statement_step(&st);
}

static void rollback(Store *s) {
        _cleanup_statement_ Statement st = {};

        s->failed = 0;
        /* SQLite may have rolled back by itself (disk full, out of memory). */
        if (sqlite3_get_autocommit(s->db))
                return;
        if (statement_prepare(s, STATEMENT_ROLLBACK, "ROLLBACK", &st) >= 0)
                (void) sqlite3_step(st.stmt);
}

int transaction_begin(Store *s, Transaction *t) {
        int r;

        if (s->depth > 0 && s->failed < 0)
                return s->failed;
        if (s->depth == 0) {
                s->failed = 0;
                r = run(s, STATEMENT_BEGIN, "BEGIN IMMEDIATE");
                if (r < 0)
                        return r;
        }
        s->depth++;
        t->store = s;
        return 0;
}

int transaction_finish(Transaction *t, int r) {
        Store *s = TAKE_PTR(t->store);
        int q;

        if (!s)
                return r;
        if (r < 0 && s->failed == 0)
                s->failed = r;
        q = s->failed;
        if (--s->depth == 0) {
                if (q >= 0)
                        q = run(s, STATEMENT_COMMIT, "COMMIT");
                if (q < 0)
                        rollback(s);
        }
        return r < 0 || q >= 0 ? r : q;
}

void transaction_done(Transaction *t) {
        (void) transaction_finish(t, -ECANCELED);
}

void transaction_abandon(Store *s) {
        if (s->db && s->depth > 0)
                rollback(s);
        s->depth = 0;
}
