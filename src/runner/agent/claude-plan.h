/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/launch-plan.h"

/* Whether what the repository's settings do counts. */
bool claude_is_trusted(Json *spec);

/* As in DriverOps. */
int claude_probe(Json *agent_config, char **ret_error);
int claude_plan(Json *spec, Json *agent_config, LaunchPlan *ret, char **ret_error);
