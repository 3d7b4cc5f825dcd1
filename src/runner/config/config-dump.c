/* SPDX-License-Identifier: MIT */
#include <strings.h>

#include "common/buffer.h"
#include "runner/config/config-dump.h"
#include "runner/config/config-load.h"
#include "runner/config/config-token.h"
#include "runner/config/config.h"

#define MASK "********"

typedef struct DumpRow {
        char *key, *value; /* value: JSON text */
        const char *origin;
} DumpRow;

typedef struct Dump {
        ConfigLoader *loader;
        DumpRow *rows;
        size_t n;
} Dump;

static void dump_done(Dump *d) {
        for (size_t i = 0; i < d->n; i++) {
                free(d->rows[i].key);
                free(d->rows[i].value);
        }
        free(d->rows);
}

/* A variable for an agent may be a key to something. */
static bool is_secret(const ConfigPath *path) {
        static const char *const words[] = {
                "KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH", "COOKIE"
        };

        if (path->n != 4 || !streq(path->part[0], "agents"))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasestr(path->part[3], words[i]))
                        return true;
        return false;
}

static int add_row(Dump *d, const char *key, const char *value, const char *origin) {
        DumpRow *rows = reallocarray(d->rows, d->n + 1, sizeof(*rows));

        if (!rows)
                return -ENOMEM;
        d->rows = rows;
        rows[d->n] = (DumpRow){ .key = strdup(key), .value = strdup(value), .origin = origin };
        d->n++;
        return rows[d->n - 1].key && rows[d->n - 1].value ? 0 : -ENOMEM;
}

static int add_value(Dump *d, const ConfigPath *path, Json *value) {
        _cleanup_free_ char *name = config_path_text(path);
        const char *origin;

        if (!name)
                return -ENOMEM;
        origin = config_get_origin(d->loader, name);
        return add_row(
                d,
                name,
                !value                  ? "null" :
                        is_secret(path) ? "\"" MASK "\"" :
                                          json_text(value),
                origin ? origin : "default");
}

/* Each leaf of a group whose names the administrator chose; the group itself where it is empty. */
static int add_group(Dump *d, ConfigPath *path, Json *value) {
        int r = 0;

        if (!json_object_is_type(value, json_type_object) || json_object_object_length(value) == 0)
                return add_value(d, path, value);
        json_object_object_foreach(value, name, member) {
                path->part[path->n++] = name;
                r = add_group(d, path, member);
                path->n--;
                if (r < 0)
                        return r;
        }
        return r;
}

static int collect(Dump *d, bool token, const char *token_origin) {
        const char *group = "";
        int r;

        for (size_t i = 0; i < config_n_keys; i++) {
                _cleanup_free_ char *memory = NULL;
                ConfigPath path;

                r = config_path_parse(config_keys[i].name, &path, &memory);
                if (r < 0)
                        return r;
                if (!strchr(config_keys[i].name, '*'))
                        r = add_value(d, &path, config_get_value(d->loader, config_keys[i].name));
                else if (!startswith(config_keys[i].name, group) || !*group) {
                        group = streq(path.part[0], "agents") ? "agents" : "labels";
                        path = (ConfigPath){ .part = { group }, .n = 1 };
                        r = add_group(d, &path, json_get(d->loader->values, group));
                }
                if (r < 0)
                        return r;
        }
        return add_row(d, "token", token ? "\"" MASK "\"" : "null", token_origin);
}

static char *print_json(const Dump *d) {
        _cleanup_buffer_ Buffer b = {};

        for (size_t i = 0; i < d->n; i++) {
                (void) buffer_append_str(&b, i == 0 ? "{\n  " : ",\n  ");
                (void) buffer_append_json_str(&b, d->rows[i].key);
                (void) buffer_printf(&b, ": {\"value\": %s, \"origin\": ", d->rows[i].value);
                (void) buffer_append_json_str(&b, d->rows[i].origin);
                (void) buffer_append_str(&b, "}");
        }
        (void) buffer_append_str(&b, "\n}\n");
        return buffer_steal(&b);
}

static char *print_table(const Dump *d) {
        _cleanup_buffer_ Buffer b = {};
        size_t key_width = 0, value_width = 0;

        for (size_t i = 0; i < d->n; i++) {
                key_width = MAX(key_width, strlen(d->rows[i].key));
                /* A long list does not push the others out of the window. */
                if (strlen(d->rows[i].value) <= 40)
                        value_width = MAX(value_width, strlen(d->rows[i].value));
        }
        (void) buffer_printf(
                &b, "%-*s  %-*s  %s\n", (int) key_width, "KEY", (int) value_width, "VALUE", "ORIGIN");
        for (size_t i = 0; i < d->n; i++)
                (void) buffer_printf(
                        &b,
                        "%-*s  %-*s  %s\n",
                        (int) key_width,
                        d->rows[i].key,
                        (int) value_width,
                        streq(d->rows[i].value, "null") ? "-" : d->rows[i].value,
                        d->rows[i].origin);
        return buffer_steal(&b);
}

int config_dump(
        const RunnerOptions *options,
        char *const *env,
        bool json,
        char **ret,
        int *ret_exit,
        char **ret_error) {
        _cleanup_(config_loader_done) ConfigLoader l = {};
        _cleanup_(dump_done) Dump d = { .loader = &l };
        _cleanup_free_ char *origin = NULL;
        char *token = NULL;
        bool elsewhere;
        int r, q;

        *ret = *ret_error = NULL;
        *ret_exit = EXIT_CONFIG;
        r = config_loader_run(&l, options, env);
        if (r >= 0)
                r = config_load_token(&l, &token, &origin);
        config_token_free(token);
        /* Credentials that systemd passes to the service are not available to a command, so they are not
         * reported as missing. */
        elsewhere = r == 0 && !l.user_mode && isempty(strv_env_get(l.env, "CREDENTIALS_DIRECTORY"));
        if (r >= 0) {
                r = collect(
                        &d,
                        origin,
                        elsewhere      ? "by systemd, for the service" :
                                origin ? origin :
                                         "not given");
                if (r >= 0) {
                        *ret = json ? print_json(&d) : print_table(&d);
                        r = *ret ? 0 : -ENOMEM;
                }
                /* What is there is shown, and what is missing said. */
                q = r >= 0 && !elsewhere ? config_check_token(&l, origin) : 0;
                r = q < 0 ? q : r;
        }
        if (r >= 0) {
                *ret_exit = 0;
                return 0;
        }
        if (r == -ENOMEM)
                *ret_exit = EXIT_FAILURE;
        *ret_error = l.error ? TAKE_PTR(l.error) : strdup(strerrordesc_np(-r));
        return r;
}
