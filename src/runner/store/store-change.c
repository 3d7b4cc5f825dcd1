/* SPDX-License-Identifier: MIT */
#include <stdarg.h>

#include "runner/store/store-change.h"
#include "runner/store/transaction.h"

static int
execute(Store *s, bool needs_row, StatementId id, const char *sql, const char *types, va_list ap) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_statement_ Statement st = {};
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = statement_prepare(s, id, sql, &st);
        if (r >= 0)
                r = statement_bindv(&st, types, ap);
        if (r >= 0)
                r = statement_step(&st);
        statement_done(&st);
        if (r >= 0)
                r = sqlite3_changes(s->db);
        return transaction_finish(&t, r == 0 && needs_row ? -ENOENT : r);
}

int store_execute(Store *s, StatementId id, const char *sql, const char *types, ...) {
        va_list ap;

        va_start(ap, types);
        int r = execute(s, false, id, sql, types, ap);
        va_end(ap);
        return r;
}

int store_change(Store *s, StatementId id, const char *sql, const char *types, ...) {
        va_list ap;

        va_start(ap, types);
        int r = execute(s, true, id, sql, types, ap);
        va_end(ap);
        return r < 0 ? r : 0;
}
