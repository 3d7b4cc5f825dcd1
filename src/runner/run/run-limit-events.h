/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/limits/limit-watch.h"
#include "runner/run/run-limits.h"

typedef struct Run Run;

/* The limit events of a run: reported while it runs, and counted in its end. */

/* For limit_watch_new(), with the RunLimits. */
extern const LimitWatchOps run_limits_watch_ops;
/* The kernel says that everything of it is frozen, or is not any more. userdata: the RunLimits. */
void run_limits_set_frozen(bool frozen, void *userdata);
/* The run is over: reports the limit events that were not reported yet, by the statistics of its end. resources may be NULL. */
void run_limits_finish(Run *r, Json *resources);
/* Whether something in it was killed for memory at about the time of its end: a tool that was an hour ago is not why an
 * agent ends. outcome may be NULL. */
bool run_limits_oom(Run *r, Json *outcome);
/* Whether such a kill at about the time of its end was because of the limit of its workspace's slice. */
bool run_limits_oom_by_workspace(Run *r, Json *outcome);
/* The scope's directory, borrowed; negative: it is not known (yet), or gone. */
int run_limits_directory(Run *r);
/* The number of its limit events that were reported. */
uint64_t run_limits_events(Run *r, LimitEvent what);
/* Whether systemd-oomd killed it, as its mark on one of the cgroups says. */
bool run_limits_oomd(Run *r);
/* Reads what the scope has used while it can be read. */
void run_limits_sample(Run *r);
/* What the scope has used, as it was last read: for a run whose supervisor cannot say it any more. */
Json *run_limits_usage(Run *r);
