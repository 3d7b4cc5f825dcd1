/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/config/config-values.h"

/* Loads defaults, files, environment and options, in this order: everything but the token. */
int config_loader_run(ConfigLoader *l, const RunnerOptions *options, char *const *env);
