/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/limits/limits.h"

/* The launcher's ceilings, read by the runner too: so that a limit above one is refused when it is asked for, and not
 * when the scope is started. The launcher does not rely on it. */
typedef struct Ceilings {
        Limits limits;
} Ceilings;

/* Reads launcher.json; a missing file means no ceilings. -EINVAL and a sentence where it cannot be understood. */
int ceilings_load(bool user_mode, Ceilings *ret, char **ret_error);
/* The name of the first limit (as a scope's property) that is above its ceiling, or NULL. */
const char *ceilings_exceeded(const Ceilings *c, const Limits *limits, uint64_t *ret_ceiling);
