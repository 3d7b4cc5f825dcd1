/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "common/buffer.h"
#include "common/json.h"
#include "launcher/dropped/settings-file.h"

#define MAX_SCOPES_DEFAULT 256U
#define OUT_LOG_MAX_DEFAULT (UINT64_C(1) << 30)
#define MEMORY_DEFAULT_MAX (UINT64_C(4) << 30)
#define AGENT_RUNTIME_DEFAULT (UINT64_C(30) * 86400 * USEC_PER_SEC)
#define OPERATION_RUNTIME_DEFAULT (UINT64_C(3600) * USEC_PER_SEC)
#define OPERATION_QUOTA_DEFAULT (2 * USEC_PER_SEC) /* of each second: two processors */
#define WEIGHT_DEFAULT UINT64_C(100)

#define OPERATION_LIMITS(tasks)                                               \
        {                                                                     \
                .value = { [LIMIT_MEMORY_MAX] = MEMORY_DEFAULT_MAX,           \
                           [LIMIT_TASKS_MAX] = (tasks),                       \
                           [LIMIT_CPU_QUOTA] = OPERATION_QUOTA_DEFAULT,       \
                           [LIMIT_RUNTIME_MAX] = OPERATION_RUNTIME_DEFAULT }, \
                .set = { [LIMIT_MEMORY_MAX] = true,                           \
                         [LIMIT_MEMORY_SWAP_MAX] = true,                      \
                         [LIMIT_TASKS_MAX] = true,                            \
                         [LIMIT_CPU_QUOTA] = true,                            \
                         [LIMIT_RUNTIME_MAX] = true }                         \
        }

/* Nothing that is started may be without any of memory, tasks, processors and time, whatever the caller leaves out. An
 * agent shares the processors with the others; what is short (git, hooks) has no swap and two of them. */
static const Limits default_limits[_SCOPE_KIND_MAX] = {
        [SCOPE_AGENT] = { .value = { [LIMIT_MEMORY_MAX] = MEMORY_DEFAULT_MAX,
                                     [LIMIT_MEMORY_SWAP_MAX] = MEMORY_DEFAULT_MAX,
                                     [LIMIT_TASKS_MAX] = 1024,
                                     [LIMIT_CPU_WEIGHT] = WEIGHT_DEFAULT,
                                     [LIMIT_RUNTIME_MAX] = AGENT_RUNTIME_DEFAULT },
                          .set = { [LIMIT_MEMORY_MAX] = true,
                                   [LIMIT_MEMORY_SWAP_MAX] = true,
                                   [LIMIT_TASKS_MAX] = true,
                                   [LIMIT_CPU_WEIGHT] = true,
                                   [LIMIT_RUNTIME_MAX] = true } },
        [SCOPE_GIT] = OPERATION_LIMITS(64),
        [SCOPE_HOOK] = OPERATION_LIMITS(512),
};

/* The limits in launcher.json, and what leads from their units to those of limit_infos. */
static const struct {
        const char *name;
        uint64_t scale;
} keys[_LIMIT_MAX] = {
        [LIMIT_MEMORY_HIGH] = { "memoryHigh", 1 },
        [LIMIT_MEMORY_MAX] = { "memoryMax", 1 },
        [LIMIT_MEMORY_SWAP_MAX] = { "memorySwapMax", 1 },
        [LIMIT_TASKS_MAX] = { "tasksMax", 1 },
        [LIMIT_CPU_QUOTA] = { "cpuQuotaPercent", USEC_PER_SEC / 100 },
        [LIMIT_CPU_WEIGHT] = { "cpuWeight", 1 },
        [LIMIT_IO_WEIGHT] = { "ioWeight", 1 },
        [LIMIT_RUNTIME_MAX] = { "runtimeMaxSec", USEC_PER_SEC },
};

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
        (void) snprintf(ret_error, ANSWER_ERROR_SIZE, "%.*s", utf8_cut(text, ANSWER_ERROR_SIZE - 1), text);
        return -EINVAL;
}

/* The members of the object called name; a slice has no time. */
static int parse_limits(Limits *l, const char *name, bool slice, Json *o, char *ret_error) {
        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, "%s is not an object.", name);
        json_object_object_foreach(o, key, value) {
                LimitId i = 0;

                (void) value;
                while (i < _LIMIT_MAX && !streq(keys[i].name, key))
                        i++;
                if (i == _LIMIT_MAX || (slice && i == LIMIT_RUNTIME_MAX))
                        return fail(ret_error, "%s has an unknown member %s.", name, key);
                if (json_get_u64(o, key, &l->value[i]) <= 0 ||
                    __builtin_mul_overflow(l->value[i], keys[i].scale, &l->value[i]) ||
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

static void set_defaults(SettingsFile *f) {
        uint64_t memory = (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE);

        *f = (SettingsFile){ .max_scopes = MAX_SCOPES_DEFAULT, .out_log_max = OUT_LOG_MAX_DEFAULT };
        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++) {
                f->defaults[k] = default_limits[k];
                f->defaults[k].value[LIMIT_MEMORY_MAX] = MIN(MEMORY_DEFAULT_MAX, memory / 2);
        }
}

/* A default is lowered to its ceiling. A ceiling alone is the limit of what does not ask for one; a weight of that kind
 * is at most the usual. */
static void lower_defaults(SettingsFile *f) {
        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++)
                for (LimitId i = 0; i < _LIMIT_MAX; i++) {
                        bool weight = i == LIMIT_CPU_WEIGHT || i == LIMIT_IO_WEIGHT;
                        Limits *l = &f->defaults[k];

                        if (!f->ceilings.set[i])
                                continue;
                        if (!l->set[i])
                                l->value[i] = weight ? WEIGHT_DEFAULT : UINT64_MAX;
                        l->set[i] = true;
                        l->value[i] = MIN(l->value[i], f->ceilings.value[i]);
                }
}

int settings_file_parse(
        SettingsFile *f,
        const char *text,
        size_t size,
        char ret_error[static ANSWER_ERROR_SIZE]) {
        _cleanup_free_ char *error = NULL;
        _cleanup_json_ Json *o = NULL;
        int r;

        if ((r = json_parse_from(JSON_OF_ADMINISTRATOR, text, size, &o, &error)) < 0)
                return fail(ret_error, "%s", error ?: strerror(-r));
        if (!json_object_is_type(o, json_type_object))
                return fail(ret_error, "Not an object.");
        set_defaults(f);
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
        lower_defaults(f);
        return 0;
}
