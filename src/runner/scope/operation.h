/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "runner/scope/launcher-client.h"
#include "runner/scope/watch.h"

/* A short job in a scope of its own (git, a hook): its input is known beforehand, its output is lines. It uses the
 * same launcher, supervisor and files as an agent, in <state>/operations/<id>-<n>/, which goes when the job has ended. */
typedef struct Operation Operation;

typedef struct OperationContext {
        sd_event *event;
        sd_bus *bus;  /* of the launcher */
        Watch *watch; /* the runner's one inotify instance */
        int state_fd; /* the state directory */
} OperationContext;

/* Longer ones are not handed out. */
#define OPERATION_LINE_MAX ((size_t) 64 * 1024)
typedef void (*OperationLine)(Operation *o, const char *line, size_t size, void *userdata);
/* error: 0 and the exit status (or 128 + signal), with a text where a limit of its scope was reached, else NULL; or negative
 * errno where it could not be run or took too long, with a text. Runs once,
 * never from inside operation_start. */
typedef void (*OperationDone)(Operation *o, int error, const char *text, int exit_status, void *userdata);

typedef struct OperationParams {
        ScopeKind kind;
        const char *id; /* [A-Za-z0-9_.-], the conversation's */
        const char *workspace;
        char *const *argv; /* GIT: argv[1…] only, the launcher names the program */
        char *const *env;
        const char *cwd;
        const char *input; /* all of stdin */
        size_t input_size;
        int extra[2]; /* borrowed for the call; -EBADF: none */
        unsigned n_extra;
        uint64_t timeout_usec;
        OperationLine line;
        OperationDone done;
        void *userdata;
} OperationParams;

int operation_start(const OperationContext *context, const OperationParams *params, Operation **ret);
/* Where it still runs: kills its scope in the background; neither callback runs any more. */
Operation *operation_free(Operation *o);
DEFINE_TRIVIAL_CLEANUP_FUNC(Operation *, operation_free);
