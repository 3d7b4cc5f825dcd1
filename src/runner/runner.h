/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "runner/config/config.h"
#include "runner/conversation/conversation.h"
#include "runner/link/link.h"
#include "runner/runner-announce.h"
#include "runner/runner-set-aside.h"
#include "runner/runner-workspaces.h"
#include "runner/store/state.h"

/* The runner: owns the loop's long-lived objects (store, link, launcher connection, conversations). What stands above it, the
 * methods of the protocol and the bus objects, is tied to it by main() and is notified by it through tables of functions. */
typedef struct Runner Runner;

/* options and config are borrowed for its life. */
int runner_new(sd_event *event, const RunnerOptions *options, RunnerConfig *config, Runner **ret);
Runner *runner_free(Runner *r);
/* Opens the store and the bus, and makes the link. The runner is not visible yet: the methods and the bus objects are hung in
 * and the bus name is taken behind this. What fails is logged. */
int runner_open(Runner *r);
/* Adopts what lives, says READY, then connects. What fails is logged. */
int runner_begin(Runner *r);
/* After the loop, while the observer is still notified of removals: stores what was not worth a transaction of its own. r may
 * be NULL. */
void runner_stop(Runner *r);

/* What the loop's end means for the exit status; the text (may be NULL) was logged. */
int runner_exit_code(Runner *r);

/* Who calls from this machine. Texts are "" where they are not known: the program, and the unit that it runs in. */
typedef struct RunnerCaller {
        uid_t uid; /* (uid_t) -1: it had disconnected before it was asked */
        pid_t pid;
        const char *comm, *unit;
} RunnerCaller;

sd_event *runner_get_event(Runner *r);
sd_bus *runner_get_bus(Runner *r);
bool runner_is_user_mode(Runner *r);
/* Its parts, borrowed. */
Resend *runner_get_resend(Runner *r);
Workspaces *runner_get_workspaces(Runner *r);

void runner_set_observer(Runner *r, const RunnerObserver *observer, void *userdata);

/* What the runner hands messages to. */
typedef struct RunnerMethods {
        /* A message of the orchestrator that is ours: it is accepted and acted on, as LinkOps.process says. */
        int (*message)(const Envelope *e, void *userdata);
        /* The deferred response to a message (conversation.stop) is known and stored. */
        void (*responded)(Conversation *c, int64_t seq, EndReason reason, void *userdata);
} RunnerMethods;
void runner_set_methods(Runner *r, const RunnerMethods *methods, void *userdata);
