/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json.h"
#include "runner/limits/limit-watch.h"
#include "runner/limits/limits.h"

/* The limits of one run: what was asked for, what the kernel enforces, and limit events. */
typedef struct RunLimits RunLimits;
typedef struct Run Run;

/* Before the start: remembers what is asked for, in the store; part of an open transaction where there is one. */
int run_limits_begin(Run *r, const Limits *asked);
/* After a restart of the runner: what the store has. */
int run_limits_restore(Run *r);
RunLimits *run_limits_free(RunLimits *l);
/* The run has ended: what is known stays, nothing is watched any more. */
void run_limits_close(Run *r);

/* The scope is there: reads its files, says what is not given, watches the rest. Does nothing where that was done, or
 * where the cgroup cannot be found. */
void run_limits_open(Run *r);
/* The limits were changed, maybe: reads them again. ours: by an order of the runner's, asked (may be NULL) is what is
 * asked for from now on. */
void run_limits_check(Run *r);
/* A caller needs the current value: systemd sends no signal for changed addresses, so it is asked again. A change is reported
 * when the answer is there. */
void run_limits_check_filter(Run *r);
int run_limits_ask(Run *r, Json *asked);
/* What was ordered has been done, so what does not show now is not given. */
void run_limits_set(Run *r);
/* Part of the transaction that stores the end. */
int run_limits_forget(Run *r);

/* {"asked":{},"effective":{},"missing":[],"workspace":{},"ipFilter":{}}; effective only where the files could be read, workspace (what
 * its slice has) only where it is in one, ipFilter only where root has set one. NULL: nothing is known. */
Json *run_limits_describe(Run *r);
/* Stores all of it; part of an open transaction where there is one. */
int run_limits_save(RunLimits *l);
/* An event and what it leaves in the store, at once or not at all. */
int run_limits_emit(RunLimits *l, const char *method, Json *params);
