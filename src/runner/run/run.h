/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"
#include "runner/run/run-context.h"
#include "runner/run/run-effects.h"
#include "runner/run/run-end.h"
#include "runner/scope/launcher-queue.h"
#include "runner/store/store-conversation.h"

/* One run of an agent, live or just ended: its process in a scope, its output, its clocks and limits. A run does not
 * know its conversation. It reports through RunOps. */
typedef struct Run Run;

/* The functions are called from the loop or from a call of the run, and may call the run. Only released() may free it. */
typedef struct RunOps {
        /* A piece of output had effects: stores all of them in one transaction, of which run_store_effects() is a part.
         * Negative errno: nothing was stored; store_failed() follows. */
        int (*effects)(const RunEffects *effects, void *userdata);
        /* Reports whether the agent's session is known as that one. */
        bool (*is_session)(const char *session, void *userdata);
        /* A piece of output was read and its effects are stored; progress: there was something to read. */
        void (*driven)(bool progress, void *userdata);
        /* The run has an own event; params: its members. Part of the open transaction. */
        int (*event)(const char *method, Json *params, void *userdata);
        /* The change that the event describes is stored. */
        void (*changed)(void *userdata);
        /* The supervisor has reported the agent's working directory. */
        void (*directory)(const char *path, void *userdata);
        /* The start is about to be ordered: part of the transaction that stores it. */
        int (*starting)(void *userdata);
        /* The launcher has started the scope. invocation may be NULL. */
        void (*started)(const char *unit, const char *invocation, void *userdata);
        /* The launcher was lost in the middle of the first attempt. */
        void (*launcher_lost)(void *userdata);
        /* None of its processes runs, and run_start() is to be called again. */
        void (*start_again)(void *userdata);
        /* It cannot be started; text is for people. */
        void (*start_failed)(const char *text, void *userdata);
        /* An order for its scope (run_order()) has finished. error: 0 or a negative errno, with the launcher's text. */
        void (*ordered)(LauncherVerb verb, int error, const char *text, void *userdata);
        /* The kernel reports that all of its processes are frozen or were thawed: run_set_frozen(). */
        void (*frozen)(bool frozen, void *userdata);
        /* Its runtimeMaxSec has expired. */
        void (*time_over)(void *userdata);
        /* Its agent was silent for timeouts.silenceSec. */
        void (*silent)(void *userdata);
        /* A question was not answered in time, or exceeds the size limit: it is to be denied with that message. 1; 0:
         * it cannot be answered; or a negative errno of the store. */
        int (*deny)(uint64_t offset, unsigned n, const char *message, void *userdata);
        /* None of its processes is left and all of its output was read. True: the owner calls run_conclude() again later. */
        bool (*ending)(void *userdata);
        /* It is concluded: the end has to be stored. */
        void (*ended)(const RunEndFacts *facts, void *userdata);
        /* It has ended, and no function on the stack uses it: it may be freed. */
        void (*released)(void *userdata);
        /* The store could not be written: memory and store may differ. */
        void (*store_failed)(int error, void *userdata);
        /* A file could not be written because the disk is full. */
        void (*no_room)(void *userdata);
} RunOps;

/* Borrowed for the run's life. */
typedef struct RunParams {
        RunContext *context;
        const char *agent;            /* its name in the configuration */
        Json *agent_config;           /* its object in the configuration, or NULL; read in run_new() only */
        const char *task, *workspace; /* for the journal and for cgroups; either may be NULL */
        const RunOps *ops;
        void *userdata;
} RunParams;

/* Takes ownership of the row, also on failure. If the stored run cannot be read, the run has a failure and a driver without
 * a protocol. */
int run_new(const RunParams *params, RunRow *row_consume, Run **ret);
Run *run_free(Run *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(Run *, run_free);

/* Feeds the driver all output that exists. The effects are marked as replayed. */
int run_replay(Run *r);
/* Reads the agent's output, one bounded piece in each turn of the loop. */
void run_drive(Run *r);
/* Its end is stored: stops watching it, and closes its files. */
void run_close(Run *r);
/* Calls released() in a turn of its own. */
void run_release(Run *r);
