/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json.h"
#include "runner/limits/limit-watch.h"
#include "runner/limits/limits.h"

/* The limits of one run: what was asked for, what the kernel holds, what was hit. */
typedef struct RunLimits RunLimits;
struct Run;

/* Before the start: remembers what is asked for, in the store; part of an open transaction where there is one. */
int run_limits_begin(struct Run *r, const Limits *asked);
/* After a restart of the runner: what the store has. */
int run_limits_restore(struct Run *r);
RunLimits *run_limits_free(RunLimits *l);
/* The run has ended: what is known stays, nothing is watched any more. */
void run_limits_close(struct Run *r);

/* The scope is there: reads its files, says what is not given, watches the rest. Does nothing where that was done, or
 * where the cgroup cannot be found. */
void run_limits_open(struct Run *r);
/* The limits were changed, maybe: reads them again. ours: by an order of the runner's, asked (may be NULL) is what is
 * asked for from now on. */
void run_limits_look(struct Run *r);
/* Somebody wants to know: systemd tells nobody that addresses were changed, so it is asked again. What has changed is told
 * when the answer is there. */
void run_limits_look_at_filter(struct Run *r);
int run_limits_ask(struct Run *r, Json *asked);
/* What was ordered has been done, so what does not show now is not given. */
void run_limits_set(struct Run *r);
/* The run is over: hits that were not told yet, by the figures of its end. resources may be NULL. */
void run_limits_finish(struct Run *r, Json *resources);
/* Part of the transaction that stores the end. */
int run_limits_forget(struct Run *r);

/* {"asked":{},"effective":{},"missing":[],"workspace":{},"ipFilter":{}}; effective only where the files could be read, workspace (what
 * its slice has) only where it is in one, ipFilter only where root has set one. NULL: nothing is known. */
Json *run_limits_describe(struct Run *r);
/* Whether something in it was killed for memory at about the time of its end: a tool that was an hour ago is not why an
 * agent ends. outcome may be NULL. */
bool run_limits_oom(struct Run *r, Json *outcome);
/* Whether such a kill at about the time of its end was because of the limit of its workspace's slice. */
bool run_limits_oom_by_workspace(struct Run *r, Json *outcome);
/* The scope's folder, borrowed; negative: it is not known (yet), or gone. */
int run_limits_folder(struct Run *r);
/* How often it was hit, as far as that was told. */
uint64_t run_limits_hits(struct Run *r, LimitHit what);
/* Whether systemd-oomd killed it, as its mark on one of the cgroups says. */
bool run_limits_oomd(struct Run *r);
/* Reads what the scope has used while it can be read. */
void run_limits_sample(struct Run *r);
/* What the scope has used, as it was last read: for a run whose supervisor cannot say it any more. */
Json *run_limits_usage(struct Run *r);
