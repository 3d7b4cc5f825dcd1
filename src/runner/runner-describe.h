/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/runner.h"

/* The description of this machine and its conversations for the orchestrator. */

/* The part of the description that does not change while the program runs. */
typedef struct Description Description;

int description_new(Description **ret);
Description *description_free(Description *d);

/* Adds to the params of runner.register the members that change seldom: hostname, machineId, os, arch, labels, agents,
 * capacity, conversations. */
int runner_describe(Runner *r, Json *params);
/* Adds to the params of runner.heartbeat the present values: uptimeMs, state, load, queue, delivery, admission,
 * capacity, conversations. */
int runner_describe_now(Runner *r, Json *params);
