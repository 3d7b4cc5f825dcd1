/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "runner/runner-audit.h"
#include "runner/runner-internal.h"
#include "runner/store/store-audit.h"

/* The audit record: a row in the store, which no other program can write, and a line in the journal. */

#define DETAIL_MAX 512

static const char *origin_of(const AuditEntry *e) {
        return e->caller ? "dbus" : streq(e->verdict, "expired") ? "runner" : "orchestrator";
}

/* "uid 1000 (northflarectl, session-2.scope)" */
static char *caller_text(const RunnerCaller *c) {
        if (!c)
                return strdup("the orchestrator");
        if (c->uid == (uid_t) -1)
                return strdup("a caller that had disconnected");
        if (isempty(c->comm) && isempty(c->unit))
                return xasprintf("uid %u", (unsigned) c->uid);
        return xasprintf(
                "uid %u (%s%s%s)",
                (unsigned) c->uid,
                strempty(c->comm),
                isempty(c->comm) || isempty(c->unit) ? "" : ", ",
                strempty(c->unit));
}

typedef struct CallerFields {
        char uid[sizeof("4294967295")], pid[sizeof("-2147483648")], count[sizeof("18446744073709551615")];
} CallerFields;

static const char *not_empty(const char *s) {
        return isempty(s) ? NULL : s;
}

static void push_fields(LogContext *log, CallerFields *f, const AuditEntry *e) {
        log_context_push(log, "NORTHFLARE_METHOD", e->method);
        log_context_push(log, "NORTHFLARE_VERDICT", e->verdict);
        log_context_push(log, "NORTHFLARE_ORIGIN", origin_of(e));
        if (e->count > 1) {
                (void) snprintf(f->count, sizeof(f->count), "%llu", (unsigned long long) e->count);
                log_context_push(log, "NORTHFLARE_COUNT", f->count);
        }
        if (!e->caller || e->caller->uid == (uid_t) -1)
                return;
        (void) snprintf(f->uid, sizeof(f->uid), "%u", (unsigned) e->caller->uid);
        (void) snprintf(f->pid, sizeof(f->pid), "%d", (int) e->caller->pid);
        log_context_push(log, "NORTHFLARE_CALLER_UID", f->uid);
        log_context_push(log, "NORTHFLARE_CALLER_PID", f->pid);
        log_context_push(log, "NORTHFLARE_CALLER_COMM", not_empty(e->caller->comm));
        log_context_push(log, "NORTHFLARE_CALLER_UNIT", not_empty(e->caller->unit));
}

static void log_call(const AuditEntry *e, const char *who) {
        bool refused = streq(e->verdict, "refused");
        int level = refused ? LOG_WARNING : e->minor ? LOG_INFO : LOG_NOTICE;
        _cleanup_free_ char *of = e->conversation ? xasprintf(" of conversation %s", e->conversation) : NULL;
        char times[64] = "";

        if (e->count > 1)
                (void) snprintf(times, sizeof(times), ", %llu times", (unsigned long long) e->count);
        log_full(
                level,
                0,
                refused ? NF_MESSAGE_CALL_REFUSED : NF_MESSAGE_CALL,
                "%s%s by %s%s%s%s%s",
                strempty(e->method),
                strempty(of),
                who,
                refused ? " was refused" : "",
                times,
                e->detail ? ": " : ".",
                strempty(e->detail));
}

void audit_log(const AuditEntry *e) {
        _cleanup_free_ char *who = caller_text(e->caller);
        CallerFields fields;
        LOG_ABOUT(.conversation = e->conversation);
        LOG_CONTEXT(log);

        if (!who)
                return;
        push_fields(&log, &fields, e);
        if (streq(e->kind, "call"))
                log_call(e, who);
        else if (streq(e->kind, "permission")) {
                log_context_push(&log, "NORTHFLARE_REQUEST_ID", e->detail);
                if (streq(e->verdict, "expired"))
                        log_full(
                                LOG_NOTICE,
                                0,
                                NF_MESSAGE_PERMISSION_EXPIRED,
                                "Question %s of conversation %s was not answered in time and is denied.",
                                strempty(e->detail),
                                strempty(e->conversation));
                else
                        log_full(
                                LOG_NOTICE,
                                0,
                                NF_MESSAGE_PERMISSION_ANSWERED,
                                "Question %s of conversation %s was answered by %s: %s.",
                                strempty(e->detail),
                                strempty(e->conversation),
                                who,
                                e->verdict);
        } else {
                log_context_push(&log, "NORTHFLARE_LIMITS", e->detail);
                log_full(
                        LOG_NOTICE,
                        0,
                        NF_MESSAGE_LIMITS_ASKED,
                        "Other limits of conversation %s were requested by %s: %s",
                        strempty(e->conversation),
                        who,
                        strempty(e->detail));
        }
}

int audit_store(Store *store, const AuditEntry *e) {
        const RunnerCaller *c = e->caller;
        _cleanup_free_ char *detail = e->detail ?
                strndup(e->detail, (size_t) utf8_cut(e->detail, DETAIL_MAX)) :
                NULL;

        if (e->detail && !detail)
                return -ENOMEM;
        return store_audit_add(
                store,
                &(AuditRow){
                        .when_usec = now_usec(CLOCK_REALTIME),
                        .minor = e->minor,
                        .kind = e->kind,
                        .verdict = e->verdict,
                        .origin = origin_of(e),
                        .uid = c && c->uid != (uid_t) -1 ? (int64_t) c->uid : -1,
                        .pid = c ? (int64_t) c->pid : 0,
                        .comm = c ? not_empty(c->comm) : NULL,
                        .unit = c ? not_empty(c->unit) : NULL,
                        .method = e->method,
                        .conversation = e->conversation,
                        .detail = detail,
                        .count = MAX(e->count, UINT64_C(1)),
                });
}

void runner_audit(Runner *r, const AuditEntry *e) {
        int k = r->ctx->run.broken ? -EIO : audit_store(r->store, e);

        if (k < 0)
                log_warning_errno(
                        k, "Failed to store a line of the audit record, it is in the journal only: %m");
        audit_log(e);
}

static int list_one(const AuditRow *row, void *userdata) {
        Json *o = json_object_new_object();
        char stamp[TIMESTAMP_MAX];

        if (!o || json_object_array_add(userdata, o) < 0) {
                json_object_put(o);
                return -ENOMEM;
        }
        (void) json_set_string(o, "when", format_timestamp(row->when_usec, stamp));
        (void) json_set_string(o, "kind", row->kind);
        (void) json_set_string(o, "verdict", row->verdict);
        (void) json_set_string(o, "origin", row->origin);
        if (row->uid >= 0) {
                (void) json_set_u64(o, "uid", (uint64_t) row->uid);
                (void) json_set_u64(o, "pid", (uint64_t) row->pid);
        }
        (void) json_set_string(o, "comm", row->comm);
        (void) json_set_string(o, "unit", row->unit);
        (void) json_set_string(o, "method", row->method);
        (void) json_set_string(o, "conversationId", row->conversation);
        (void) json_set_string(o, "detail", row->detail);
        (void) json_set_u64(o, "count", row->count);
        return 0;
}

int runner_list_audit(Runner *r, const char *conversation, unsigned max, Json **ret) {
        _cleanup_json_ Json *list = json_object_new_array();
        int k;

        if (!list)
                return -ENOMEM;
        k = store_audit_list(r->store, isempty(conversation) ? NULL : conversation, max, list_one, list);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(list);
        return 0;
}
