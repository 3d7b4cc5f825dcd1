/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/http/server.h"

/* /api/runner/…: what runners speak to. Everything needs a bearer token; userdata of the ops is the hub. */
extern const HttpServerOps runner_api_ops;

/* A body has one batch, in which one event may be as large as an agent's line plus what stands around it. */
#define RUNNER_BODY_MAX_DEFAULT ((size_t) 24 * 1024 * 1024)
