/* SPDX-License-Identifier: MIT */
#include "runner/config/config-keys.h"
#include "runner/config/config-reload.h"

/* A configuration that was read again: what differs, and what of it counts at once. The table of keys says of each whether
 * it does, so that none is forgotten: what is not taken over is named. */

/* The value below a name with dots, as far as the first "*". */
static Json *value_at(const RunnerConfig *c, const ConfigPath *path) {
        Json *v = c->values;

        for (unsigned i = 0; i < path->n && v && !streq(path->part[i], "*"); i++)
                v = json_get(v, path->part[i]);
        return v;
}

static bool is_equal(Json *a, Json *b) {
        return a == b || (a && b && json_object_equal(a, b));
}

static int add_name(char ***list, const char *name) {
        const char *star = strstr(name, ".*");
        _cleanup_free_ char *group = star ? strndup(name, (size_t) (star - name)) : strdup(name);

        if (!group)
                return -ENOMEM;
        return strv_contains(*list, group) ? 0 : strv_extend(list, group);
}

int config_compare(const RunnerConfig *old, const RunnerConfig *fresh, char ***ret_live, char ***ret_fixed) {
        _cleanup_strv_free_ char **live = new0(char *, 1), **fixed = new0(char *, 1);

        if (!live || !fixed)
                return -ENOMEM;
        for (size_t i = 0; i < config_n_keys; i++) {
                _cleanup_free_ char *memory = NULL;
                const ConfigKey *k = config_keys + i;
                ConfigPath path;
                int r;

                r = config_path_parse(k->name, &path, &memory);
                if (r >= 0 && !is_equal(value_at(old, &path), value_at(fresh, &path)))
                        r = add_name(k->live ? &live : &fixed, k->name);
                if (r < 0)
                        return r;
        }
        *ret_live = TAKE_PTR(live);
        *ret_fixed = TAKE_PTR(fixed);
        return 0;
}

/* A group (git, limits, agents) is taken over as a whole, or not at all. */
static int take_values(RunnerConfig *c, const RunnerConfig *fresh) {
        for (size_t i = 0; i < config_n_keys; i++) {
                _cleanup_free_ char *top = NULL;
                Json *v;
                int r;

                if (!config_keys[i].live)
                        continue;
                top = strndup(config_keys[i].name, strcspn(config_keys[i].name, "."));
                if (!top)
                        return -ENOMEM;
                v = json_get(fresh->values, top);
                if (!v)
                        json_object_object_del(c->values, top);
                else if (v != json_get(c->values, top)) {
                        r = json_set(c->values, top, json_object_get(v));
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

#define SWAP(a, b)                  \
        ({                          \
                typeof(a) _t = (a); \
                (a) = (b);          \
                (b) = _t;           \
        })

int config_take(RunnerConfig *c, RunnerConfig *fresh) {
        int r = take_values(c, fresh);

        if (r < 0)
                return r;
        c->agents = json_get(c->values, "agents");
        c->labels = json_get(c->values, "labels");
        SWAP(c->workspace_dir, fresh->workspace_dir);
        SWAP(c->permission_modes, fresh->permission_modes);
        SWAP(c->env_allowed, fresh->env_allowed);
        SWAP(c->trusted_repositories, fresh->trusted_repositories);
        SWAP(c->git, fresh->git);
        c->max_conversations = fresh->max_conversations;
        c->min_free_disk_bytes = fresh->min_free_disk_bytes;
        c->min_free_memory_bytes = fresh->min_free_memory_bytes;
        c->max_memory_pressure_percent = fresh->max_memory_pressure_percent;
        c->max_cpu_pressure_percent = fresh->max_cpu_pressure_percent;
        c->keep_ended_days = fresh->keep_ended_days;
        c->stop_grace_ms = fresh->stop_grace_ms;
        c->forward_raw = fresh->forward_raw;
        c->allow_insecure_http = fresh->allow_insecure_http;
        c->debug = fresh->debug;
        c->limits = fresh->limits;
        c->silence_secs = fresh->silence_secs;
        c->answer_secs = fresh->answer_secs;
        return 0;
}
