/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/scope/operation.h"

/* operation.h without systemd: runs northflare-git as a child of the test, or plays what the test wrote down. */
typedef struct FakeOperation {
        const char *program;       /* northflare-git */
        const char *workspace;     /* working directory of kind hook */
        const char *home;          /* HOME of kind git */
        const char *const *script; /* lines to play instead of running anything, or NULL */
        int script_status, script_error;
        unsigned started, freed_early;
        char *input; /* of the last one */
        char *extra; /* contents of its descriptor, or NULL */
        int seals;   /* of that descriptor */
        ScopeKind kind;
} FakeOperation;

extern FakeOperation fake_operation;
/* Forgets input and extra. */
void fake_operation_reset(void);
