/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/run/run-context.h"
#include "runner/runner-control.h"
#include "runner/runner-registry.h"

/* Marks in the store that a runner is there, finds the mark of one that did not end in order, and watches for the launcher's
 * death. Both are reported to the journal and to the orchestrator. */
typedef struct CrashWatch CrashWatch;

/* All are borrowed. started_usec: of this program, CLOCK_REALTIME. */
int crash_watch_new(
        const RunContext *ctx,
        const Registry *conversations,
        uint64_t started_usec,
        CrashWatch **ret);
/* The runner ends in order: removes the mark, before the store is closed. */
CrashWatch *crash_watch_free(CrashWatch *w);
/* Sets the mark, and keeps the previous one. ctx has its store by then. */
void crash_watch_mark(CrashWatch *w);
/* Watches the launcher. ctx has its bus by then. */
int crash_watch_open(CrashWatch *w);
/* Sets the queue of reports to the orchestrator; without one they are only logged. Borrowed. */
void crash_watch_set_control(CrashWatch *w, Control *control);
/* Reports the known facts about earlier ends, and tries again by itself where the journal may say more. */
void crash_watch_check(CrashWatch *w);
