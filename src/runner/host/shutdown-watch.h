/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/util.h"

/* Whether the machine, or in user mode the user's manager, is going down. logind says so first and waits for us for a
 * while (an inhibitor of the kind "delay"); then systemd has a job for shutdown.target, with or without logind. */
typedef struct ShutdownWatch ShutdownWatch;

typedef struct ShutdownOps {
        /* A shutdown begins. waits: how long logind waits at the most, until shutdown_watch_release(); 0: it does not wait.
         * It may be called once for logind and once for systemd. */
        void (*begun)(uint64_t waits_usec, void *userdata);
        /* It stays up after all. */
        void (*cancelled)(void *userdata);
} ShutdownOps;

/* bus: where systemd is. Without logind, systemd's job is all there is; that is said in the journal, and so is all the
 * time that there is at a shutdown. grace_usec: what a conversation has of it for its own end. */
int shutdown_watch_new(
        sd_bus *bus,
        bool user_mode,
        uint64_t grace_usec,
        const ShutdownOps *ops,
        void *userdata,
        ShutdownWatch **ret);
ShutdownWatch *shutdown_watch_free(ShutdownWatch *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(ShutdownWatch *, shutdown_watch_free);
/* How long we have from SIGTERM on: TimeoutStopSec= of our unit. */
uint64_t shutdown_watch_stop_usec(const ShutdownWatch *w);
/* There is nothing left that logind should wait for. */
void shutdown_watch_release(ShutdownWatch *w);

/* Reports whether the system (or the user's manager) is shutting down by now, for events that may have come before the
 * announcement. False as well where there is no answer within two seconds. Dropped with the slot. */
typedef void (*ShutdownAnswer)(bool stopping, void *userdata);
int shutdown_ask(sd_bus *bus, ShutdownAnswer answer, void *userdata, sd_bus_slot **ret);
