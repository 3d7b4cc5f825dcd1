/* SPDX-License-Identifier: MIT */
#pragma once

#include <getopt.h>

#include "runner/config/config.h"

#define CONFIG_FILE_MAX (1024 * 1024)
#define CONFIG_DROPINS_MAX 256
#define CONFIG_DEPTH_MAX 8
#define EXIT_CONFIG 78 /* EX_CONFIG of sysexits.h, which systemd knows by this name too */

/* ---- config-keys.c: which keys there are ---- */

typedef enum ConfigType {
        CONFIG_STRING,
        CONFIG_IDENT,
        CONFIG_PATH,     /* made absolute: below the file's folder, or the current one */
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

/* ---- config-url.c ---- */

/* A base URL without user, query and fragment; *ret is without the slash at the end. -EINVAL: *ret_why is a clause. */
int config_url_check(const char *url, char **ret, bool *ret_plain, bool *ret_loopback, char **ret_why);

/* ---- config-position.c: json-c gives no lines ---- */

typedef struct ConfigPosition {
        char *path; /* as config_path_text() */
        unsigned line;
} ConfigPosition;

typedef struct ConfigPositions {
        ConfigPosition *items;
        size_t n;
        unsigned error_line; /* set with -EBADMSG */
        char *error;
} ConfigPositions;

/* Finds the line of each key. -EBADMSG: no valid JSON, or a key twice in one object. */
int config_positions_scan(const char *text, size_t size, ConfigPositions *ret);
unsigned config_positions_line(const ConfigPositions *p, const char *path); /* 0: not there */
void config_positions_done(ConfigPositions *p);

/* ---- config-expand.c ---- */

/* Replaces ${NAME} and ${NAME:-default}; $${ is a literal ${. 1: something was replaced; 0: nothing was; -EINVAL and
 * *ret_why. */
int config_expand(char *const *env, const char *text, char **ret, char **ret_why);

/* ---- config-values.c: the merged object ---- */

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
/* Everything but the token. */
int config_loader_run(ConfigLoader *l, const RunnerOptions *options, char *const *env);
/* Sets the error sentence "<origin>: <key>: <text>" (either NULL: left out). Returns -EINVAL. */
int config_fail(ConfigLoader *l, const char *origin, const char *key, const char *format, ...)
                _printf_(4, 5);
int config_set_value(ConfigLoader *l, const ConfigPath *path, Json *value_consume, const char *origin);
int config_reset_value(ConfigLoader *l, const ConfigPath *path, const ConfigKey *key);
Json *config_get_value(ConfigLoader *l, const char *name); /* borrowed, NULL: unset */
const char *config_get_origin(ConfigLoader *l, const char *name);

/* ---- config-file.c ---- */

/* The main file (its absence is an error where it was named) and its drop-ins. */
int config_load_files(ConfigLoader *l);

/* ---- config-token.c ---- */

/* 1, 0 where there is none, or an error with the sentence in l->error. */
int config_load_token(ConfigLoader *l, char **ret, char **ret_origin);
char *config_token_free(char *token); /* erases it */
/* -EINVAL: address without token, or the other way round. */
int config_check_token(ConfigLoader *l, const char *token_origin);

/* ---- options.c ---- */

extern const struct option options_long[]; /* ends with a row of zeros */
