/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/config/config.h"
#include "runner/scope/launcher-client.h"

#define LIMITS_MAX 16
typedef struct Limits {
        LauncherLimit list[LIMITS_MAX];
        size_t n;
} Limits;

/* The limits of protocol.md (memoryHigh, memoryMax, memorySwapMax, tasksMax, cpuQuotaPercent, cpuWeight, ioWeight,
 * runtimeMaxSec) as properties of a scope; defaults (may be NULL) where the object does not say. A memoryHigh from the
 * defaults gives way to a lower memoryMax. -EINVAL with a sentence that names the limit; -EOPNOTSUPP for one that this
 * program does not offer. */
int limits_parse(Json *limits, const ConfigLimits *defaults, Limits *ret, char **ret_error);

/* The other way round: an object with the protocol's names and units. NULL: out of memory. */
Json *limits_to_json(const Limits *l);

/* Lowers defaults to ceilings: a limit that is not requested must not be refused for being too high. */
void limits_clip(ConfigLimits *defaults, const Limits *ceilings);
