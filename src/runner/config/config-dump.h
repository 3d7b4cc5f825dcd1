/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/config/options.h"

/* `northflare-runner config`: every key with its value and origin, secrets masked; as a table, or one JSON object
 * {key: {"value":…, "origin":…}}. *ret may be set with an error too (address without token): print it first. */
int config_dump(
        const RunnerOptions *options,
        char *const *env,
        bool json,
        char **ret,
        int *ret_exit,
        char **ret_error);
