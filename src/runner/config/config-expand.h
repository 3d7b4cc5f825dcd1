/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Replaces ${NAME} and ${NAME:-default}; $${ is a literal ${. 1: something was replaced; 0: nothing was; -EINVAL and
 * *ret_why. */
int config_expand(char *const *env, const char *text, char **ret, char **ret_why);
