/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/config/config-values.h"

#define CONFIG_FILE_MAX (1024 * 1024)

/* The main file (its absence is an error where it was named) and its drop-ins. */
int config_load_files(ConfigLoader *l);
