/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"
#include "runner/run/run-context.h"
#include "runner/run/run-effects.h"
#include "runner/run/run-end.h"
#include "runner/scope/launcher-queue.h"
#include "runner/store/store-conversation.h"

/* One run of an agent, live or just ended: its process in a scope, its output, its clocks and limits. A run knows no
 * conversation. What it finds out it reports through RunOps. */
typedef struct Run Run;

/* All of it is called from the loop or from inside a call of the run, and may call the run again. None may free it, except
 * released(). */
typedef struct RunOps {
        /* A piece of output had effects: stores all of them in one transaction, of which run_store_effects() is a part.
         * Negative errno: nothing was stored; store_failed() follows. */
        int (*effects)(const RunEffects *effects, void *userdata);
        /* Whether the agent's session is known as that one. */
        bool (*is_session)(const char *session, void *userdata);
        /* A piece of output was read and its effects are stored; progress: there was something to read. */
        void (*driven)(bool progress, void *userdata);
        /* An event of the run's own and what it says, an object: part of the open transaction. */
        int (*event)(const char *method, Json *params, void *userdata);
        /* What changed by that is stored. */
        void (*changed)(void *userdata);
        /* Where the agent works, as its supervisor says. */
        void (*directory)(const char *path, void *userdata);
        /* The start is about to be ordered: part of the transaction that stores it. */
        int (*starting)(void *userdata);
        /* The launcher has started the scope. invocation may be NULL. */
        void (*started)(const char *unit, const char *invocation, void *userdata);
        /* The launcher was lost in the middle of the first attempt. */
        void (*launcher_lost)(void *userdata);
        /* Nothing of it runs, and run_start() is to be called again. */
        void (*start_again)(void *userdata);
        /* It cannot be started; text is for people. */
        void (*start_failed)(const char *text, void *userdata);
        /* An order for its scope (run_order()) was carried out, or not: error and the launcher's text. */
        void (*ordered)(LauncherVerb verb, int error, const char *text, void *userdata);
        /* The kernel says that everything of it is frozen, or is not any more: run_set_frozen(). */
        void (*frozen)(bool frozen, void *userdata);
        /* Its time (runtimeMaxSec) is over. */
        void (*time_over)(void *userdata);
        /* Its agent said nothing for too long. */
        void (*silent)(void *userdata);
        /* A question was not answered in time, or cannot be passed on: it is to be denied with that message. 1; 0: it cannot
         * be answered; or a negative errno of the store. */
        int (*deny)(uint64_t offset, unsigned n, const char *message, void *userdata);
        /* It is over and all of its output was read. True: it is not concluded yet, run_conclude() will be called again. */
        bool (*ending)(void *userdata);
        /* It is concluded: the end has to be stored. */
        void (*ended)(const RunEndFacts *facts, void *userdata);
        /* It has ended, and no function on the stack uses it: it may be freed. */
        void (*released)(void *userdata);
        /* The store could not be written: what is in memory and what is stored may have parted. */
        void (*store_failed)(int error, void *userdata);
        /* A file could not be written for want of room. */
        void (*no_room)(void *userdata);
} RunOps;

/* Borrowed for the run's life. */
typedef struct RunParams {
        RunContext *context;
        const char *agent;            /* its name in the configuration */
        Json *agent_config;           /* what is configured of it, or NULL; read in run_new() only */
        const char *task, *workspace; /* for the journal and for cgroups; either may be NULL */
        const RunOps *ops;
        void *userdata;
} RunParams;

/* Takes over the row also where it fails. Where what is stored of it cannot be read, the run has a failure and a driver that
 * knows nothing. */
int run_new(const RunParams *params, RunRow *row_consume, Run **ret);
Run *run_free(Run *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(Run *, run_free);

/* Brings the driver to the end of the output that is there, which has the effects of one that was replayed. */
int run_replay(Run *r);
/* Reads what the agent wrote, one bounded piece a turn of the loop. */
void run_drive(Run *r);
/* Its end is stored: nothing of it is watched any more, and its files are closed. */
void run_close(Run *r);
/* Calls released() in a turn of its own. */
void run_release(Run *r);
