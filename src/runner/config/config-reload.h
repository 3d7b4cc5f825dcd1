/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/config/config.h"

/* The keys that differ, as northflare-runner.json(5) has them, "agents" for all of that; *ret_fixed: those whose new
 * value needs a restart. */
int config_compare(const RunnerConfig *old, const RunnerConfig *fresh, char ***ret_live, char ***ret_fixed);
/* Takes over what can change live, from fresh, which is what old had in its place then. The token is not among it. */
int config_take(RunnerConfig *c, RunnerConfig *fresh);
