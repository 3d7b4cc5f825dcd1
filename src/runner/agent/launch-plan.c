/* SPDX-License-Identifier: MIT */
#include <sys/stat.h>

#include "runner/agent/driver-util.h"
#include "runner/agent/launch-plan.h"

void launch_plan_done(LaunchPlan *p) {
        strv_free(p->argv);
        strv_free(p->env);
        free(p->private_file);
        *p = (LaunchPlan){};
}

static bool is_program(const char *path) {
        struct stat st;

        return stat(path, &st) >= 0 && S_ISREG(st.st_mode) && access(path, X_OK) >= 0;
}

int plan_executable(
        Json *agent_config,
        const char *const *paths,
        const char *advice,
        char **ret_path,
        char **ret_error) {
        const char *configured = json_get_string(agent_config, "executable");
        const char *found = NULL;

        if (configured) {
                if (configured[0] != '/' || !is_program(configured)) {
                        *ret_error = xasprintf(
                                "the configured executable %.*s cannot be executed; %s",
                                utf8_cut(configured, 200),
                                configured,
                                advice);
                        return -ENOENT;
                }
                found = configured;
        }
        for (; !found && *paths; paths++)
                if (is_program(*paths))
                        found = *paths;
        if (!found) {
                *ret_error = strdup(advice);
                return -ENOENT;
        }
        if (ret_path) {
                *ret_path = strdup(found);
                if (!*ret_path)
                        return -ENOMEM;
        }
        return 0;
}

static bool env_name_is_valid(const char *name) {
        if (!*name || (*name >= '0' && *name <= '9'))
                return false;
        for (; *name; name++)
                if (!(*name == '_' || (*name >= '0' && *name <= '9') || (*name >= 'A' && *name <= 'Z') ||
                      (*name >= 'a' && *name <= 'z')))
                        return false;
        return true;
}

static int set_env(char ***env, const char *name, const char *value) {
        char *entry = xasprintf("%s=%s", name, value);
        size_t n = strlen(name);

        if (!entry)
                return -ENOMEM;
        for (char **e = *env; e && *e; e++)
                if (strncmp(*e, entry, n + 1) == 0) {
                        free(*e);
                        *e = entry;
                        return 0;
                }
        return strv_consume(env, entry);
}

static int add_env(char ***env, Json *o, const char *where, char **ret_error) {
        int r;

        if (!o)
                return 0;
        if (!json_object_is_type(o, json_type_object))
                return refuse(ret_error, "%s is not an object", where);
        json_object_object_foreach(o, name, value) {
                const char *text = json_get_string(o, name);

                if (!env_name_is_valid(name))
                        return refuse(
                                ret_error, "%s has an invalid name: %.*s", where, utf8_cut(name, 64), name);
                if (!value)
                        continue;
                if (!text)
                        return refuse(ret_error, "%s.%s is not a string", where, name);
                r = set_env(env, name, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

int plan_env(
        Json *spec,
        Json *agent_config,
        const char *const *defaults,
        char ***ret_env,
        char **ret_error) {
        _cleanup_strv_free_ char **env = new0(char *, 1);
        int r;

        if (!env)
                return -ENOMEM;
        for (; defaults && *defaults; defaults++) {
                r = strv_extend(&env, *defaults);
                if (r < 0)
                        return r;
        }
        r = add_env(&env, json_get(agent_config, "env"), "the agent's configured env", ret_error);
        if (r < 0)
                return r;
        r = add_env(&env, json_get(spec, "env"), "env", ret_error);
        if (r < 0)
                return r;
        *ret_env = TAKE_PTR(env);
        return 0;
}

int plan_string(Json *o, const char *name, size_t max, const char **ret, char **ret_error) {
        Json *v = json_get(o, name);
        const char *s;

        if (!v)
                return 0;
        s = json_get_string(o, name);
        if (!s)
                return refuse(ret_error, "%s is not a string", name);
        if (strlen(s) > max)
                return refuse(ret_error, "%s is longer than %zu bytes", name, max);
        for (const char *p = s; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        return refuse(ret_error, "%s has a control character", name);
        *ret = s;
        return 1;
}
