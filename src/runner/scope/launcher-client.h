/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/scope-name.h"

/* Calls to northflare-launcher, all asynchronous. done runs exactly once unless the call is freed first; an error
 * text is the launcher's own. */
typedef struct LauncherCall LauncherCall;

typedef struct LauncherLimit {
        const char *name; /* as the scope's property: MemoryHigh, MemoryMax, MemorySwapMax, TasksMax,
                             CPUQuotaPerSecUSec, CPUWeight, IOWeight, RuntimeMaxUSec */
        uint64_t value;
} LauncherLimit;

typedef struct LauncherStart {
        ScopeKind kind;
        const char *id; /* conversation or operation */
        uint32_t run;
        const char *workspace;
        char *const *argv;
        char *const *env; /* NAME=value */
        const char *cwd;  /* absolute, or below the workspace's directory; "" is that directory */
        const LauncherLimit *limits;
        size_t n_limits;
        int dirfd;    /* the run's directory; borrowed */
        int extra[2]; /* borrowed; -EBADF: none */
        unsigned n_extra;
} LauncherStart;

/* error: 0, or negative errno with text. unit and invocation (hex) only for a start that worked. */
typedef void (*LauncherDone)(
        int error,
        const char *text,
        const char *unit,
        const char *invocation,
        void *userdata);

int launcher_start(
        sd_bus *bus,
        const LauncherStart *start,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret);
/* verb: "Stop", "Kill", "Freeze", "Thaw", "Collect". */
int launcher_unit_verb(
        sd_bus *bus,
        const char *verb,
        const char *unit,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret);
int launcher_set_limits(
        sd_bus *bus,
        const char *unit,
        const LauncherLimit *limits,
        size_t n_limits,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret);
LauncherCall *launcher_call_free(LauncherCall *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(LauncherCall *, launcher_call_free);
