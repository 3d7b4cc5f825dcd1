/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/scope/launcher-client.h"

typedef struct Run Run;

/* The start of a run: from a prepared row to a scope with the agent in it. */
typedef struct RunStart {
        LauncherCall *call;
        unsigned attempts;
} RunStart;

typedef struct RunStartParams {
        Json *agent_config; /* or NULL */
        Json *limits;       /* as asked for, or NULL */
        Json *adoption; /* the facts about its owner that a store needs which has to be created again; changed */
        const char *directory; /* where it works; NULL: the workspace's own */
} RunStartParams;

void run_start_done(RunStart *s);
/* Makes its directory and its first input, stores what is about to happen and asks the launcher: started(), start_again() or
 * start_failed() follow. Negative errno, with a text if the cause is known: nothing was ordered. */
int run_start(Run *r, const RunStartParams *p, char **ret_error);
/* Nothing waits for a start any more that the launcher may have been asked for: what may come of it is killed. Nothing
 * is ordered for one that was not asked for, or was answered. */
void run_abandon_start(Run *r);
/* Reports whether the launcher was asked and has not answered. */
bool run_start_is_under_way(const Run *r);
/* Reports whether the launcher failed at least once. */
bool run_start_was_tried(const Run *r);
/* Opens its directory, which an earlier runner has created. */
int run_open_directory(Run *r);
int run_directory_fd(const Run *r);
/* Its scope exists: stores that, in the open transaction. invocation may be NULL. */
int run_store_started(Run *r, const char *unit, const char *invocation);
