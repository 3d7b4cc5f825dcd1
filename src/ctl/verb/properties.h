/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Limits as people write them: MemoryMax=2G, TasksMax=500, CPUQuota=150%, CPUWeight=20. */

/* Reads NAME=VALUE. NULL, the name that SetLimits of the bus has for it (static) and the value in its unit; or what is wrong
 * with it, a sentence without an end. */
const char *property_parse(const char *assignment, const char **ret_limit, uint64_t *ret_value);
