/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/runner.h"

/* Parses the configuration again and applies what can change live (token, log level, limits, agents); what cannot is
 * returned in ret_ignored (names, may be NULL). -EINVAL with *ret_error: nothing was changed. */
int runner_reload(Runner *r, char ***ret_ignored, char **ret_error);

/* What git jobs are given, as the configuration has it now; the strings stay the configuration's. */
void runner_take_git_settings(Runner *r);
