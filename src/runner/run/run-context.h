/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "runner/config/config.h"
#include "runner/scope/launcher-queue.h"
#include "runner/scope/units.h"
#include "runner/scope/watch.h"
#include "runner/store/store.h"

/* The state that all runs of this runner share. Nothing in it is owned, except what run_context_done() frees. */
typedef struct RunContext {
        sd_event *event;
        sd_bus *bus;
        LauncherQueue *launcher; /* may be NULL: nothing is ordered then */
        Store *store;
        Watch *watch;
        Units *units;
        RunnerConfig *config;
        int state_fd, conversations_fd;
        bool shutting_down;  /* of the machine */
        bool ready;          /* scopes may be started (they wait for our own READY) */
        bool broken;         /* the store failed: nothing moves until everything was read from it again */
        bool addresses_held; /* a filter of addresses has an effect here, as was seen of some scope */
        char **controllers_reported; /* without effect here, as the journal has it already; owned */
} RunContext;

/* Reports whether it has to be logged that a controller of the kernel has no effect here: true once for each
 * controller. */
bool run_context_report_controller(RunContext *c, const char *controller);
void run_context_done(RunContext *c);
