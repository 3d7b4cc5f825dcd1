/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/http/server.h"
#include "orchestrator/hub/messages.h"

/* /v1/…: administration, on a unix socket, for root, this program's own user and the members of one group. */
typedef struct AdminApi {
        sd_event *event;
        Hub *hub;
        gid_t group; /* (gid_t) -1: there is no such group */
} AdminApi;
extern const HttpServerOps admin_api_ops; /* userdata: AdminApi */

#define ADMIN_GROUP "northflare-admin"
#define ADMIN_BODY_MAX HUB_PARAMS_MAX
