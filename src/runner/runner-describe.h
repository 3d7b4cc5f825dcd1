/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/runner.h"

/* The description of this machine and its conversations for the orchestrator. */

/* What of it stays as it is while the program runs. */
typedef struct Description Description;

int description_new(Description **ret);
Description *description_free(Description *d);

/* Adds to the params of runner.register what does not change often: hostname, machineId, os, arch, labels, agents,
 * capacity, conversations. */
int runner_describe(Runner *r, Json *params);
/* Adds to those of runner.heartbeat what is now: uptimeMs, state, load, queue, delivery, admission, capacity,
 * conversations. */
int runner_describe_now(Runner *r, Json *params);
