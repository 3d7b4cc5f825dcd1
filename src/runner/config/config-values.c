/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "runner/config/config-values.h"

void config_loader_done(ConfigLoader *l) {
        free(l->config_dir);
        free(l->main_file);
        free(l->error);
        json_object_put(l->values);
        json_object_put(l->origins);
        *l = (ConfigLoader){};
}

int config_fail(ConfigLoader *l, const char *origin, const char *key, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        free(l->error);
        l->error = xasprintf(
                "%s%s%s%s%s", strempty(origin), origin ? ": " : "", strempty(key), key ? ": " : "", text);
        return l->error ? -EINVAL : -ENOMEM;
}

/* ---- the nested object ---- */

int config_set_value(ConfigLoader *l, const ConfigPath *path, Json *value_consume, const char *origin) {
        _cleanup_free_ char *name = config_path_text(path);
        Json *at = l->values;
        int r;

        for (unsigned i = 0; i + 1 < path->n; i++) {
                Json *next = json_get(at, path->part[i]);

                if (!next) {
                        next = json_object_new_object();
                        if (json_set(at, path->part[i], next) < 0) {
                                json_object_put(value_consume);
                                return -ENOMEM;
                        }
                }
                at = next;
        }
        r = json_set(at, path->part[path->n - 1], value_consume);
        if (r < 0)
                return r;
        return name ? json_set_string(l->origins, name, origin) : -ENOMEM;
}

static Json *lookup(ConfigLoader *l, const ConfigPath *path) {
        Json *at = l->values;

        for (unsigned i = 0; i < path->n; i++)
                at = json_get(at, path->part[i]);
        return at;
}

Json *config_get_value(ConfigLoader *l, const char *name) {
        _cleanup_free_ char *memory = NULL;
        ConfigPath path;

        return config_path_parse(name, &path, &memory) < 0 ? NULL : lookup(l, &path);
}

const char *config_get_origin(ConfigLoader *l, const char *name) {
        return json_get_string(l->origins, name);
}

int config_find_directory(
        ConfigLoader *l,
        const char *system,
        const char *variable,
        const char *below_home,
        char **ret) {
        const char *base = strv_env_get(l->env, variable), *home = strv_env_get(l->env, "HOME");

        if (!l->user_mode)
                *ret = strdup(system);
        else if (base && *base == '/')
                *ret = xasprintf("%s/northflare", base);
        else if (home && *home == '/')
                *ret = xasprintf("%s/%s/northflare", home, below_home);
        else
                return config_fail(
                        l, NULL, NULL, "neither %s nor HOME is set to an absolute path", variable);
        return *ret ? 0 : -ENOMEM;
}

int config_reset_value(ConfigLoader *l, const ConfigPath *path, const ConfigKey *key) {
        _cleanup_free_ char *name = config_path_text(path), *dir = NULL;
        _cleanup_json_ Json *value = NULL;
        Json *parent;
        int r;

        if (!name)
                return -ENOMEM;
        if (key->fallback) {
                if (json_parse_from(
                            JSON_OF_ADMINISTRATOR, key->fallback, strlen(key->fallback), &value, NULL) < 0)
                        return -ENOMEM;
                return config_set_value(l, path, TAKE_PTR(value), "default");
        }
        if (streq(key->name, "dataDir")) {
                r = config_find_directory(l, NF_STATEDIR, "XDG_STATE_HOME", ".local/state", &dir);
                if (r < 0)
                        return r;
                return config_set_value(l, path, json_object_new_string(dir), "default");
        }
        ConfigPath above = *path;
        above.n--;
        parent = lookup(l, &above);
        if (parent)
                json_object_object_del(parent, path->part[path->n - 1]);
        json_object_object_del(l->origins, name);
        return 0;
}
