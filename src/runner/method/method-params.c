/* SPDX-License-Identifier: MIT */
#include "runner/limits/limits.h"
#include "runner/method/method-params.h"
#include "runner/runner-internal.h"

/* Parameters that conversation.start, conversation.resume and conversation.config have in common. */

void method_check_types(MethodCall *c) {
        static const struct {
                const char *name;
                enum json_type type;
        } types[] = {
                { "model", json_type_string },          { "appendSystemPrompt", json_type_string },
                { "permissionMode", json_type_string }, { "resumeSessionId", json_type_string },
                { "sessionId", json_type_string },      { "directory", json_type_string },
                { "allowedTools", json_type_array },    { "disallowedTools", json_type_array },
                { "mcpServers", json_type_object },     { "env", json_type_object },
                { "repository", json_type_object },     { "limits", json_type_object },
                { "budget", json_type_object },         { "timeouts", json_type_object },
                { "forkSession", json_type_boolean },   { "takeover", json_type_boolean },
        };
        char **list = NULL;

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                Json *v = json_get(c->params, types[i].name);
                if (v && !json_object_is_type(v, types[i].type))
                        method_refuse(
                                c,
                                RPC_INVALID_PARAMS,
                                "%s is not %s",
                                types[i].name,
                                json_type_to_name(types[i].type));
                if (v && types[i].type == json_type_array) {
                        if (json_get_strv(c->params, types[i].name, &list) < 0)
                                method_refuse(
                                        c, RPC_INVALID_PARAMS, "%s is not a list of strings", types[i].name);
                        list = strv_free(list);
                }
        }
        Json *prompt = json_get(c->params, "prompt");
        if (prompt && !json_object_is_type(prompt, json_type_string) &&
            !json_object_is_type(prompt, json_type_array))
                method_refuse(c, RPC_INVALID_PARAMS, "prompt is neither text nor a list of content blocks");
}

static bool env_name_allowed(char *const *allowed, const char *name) {
        STRV_FOREACH(a, allowed) {
                size_t n = strlen(*a);
                if (n > 0 && (*a)[n - 1] == '*' ? strncmp(*a, name, n - 1) == 0 : streq(*a, name))
                        return true;
        }
        return false;
}

void method_check_policy(MethodCall *c) {
        const RunnerConfig *config = c->runner->config;
        const char *mode = json_get_string(c->params, "permissionMode");
        _cleanup_free_ char *error = NULL;
        Json *env = json_get(c->params, "env"), *limits = json_get(c->params, "limits");
        uint64_t ceiling = 0;
        const char *above;
        Limits parsed;

        if (mode && !strv_contains(config->permission_modes, mode))
                method_refuse(
                        c,
                        RPC_NOT_ALLOWED,
                        "permissionMode %.*s is not in permissionModes of this runner",
                        utf8_cut(mode, 64),
                        mode);
        if (env) {
                json_object_object_foreach(env, name, value) {
                        if (!json_object_is_type(value, json_type_string))
                                method_refuse(
                                        c,
                                        RPC_INVALID_PARAMS,
                                        "env.%.*s is not a string",
                                        utf8_cut(name, 64),
                                        name);
                        else if (!env_name_allowed(config->env_allowed, name))
                                method_refuse(
                                        c,
                                        RPC_NOT_ALLOWED,
                                        "env.%.*s is not in envAllowed of this runner",
                                        utf8_cut(name, 64),
                                        name);
                }
        }
        int r = limits_parse(limits, &config->limits, &parsed, &error);
        if (r < 0)
                method_refuse(
                        c, r == -EOPNOTSUPP ? RPC_NOT_ALLOWED : RPC_INVALID_PARAMS, "%s", strempty(error));
        else if ((above = ceilings_exceeded(&c->runner->ceilings, &parsed, &ceiling)))
                method_refuse(
                        c,
                        RPC_NOT_ALLOWED,
                        "%s is above the ceiling of this machine, %llu",
                        above,
                        (unsigned long long) ceiling);
}
