/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "runner/config/config-file.h"
#include "runner/config/config-load.h"
#include "runner/config/config-url.h"

static int load_defaults(ConfigLoader *l) {
        int r;

        r = json_set(l->values, "agents", json_object_new_object());
        if (r >= 0)
                r = json_set(l->values, "labels", json_object_new_object());
        for (size_t i = 0; i < config_n_keys && r >= 0; i++) {
                _cleanup_free_ char *memory = NULL;
                ConfigPath path;

                if (strchr(config_keys[i].name, '*'))
                        continue;
                r = config_path_parse(config_keys[i].name, &path, &memory);
                if (r >= 0)
                        r = config_reset_value(l, &path, &config_keys[i]);
        }
        return r;
}

/* ---- environment and command line ---- */

static int apply_text(ConfigLoader *l, const ConfigKey *key, const char *text, const char *origin) {
        _cleanup_free_ char *memory = NULL, *why = NULL, *cwd = NULL;
        _cleanup_json_ Json *given = json_object_new_string(text), *value = NULL;
        ConfigPath path;
        int r;

        r = config_path_parse(key->name, &path, &memory);
        if (r < 0 || !given)
                return -ENOMEM;
        /* Only a relative path needs the current directory, which may be unreadable. */
        cwd = getcwd(NULL, 0);
        r = config_key_check(key, given, true, cwd ? cwd : "/", &value, &why);
        if (r == -EINVAL)
                return config_fail(l, origin, NULL, "%s", why);
        return r < 0 ? r : config_set_value(l, &path, TAKE_PTR(value), origin);
}

static int load_environment(ConfigLoader *l) {
        for (size_t i = 0; i < config_n_keys; i++) {
                const ConfigKey *key = &config_keys[i];
                const char *text = key->env ? strv_env_get(l->env, key->env) : NULL;
                _cleanup_free_ char *origin = NULL;
                int r;

                /* An empty variable is one that is not set: what an environment file cannot say otherwise. */
                if (isempty(text))
                        continue;
                /* Other programs read DEBUG too, and write "*" or a list of modules into it. */
                if (key->type == CONFIG_BOOL)
                        text = streq(text, "0") || strcasecmp(text, "false") == 0 ||
                                        strcasecmp(text, "no") == 0 || strcasecmp(text, "off") == 0 ?
                                "false" :
                                "true";
                origin = xasprintf("environment %s", key->env);
                r = origin ? apply_text(l, key, text, origin) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int apply_option(ConfigLoader *l, const char *option, const char *text) {
        _cleanup_free_ char *origin = NULL;

        if (!text)
                return 0;
        origin = xasprintf("command line --%s", option);
        if (!origin)
                return -ENOMEM;
        for (size_t i = 0; i < config_n_keys; i++)
                if (streq_ptr(config_keys[i].option, option))
                        return apply_text(l, &config_keys[i], text, origin);
        assert(false);
        return -EINVAL;
}

static int apply_option_u64(ConfigLoader *l, const char *option, bool set, uint64_t value) {
        char text[32];

        if (!set)
                return 0;
        (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) value);
        return apply_option(l, option, text);
}

static int load_options(ConfigLoader *l) {
        const RunnerOptions *o = l->options;
        int r;

        r = apply_option(l, "data-dir", o->data_dir);
        if (r >= 0)
                r = apply_option(l, "workspace-dir", o->workspace_dir);
        if (r >= 0)
                r = apply_option(l, "retry-strategy", o->retry_strategy);
        if (r >= 0)
                r = apply_option_u64(
                        l, "retry-interval-secs", o->retry_interval_set, o->retry_interval_secs);
        if (r >= 0)
                r = apply_option_u64(
                        l, "retry-duration-secs", o->retry_duration_set, o->retry_duration_secs);
        if (r >= 0)
                r = apply_option_u64(l, "heartbeat-interval", o->heartbeat_set, o->heartbeat_ms);
        if (r >= 0)
                r = apply_option(l, "debug", o->debug ? "true" : NULL);
        return r;
}

/* ---- the whole ---- */

/* A person's own runner, or the machine's? The service of the machine runs as the user that owns its state. */
static bool guess_user_mode(const RunnerOptions *options) {
        struct stat st;

        if (options->user)
                return true;
        return geteuid() != 0 && (stat(NF_STATEDIR, &st) < 0 || st.st_uid != geteuid());
}

static int find_files(ConfigLoader *l) {
        _cleanup_free_ char *cwd = NULL;
        int r;

        r = config_find_directory(l, NF_SYSCONFDIR, "XDG_CONFIG_HOME", ".config", &l->config_dir);
        if (r < 0)
                return r;
        if (!l->options->config_file)
                l->main_file = xasprintf("%s/runner.json", l->config_dir);
        else if (*l->options->config_file == '/')
                l->main_file = strdup(l->options->config_file);
        else {
                cwd = getcwd(NULL, 0);
                if (!cwd)
                        return config_fail(
                                l, l->options->config_file, NULL, "failed to get the current directory");
                l->main_file = xasprintf("%s/%s", cwd, l->options->config_file);
        }
        return l->main_file ? 0 : -ENOMEM;
}

static int check_together(ConfigLoader *l) {
        const char *url = json_get_string(l->values, "orchestratorUrl");
        _cleanup_free_ char *copy = NULL, *why = NULL;
        bool plain = false, loopback = false, insecure = false;
        uint64_t high = 0, max = 0;
        Json *limits = json_get(l->values, "limits");

        if (url) {
                if (config_url_check(url, &copy, &plain, &loopback, &why) < 0)
                        return -ENOMEM;
                (void) json_get_bool(l->values, "allowInsecureHttp", &insecure);
                if (plain && !loopback && !insecure)
                        return config_fail(
                                l,
                                config_get_origin(l, "orchestratorUrl"),
                                "orchestratorUrl",
                                "http:// would send the token unencrypted; use https://, or set allowInsecureHttp");
        }
        (void) json_get_u64(limits, "memoryHigh", &high);
        (void) json_get_u64(limits, "memoryMax", &max);
        if (high > max) {
                const char *name = streq(strempty(config_get_origin(l, "limits.memoryMax")), "default") ?
                        "limits.memoryHigh" :
                        "limits.memoryMax";
                return config_fail(
                        l,
                        config_get_origin(l, name),
                        name,
                        "memoryHigh (%llu) must not be above memoryMax (%llu)",
                        (unsigned long long) high,
                        (unsigned long long) max);
        }
        return 0;
}

int config_loader_run(ConfigLoader *l, const RunnerOptions *options, char *const *env) {
        int r;

        *l = (ConfigLoader){ .options = options, .env = env, .user_mode = guess_user_mode(options) };
        l->values = json_object_new_object();
        l->origins = json_object_new_object();
        if (!l->values || !l->origins)
                return -ENOMEM;
        r = find_files(l);
        if (r >= 0)
                r = load_defaults(l);
        if (r >= 0)
                r = config_load_files(l);
        if (r >= 0)
                r = load_environment(l);
        if (r >= 0)
                r = load_options(l);
        if (r >= 0)
                r = check_together(l);
        return r;
}
