/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store.h"

/* Who had what done. */

/* Above so many of each (minor and not) the oldest is dropped. */
#define STORE_AUDIT_MAX 10000

/* Texts are borrowed, NULL where there is none. */
typedef struct AuditRow {
        int64_t seq;
        uint64_t when_usec;
        bool minor;          /* nothing was changed by it: refused, or only read */
        const char *kind;    /* call, permission, limits */
        const char *verdict; /* allowed or refused, allow or deny, asked or changed */
        const char *origin;  /* dbus, orchestrator, systemd */
        int64_t uid, pid;    /* of a caller on D-Bus; -1 and 0 else */
        const char *comm, *unit, *method, *conversation, *detail;
        uint64_t count; /* how many like this one were held together */
} AuditRow;
int store_audit_add(Store *s, const AuditRow *row);
typedef int (*AuditCallback)(const AuditRow *row, void *userdata);
/* The newest max, the oldest of them first. conversation NULL: of all. */
int store_audit_list(Store *s, const char *conversation, unsigned max, AuditCallback cb, void *userdata);
