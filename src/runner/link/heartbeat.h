/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/endpoint.h"

/* A heartbeat has a request of its own, beside all events, and says how things are now: one that fails or is late is
 * replaced by the next, never repeated. */
typedef struct Heartbeat Heartbeat;

/* describe puts into the params what is to be said. */
typedef int (*HeartbeatDescribe)(void *userdata, Json *params);

int heartbeat_new(
        sd_event *event,
        Endpoint *endpoint,
        uint64_t interval_usec,
        HeartbeatDescribe describe,
        void *userdata,
        Heartbeat **ret);
Heartbeat *heartbeat_free(Heartbeat *h);
DEFINE_TRIVIAL_CLEANUP_FUNC(Heartbeat *, heartbeat_free);

/* From the next heartbeat on. */
void heartbeat_set_interval(Heartbeat *h, uint64_t interval_usec);
/* Sends one now, and one in every interval from then on. */
void heartbeat_send(Heartbeat *h);
void heartbeat_stop(Heartbeat *h);
