/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "runner/config/config.h"
#include "runner/conversation/conversation.h"
#include "runner/link/link.h"
#include "runner/runner-announce.h"
#include "runner/runner-set-aside.h"
#include "runner/runner-totals.h"

/* The hub: owns the loop's long-lived objects (store, link, launcher connection, conversations). What stands above it, the
 * methods of the protocol and the bus objects, is tied to it by main() and hears from it by tables of calls. */
typedef struct Runner Runner;

/* options and config are borrowed for its life. */
int runner_new(sd_event *event, const RunnerOptions *options, RunnerConfig *config, Runner **ret);
Runner *runner_free(Runner *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(Runner *, runner_free);
/* Opens the store and the bus, and makes the link. Nobody sees the runner yet: the methods and the bus objects are hung in
 * and the bus name is taken behind this. What fails is logged. */
int runner_open(Runner *r);
/* Adopts what lives, says READY, then connects. What fails is logged. */
int runner_begin(Runner *r);
/* After the loop, while the observer still hears of what goes: stores what was not worth a transaction of its own. r may
 * be NULL. */
void runner_stop(Runner *r);

/* What the loop's end means for the exit status; the text (may be NULL) was logged. */
int runner_exit_code(Runner *r);

/* Who calls from this machine. Texts are "" where they are not known: the program, and the unit that it runs in. */
typedef struct RunnerCaller {
        uid_t uid; /* (uid_t) -1: it had left before anybody could ask */
        pid_t pid;
        const char *comm, *unit;
} RunnerCaller;

sd_event *runner_get_event(Runner *r);
sd_bus *runner_get_bus(Runner *r);
const RunnerConfig *runner_get_config(Runner *r);
bool runner_is_user_mode(Runner *r);
/* Its parts, borrowed. */
Resend *runner_get_resend(Runner *r);

/* Properties of org.northflare.Runner1.Manager. */
typedef struct RunnerStatus {
        const char *version, *runner_id, *runner_uid, *state, *orchestrator_url; /* "" where there is none */
        const char *refusing; /* why new conversations are refused: draining, capacity, disk, …; "": they are not */
        bool connected, active, draining;
        uint32_t conversations, capacity;
        uint64_t queued_events, queued_bytes, oldest_queued_usec;
        uint64_t last_ack_usec, reconnects, duplicates, set_aside;
        uint64_t started_usec; /* CLOCK_REALTIME */
} RunnerStatus;
void runner_get_status(Runner *r, RunnerStatus *ret);

/* Parses the configuration anew and takes over what can change live (token, log level, limits, agents); what cannot is
 * returned in ret_ignored (names, may be NULL). -EINVAL with *ret_error: nothing was changed. */
int runner_reload(Runner *r, char ***ret_ignored, char **ret_error);
/* Workspaces that were used here: an array of {id, key, lastUsedAt, conversations: those that live in it}. */
int runner_list_workspaces(Runner *r, Json **ret);
/* What is in one (FolderDone says of what form that is, with id and conversations), or all of it away: force, even what is
 * nowhere else. reply runs once, later; the call may be freed inside, and before to cancel it. -ENOENT: there is none of
 * that id; -EBUSY: somebody lives there; -EAGAIN: WORKSPACE_CALLS_MAX are under way. */
#define WORKSPACE_CALLS_MAX 4
typedef struct WorkspaceCall WorkspaceCall;
typedef void (*WorkspaceReply)(int error, const char *text, Json *result, void *userdata);
int runner_workspace_call(
                Runner *r,
                const char *id,
                bool remove,
                bool force,
                WorkspaceReply reply,
                void *userdata,
                WorkspaceCall **ret);
WorkspaceCall *workspace_call_free(WorkspaceCall *c);

/* The i-th, counted from 0; NULL: there are no more. Borrowed; 0 brings them all up to date. */
const RunnerTotals *runner_get_totals(Runner *r, size_t i);

void runner_set_observer(Runner *r, const RunnerObserver *observer, void *userdata);

/* What the runner hands messages to. */
typedef struct RunnerMethods {
        /* A message of the orchestrator that is ours: it is accepted and acted on, as LinkOps.process says. */
        int (*message)(const Envelope *e, void *userdata);
        /* The deferred response to a message (conversation.stop) is known and stored. */
        void (*responded)(Conversation *c, int64_t seq, const char *reason, void *userdata);
} RunnerMethods;
void runner_set_methods(Runner *r, const RunnerMethods *methods, void *userdata);
