/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/runner.h"

/* Parses the configuration again and applies the keys that can change while the program runs (token, log level, limits,
 * agents); the names of changed keys that cannot are returned in ret_ignored (may be NULL). -EINVAL with *ret_error:
 * nothing was changed. */
int runner_reload(Runner *r, char ***ret_ignored, char **ret_error);

/* Sets the parameters of git jobs from the present configuration, which keeps the strings. */
void runner_take_git_settings(Runner *r);
