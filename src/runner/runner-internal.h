/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation-internal.h"
#include "runner/limits/ceilings.h"
#include "runner/link/link.h"
#include "runner/runner-admission.h"
#include "runner/runner-announce.h"
#include "runner/runner-control.h"
#include "runner/runner-crash.h"
#include "runner/runner-describe.h"
#include "runner/runner-disk.h"
#include "runner/runner-drain.h"
#include "runner/runner-housekeeping.h"
#include "runner/runner-queue.h"
#include "runner/runner-recover.h"
#include "runner/runner-registry.h"
#include "runner/runner-set-aside.h"
#include "runner/runner-shutdown.h"
#include "runner/runner-totals.h"
#include "runner/runner-workspaces.h"
#include "runner/runner.h"

/* The struct that ties the parts of the daemon. Each part has a file of its own; it knows the parts that it was made
 * with, and not this struct. */
struct Runner {
        sd_event *event;
        RunnerConfig *config;
        const RunnerOptions *options;
        Ceilings ceilings;
        uint64_t started_usec; /* CLOCK_REALTIME */
        int exit_code;

        /* what conversations and parts stand on: the bus, the store, the directories */
        ConversationContext *ctx;
        Store *store;
        Recovery *recovery;
        sd_event_source *readopt_timer;

        /* parts */
        Registry *conversations;
        Announcer *announcer;
        Totals *totals;
        Description *description;
        QueueCounter *queue;
        Disk *disk;
        Shutdown *shutdown;
        Drain *drain;
        AdmissionGate *gate;
        CrashWatch *crash;
        Workspaces *workspaces;
        Housekeeping *housekeeping;

        /* the orchestrator; without one, link and control are NULL */
        Link *link;
        Control *control;
        Resend *resend;

        /* above */
        const RunnerMethods *methods;
        void *methods_data;
        sd_event_source *signals[3];
};
