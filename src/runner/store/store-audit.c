/* SPDX-License-Identifier: MIT */
#include "runner/store/store-audit.h"
#include "runner/store/store-change.h"
#include "runner/store/store-statement.h"
#include "runner/store/transaction.h"

/* The audit record. Calls that changed something and calls that did not are bounded separately: a thousand refused calls
 * do not push out the record of a stop. */

int store_audit_add(Store *s, const AuditRow *row) {
        _cleanup_(transaction_done) Transaction t = {};
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = store_execute(
                s,
                STATEMENT_AUDIT_ADD,
                "INSERT INTO audit (minor, when_usec, kind, verdict, origin, uid, pid, comm, unit, method,"
                " conversation, detail, count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "iusssiisssssu",
                (int64_t) row->minor,
                row->when_usec,
                row->kind,
                row->verdict,
                row->origin,
                row->uid,
                row->pid,
                row->comm,
                row->unit,
                row->method,
                row->conversation,
                row->detail,
                row->count);
        if (r >= 0)
                r = store_execute(
                        s,
                        STATEMENT_AUDIT_BOUND,
                        "DELETE FROM audit WHERE minor = ?1 AND seq <="
                        " (SELECT seq FROM audit WHERE minor = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                        "ii",
                        (int64_t) row->minor,
                        (int64_t) STORE_AUDIT_MAX);
        r = transaction_finish(&t, r);
        return r < 0 ? r : 0;
}

static void read_row(Statement *st, AuditRow *ret) {
        *ret = (AuditRow){
                .seq = statement_int(st, 0),
                .minor = statement_int(st, 1) != 0,
                .when_usec = statement_u64(st, 2),
                .kind = statement_text(st, 3),
                .verdict = statement_text(st, 4),
                .origin = statement_text(st, 5),
                .uid = statement_int(st, 6),
                .pid = statement_int(st, 7),
                .comm = statement_text(st, 8),
                .unit = statement_text(st, 9),
                .method = statement_text(st, 10),
                .conversation = statement_text(st, 11),
                .detail = statement_text(st, 12),
                .count = statement_u64(st, 13),
        };
}

int store_audit_list(Store *s, const char *conversation, unsigned max, AuditCallback cb, void *userdata) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_open(
                s,
                &st,
                STATEMENT_AUDIT_LIST,
                "SELECT * FROM (SELECT seq, minor, when_usec, kind, verdict, origin, uid, pid, comm, unit,"
                " method, conversation, detail, count FROM audit"
                " WHERE ?1 IS NULL OR conversation = ?1 ORDER BY seq DESC LIMIT ?2) ORDER BY seq",
                "si",
                conversation,
                (int64_t) max);
        if (r < 0)
                return r;
        while ((r = statement_step(&st)) > 0) {
                AuditRow row;

                read_row(&st, &row);
                r = cb(&row, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}
