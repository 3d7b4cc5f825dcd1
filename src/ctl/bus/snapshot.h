/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* All statistics of the runner at one moment, over D-Bus alone, so that -H and -M see what is seen here:
 *
 *   time           when it was asked, microseconds since 1970
 *   runner         the manager's properties by their names
 *   conversations  those that live, in the order of their start: properties (id, state, agent, startedAt, turns,
 *                  inputTokens, costUsd, …) and what ListResources() says (cpuUsec, memoryCurrent, …)
 *   totals         by agent what ListTotals() says, and `agent`
 *
 * *ret is for the caller to free. Returns an exit status, not 0 after a message where quiet is not set. */
int snapshot_take(bool quiet, Json **ret);
