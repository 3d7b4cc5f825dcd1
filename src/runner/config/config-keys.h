/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* Which keys there are. */

#define CONFIG_DEPTH_MAX 8

typedef enum ConfigType {
        CONFIG_STRING,
        CONFIG_IDENT,
        CONFIG_PATH,     /* made absolute: relative to the directory of the file, or the current one */
        CONFIG_URL,      /* https://…, http://… */
        CONFIG_URL_PATH, /* /… */
        CONFIG_ENUM,
        CONFIG_UINT,
        CONFIG_BYTES, /* a number, or "4G" */
        CONFIG_BOOL,
        CONFIG_IDENT_LIST,
        CONFIG_ENV_LIST,        /* names of variables, "PREFIX_*" */
        CONFIG_REPOSITORY_LIST, /* common/repository-rule.h */
} ConfigType;

typedef struct ConfigKey {
        const char *name; /* with dots; "*" stands for a name that the administrator chooses */
        ConfigType type;
        const char *fallback; /* JSON text, or NULL: unset */
        uint64_t min, max;    /* of CONFIG_UINT and CONFIG_BYTES */
        const char *const *choices;
        const char *env, *option; /* other ways to give it, or NULL */
        bool live;                /* a reload takes it over */
} ConfigKey;

extern const ConfigKey config_keys[];
extern const size_t config_n_keys;

/* Where a value stands: its names from the top, borrowed. */
typedef struct ConfigPath {
        const char *part[CONFIG_DEPTH_MAX];
        unsigned n;
} ConfigPath;

int config_path_parse(const char *name, ConfigPath *ret, char **ret_memory);
char *config_path_text(const ConfigPath *path);
const ConfigKey *config_key_find(const ConfigPath *path);
const ConfigKey *config_key_by_name(const char *name);
/* Some key begins with this path. */
bool config_key_is_group(const ConfigPath *path);
/* The spelling of a key or group that differs from this path in upper and lower case alone, or NULL. */
char *config_key_similar(const ConfigPath *path);

/* Checks a value and puts it into the form in which it is kept. text: the value came as a string from a place that has
 * only strings (environment, command line, ${…}), so "60" is a number. -EINVAL: *ret_why is a clause. */
int config_key_check(
        const ConfigKey *key,
        Json *value,
        bool text,
        const char *base_dir,
        Json **ret,
        char **ret_why);
