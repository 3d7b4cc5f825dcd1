/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json.h"
#include "runner/limits/limit-watch.h"
#include "runner/limits/limits.h"

/* The limits of one run: those requested, those in force, and limit events. */
typedef struct RunLimits RunLimits;
typedef struct Run Run;

/* Before the start: stores the requested limits; part of an open transaction if there is one. */
int run_limits_begin(Run *r, const Limits *asked);
/* After a restart of the runner: reads them from the store. */
int run_limits_restore(Run *r);
RunLimits *run_limits_free(RunLimits *l);
/* The run has ended: stops watching. The results stay. */
void run_limits_close(Run *r);

/* The scope exists: reads its files, reports limits that are not in force, and watches the files. Does nothing if that
 * was done, or if the cgroup cannot be found. */
void run_limits_open(Run *r);
/* The limits may have changed: reads them again. ours: an order of the runner changed them; asked (may be NULL) are the
 * requested limits from now on. */
void run_limits_check(Run *r);
/* A caller needs the current value: systemd sends no signal for changed addresses, so it is asked again. A change is reported
 * when the answer is there. */
void run_limits_check_filter(Run *r);
int run_limits_ask(Run *r, Json *asked);
/* An order was carried out: a requested limit that is not in force now was not set. */
void run_limits_set(Run *r);
/* Removes the limits from the store; part of the transaction that stores the end. */
int run_limits_forget(Run *r);

/* {"asked":{},"effective":{},"missing":[],"workspace":{},"ipFilter":{}}; effective only if the files could be read,
 * workspace (limits of its slice) only if it is in one, ipFilter only if root has set one. NULL: nothing is known. */
Json *run_limits_describe(Run *r);
/* Stores all of it; part of an open transaction where there is one. */
int run_limits_save(RunLimits *l);
/* Stores an event and its state in one transaction. */
int run_limits_emit(RunLimits *l, const char *method, Json *params);
