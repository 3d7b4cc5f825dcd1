/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json.h"

/* The statistics of a snapshot as OpenMetrics. Labels are agents, states, reasons and limits, of which there are few;
 * conversations only while they live, and no more than so many. Returns 0 or -ENOMEM. */
#define METRICS_CONVERSATIONS_MAX 1000
int metrics_write(Json *snapshot, Buffer *out);
