/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/runner.h"
#include "runner/store/store.h"

/* Records which caller had what done: the record is stored, then logged. Texts may be NULL. */
typedef struct AuditEntry {
        const char *kind, *verdict; /* see AuditRow */
        const RunnerCaller *caller; /* NULL: the orchestrator */
        const char *method, *conversation, *detail;
        bool minor;     /* nothing is changed by it */
        uint64_t count; /* how many like it are held together; 0 is 1 */
} AuditEntry;
void runner_audit(Runner *r, const AuditEntry *e);
/* Returns the newest max records, the oldest first: an array of {when, kind, verdict, origin, uid, pid, comm, unit,
 * method, conversationId, detail, count}. conversation "": of all. */
int runner_list_audit(Runner *r, const char *conversation, unsigned max, Json **ret);

/* The two halves of runner_audit(), for a record that is stored inside another transaction. */
int audit_store(Store *store, const AuditEntry *e);
void audit_log(const AuditEntry *e);
