/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/log.h"
#include "runner/agent/driver.h"
#include "runner/run/run-check.h"
#include "runner/run/run-context.h"
#include "runner/run/run-end.h"
#include "runner/run/run-input.h"
#include "runner/run/run-limits.h"
#include "runner/run/run-output.h"
#include "runner/run/run-runtime.h"
#include "runner/run/run-start.h"
#include "runner/run/run-statistics.h"
#include "runner/run/run-watchdog.h"
#include "runner/run/run.h"
#include "runner/scope/watch.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store.h"

/* Every function that is called for a run from outside of this room's own calls begins with it. */
#define LOG_ABOUT_RUN(r)                                 \
        LOG_ABOUT(.conversation = (r)->row.conversation, \
                  .task = (r)->task,                     \
                  .workspace = (r)->workspace,           \
                  .unit = (r)->row.unit)

struct Run {
        RunContext *ctx;
        const RunOps *report;
        void *userdata;
        const char *agent, *task, *workspace;
        RunRow row; /* its `driven` is the offset of output.lines */
        Json *spec;
        const DriverOps *ops;
        Driver *driver;
        int dirfd;
        RunOutput output;
        RunInput input;
        RunStart start;
        RunCheck check;
        RunEnd end;
        RunLimits *limits;
        Statistics statistics; /* of the scope, as read last; the first is when */
        RunRuntime runtime;
        RunWatchdog watchdog;
        WatchSlot *watch;
        sd_event_source *drive_source;
        char *failure; /* in the driver's words, or why there is none: it is ended for that */
        bool ended;    /* no process is left; what remains is to read the output to its end */
        bool end_sent; /* the agent was asked to end */
        bool frozen;
        bool stopping; /* a stop was ordered */
};
