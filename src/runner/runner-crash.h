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
/* The end in order: takes the mark away, before the store is closed. */
CrashWatch *crash_watch_free(CrashWatch *w);
/* Once ctx has its store: sets the mark, and keeps the one that was there. */
void crash_watch_mark(CrashWatch *w);
/* Once ctx has its bus: watches the launcher. */
int crash_watch_open(CrashWatch *w);
/* The queue of reports to the orchestrator; without one they are only logged. Borrowed. */
void crash_watch_set_control(CrashWatch *w, Control *control);
/* Reports what is known of earlier ends, and tries again by itself where the journal may say more. */
void crash_watch_check(CrashWatch *w);
