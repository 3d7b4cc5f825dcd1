/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "common/buffer.h"
#include "common/json.h"
#include "launcher/dropped/settings-file.h"

/* A text that is too long is cut, between two characters. */
_printf_(2, 3) static int fail(char *ret_error, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        (void) snprintf(
                ret_error, SETTINGS_ERROR_SIZE, "%.*s", utf8_cut(text, SETTINGS_ERROR_SIZE - 1), text);
        return -EINVAL;
}

/* The members of the object called name; a slice has no time. */
static int parse_limits(Limits *l, const char *name, bool slice, Json *o, char *ret_error) {
        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, "%s is not an object.", name);
        json_object_object_foreach(o, key, value) {
                LimitId i = 0;

                (void) value;
                while (i < _LIMIT_MAX && !streq(limit_infos[i].key, key))
                        i++;
                if (i == _LIMIT_MAX || (slice && i == LIMIT_RUNTIME_MAX))
                        return fail(ret_error, "%s has an unknown member %s.", name, key);
                if (json_get_u64(o, key, &l->value[i]) <= 0 ||
                    __builtin_mul_overflow(l->value[i], limit_infos[i].scale, &l->value[i]) ||
                    l->value[i] < MAX(limit_infos[i].minimum, 1U) || l->value[i] > limit_infos[i].maximum)
                        return fail(ret_error, "%s.%s is not a valid number.", name, key);
                l->set[i] = true;
        }
        return 0;
}

/* One member for each kind of scope. */
static int parse_defaults(SettingsFile *f, Json *o, char *ret_error) {
        int r = 0;

        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, "defaults is not an object.");
        json_object_object_foreach(o, key, value) {
                _cleanup_free_ char *name = xasprintf("defaults.%s", key);
                ScopeKind kind = scope_kind_from_string(key);

                if (kind < 0 || !name)
                        return fail(ret_error, "defaults has no member %s.", key);
                if ((r = parse_limits(&f->defaults[kind], name, false, value, ret_error)) < 0)
                        return r;
        }
        return r;
}

static int parse_agents(SettingsFile *f, Json *o, const char *key) {
        _cleanup_strv_free_ char **users = NULL;

        if (json_get_strv(o, key, &users) <= 0)
                return -EINVAL;
        f->n_agents = 0;
        STRV_FOREACH(u, users) {
                if (f->n_agents >= AGENT_USERS_MAX || strlen(*u) >= AGENT_USER_SIZE)
                        return -EINVAL;
                memcpy(f->agents[f->n_agents++], *u, strlen(*u) + 1);
        }
        return f->n_agents > 0 ? 0 : -EINVAL;
}

int settings_file_parse(
        SettingsFile *f,
        const char *text,
        size_t size,
        char ret_error[static SETTINGS_ERROR_SIZE]) {
        _cleanup_free_ char *error = NULL;
        _cleanup_json_ Json *o = NULL;
        int r;

        if ((r = json_parse_from(JSON_OF_ADMINISTRATOR, text, size, &o, &error)) < 0)
                return fail(ret_error, "%s", error ?: strerror(-r));
        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, "Not an object.");
        json_object_object_foreach(o, key, value) {
                bool good;

                r = 0;
                if (streq(key, "agentUsers"))
                        good = parse_agents(f, o, key) >= 0;
                else if (streq(key, "maxScopes"))
                        good = json_get_u64(o, key, &f->max_scopes) > 0 && f->max_scopes > 0 &&
                                f->max_scopes <= MAX_SCOPES_MAX;
                else if (streq(key, "outLogMaxBytes"))
                        good = json_get_u64(o, key, &f->out_log_max) > 0 && f->out_log_max > 0;
                else if (streq(key, "ceilings"))
                        good = (r = parse_limits(&f->ceilings, key, false, value, ret_error)) >= 0;
                else if (streq(key, "defaults"))
                        good = (r = parse_defaults(f, value, ret_error)) >= 0;
                else if (streq(key, "workspaceLimits"))
                        good = (r = parse_limits(&f->workspace_limits, key, true, value, ret_error)) >= 0;
                else
                        return fail(ret_error, "Unknown member %s.", key);
                if (!good)
                        return r < 0 ? r : fail(ret_error, "%s has an invalid value.", key);
        }
        return 0;
}
