/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/config/config-keys.h"
#include "runner/config/options.h"

/* The merged object. */

typedef struct ConfigLoader {
        const RunnerOptions *options;
        char *const *env;
        bool user_mode;
        char *config_dir; /* /etc/northflare, or the user's */
        char *main_file;
        Json *values;  /* nested */
        Json *origins; /* dotted name → where from */
        char *error;
} ConfigLoader;

void config_loader_done(ConfigLoader *l);
/* Sets the error sentence "<origin>: <key>: <text>" (either NULL: left out). Returns -EINVAL. */
int config_fail(ConfigLoader *l, const char *origin, const char *key, const char *format, ...)
        _printf_(4, 5);
int config_set_value(ConfigLoader *l, const ConfigPath *path, Json *value_consume, const char *origin);
/* The directory of this product: of the system, or in user mode below the one that variable names, or else below home. For
 * the caller to free. */
int config_find_directory(
        ConfigLoader *l,
        const char *system,
        const char *variable,
        const char *below_home,
        char **ret);
int config_reset_value(ConfigLoader *l, const ConfigPath *path, const ConfigKey *key);
Json *config_get_value(ConfigLoader *l, const char *name); /* borrowed, NULL: unset */
const char *config_get_origin(ConfigLoader *l, const char *name);
