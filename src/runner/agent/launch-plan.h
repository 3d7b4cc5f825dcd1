/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* What the launcher is asked to run. */
typedef struct LaunchPlan {
        char **argv; /* argv[0] absolute; "{private}" inside an argument becomes the private file's path */
        char **env;  /* NAME=value */
        char *private_file; /* contents of a 0600 file of the agent user (MCP servers, …), or NULL */
} LaunchPlan;
void launch_plan_done(LaunchPlan *p);

/* Where the program is: agent_config.executable, else the first of the paths (NULL-terminated) that can be
 * executed. -ENOENT with an error that says what to do. */
int plan_executable(
        Json *agent_config,
        const char *const *paths,
        const char *advice,
        char **ret_path,
        char **ret_error);

/* The defaults, then what agent_config.env and spec.env say, later values in place of earlier ones. */
int plan_env(Json *spec, Json *agent_config, const char *const *defaults, char ***ret_env, char **ret_error);

/* Member name of o as a string: 1; 0 where it is missing; -EINVAL with an error where it is no string, or has
 * control characters, or more than max bytes. */
int plan_string(Json *o, const char *name, size_t max, const char **ret, char **ret_error);
