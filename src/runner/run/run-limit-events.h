/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/limits/limit-watch.h"
#include "runner/run/run-limits.h"

typedef struct Run Run;

/* The limit events of a run: reported while it runs, and counted in its end. */

/* For limit_watch_new(), with the RunLimits. */
extern const LimitWatchOps run_limits_watch_ops;
/* The kernel reports that all of its processes are frozen or were thawed. userdata: the RunLimits. */
void run_limits_set_frozen(bool frozen, void *userdata);
/* The run has ended: reports the limit events that were not reported yet, by the statistics of its end. resources may
 * be NULL. */
void run_limits_finish(Run *r, Json *resources);
/* Reports whether a process of the run was killed for memory at about the time of its end: an earlier kill of a tool is
 * not the cause of an agent's end. outcome may be NULL. */
bool run_limits_oom(Run *r, Json *outcome);
/* Reports whether such a kill at about the time of its end was because of the limit of its workspace's slice. */
bool run_limits_oom_by_workspace(Run *r, Json *outcome);
/* Returns the scope's cgroup directory, borrowed; negative: it is not known (yet), or was removed. */
int run_limits_directory(Run *r);
/* Returns the number of the run's limit events that were reported. */
uint64_t run_limits_events(Run *r, LimitEvent what);
/* Reports whether systemd-oomd killed the run, as its mark on one of the cgroups shows. */
bool run_limits_oomd(Run *r);
/* Reads the usage of the scope while it can be read. */
void run_limits_sample(Run *r);
/* Returns the usage of the scope, as last read: for a run whose supervisor cannot report it any more. */
Json *run_limits_usage(Run *r);
