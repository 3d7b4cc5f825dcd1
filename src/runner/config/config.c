/* SPDX-License-Identifier: MIT */
#include "runner/config/config-load.h"
#include "runner/config/config-token.h"
#include "runner/config/config.h"

static int take_string(ConfigLoader *l, const char *name, char **ret) {
        Json *value = config_get_value(l, name);

        return value ? free_and_strdup(ret, json_object_get_string(value)) : 0;
}

static void take_u64(ConfigLoader *l, const char *name, uint64_t *ret) {
        Json *value = config_get_value(l, name);

        if (value)
                *ret = json_object_get_uint64(value);
}

static void take_bool(ConfigLoader *l, const char *name, bool *ret) {
        *ret = json_object_get_boolean(config_get_value(l, name));
}

static int take_strings(ConfigLoader *l, RunnerConfig *c) {
        struct {
                const char *name;
                char **to;
        } const fields[] = {
                { "orchestratorUrl", &c->orchestrator_url },
                { "dataDir", &c->data_dir },
                { "workspaceDir", &c->workspace_dir },
                { "caFile", &c->ca_file },
                { "endpoints.messages", &c->messages_path },
                { "endpoints.events", &c->events_path },
                { "retryStrategy", &c->retry_strategy },
                { "git.caFile", &c->git.ca_file },
                { "git.knownHostsFile", &c->git.known_hosts_file },
                { "git.tokenFile", &c->git.token_file },
                { "git.sshKeyFile", &c->git.ssh_key_file },
                { "git.username", &c->git.username },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(fields) && r >= 0; i++)
                r = take_string(l, fields[i].name, fields[i].to);
        if (r >= 0)
                r = json_get_strv(l->values, "permissionModes", &c->permission_modes);
        if (r >= 0)
                r = json_get_strv(l->values, "envAllowed", &c->env_allowed);
        if (r >= 0)
                r = json_get_strv(l->values, "trustedRepositories", &c->trusted_repositories);
        if (r >= 0)
                r = json_get_strv(json_get(l->values, "git"), "credentialHosts", &c->git.credential_hosts);
        return r < 0 ? r : 0;
}

static void take_numbers(ConfigLoader *l, RunnerConfig *c) {
        struct {
                const char *name;
                uint64_t *to;
        } const fields[] = {
                { "retryIntervalSecs", &c->retry_interval_secs },
                { "retryDurationSecs", &c->retry_duration_secs },
                { "heartbeatIntervalMs", &c->heartbeat_ms },
                { "maxConversations", &c->max_conversations },
                { "maxMessageBytes", &c->max_message_bytes },
                { "minFreeDiskBytes", &c->min_free_disk_bytes },
                { "minFreeMemoryBytes", &c->min_free_memory_bytes },
                { "maxMemoryPressurePercent", &c->max_memory_pressure_percent },
                { "maxCpuPressurePercent", &c->max_cpu_pressure_percent },
                { "keepEndedDays", &c->keep_ended_days },
                { "stopGraceMs", &c->stop_grace_ms },
                { "limits.memoryHigh", &c->limits.memory_high },
                { "limits.memoryMax", &c->limits.memory_max },
                { "limits.memorySwapMax", &c->limits.memory_swap_max },
                { "limits.tasksMax", &c->limits.tasks_max },
                { "limits.cpuWeight", &c->limits.cpu_weight },
                { "limits.ioWeight", &c->limits.io_weight },
                { "limits.cpuQuotaPercent", &c->limits.cpu_quota_percent },
                { "limits.runtimeMaxSec", &c->limits.runtime_max_sec },
                { "timeouts.silenceSec", &c->silence_secs },
                { "timeouts.answerSec", &c->answer_secs },
                { "git.timeoutSecs", &c->git.timeout_secs },
        };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                take_u64(l, fields[i].name, fields[i].to);
        for (GitBoundId i = 0; i < _GIT_BOUND_MAX; i++)
                take_u64(l, git_bound_infos[i].key, &c->git.bounds[i]);
        c->limits.memory_swap_max_set = config_get_value(l, "limits.memorySwapMax");
}

static int take_all(ConfigLoader *l, RunnerConfig *c) {
        int r;

        r = take_strings(l, c);
        if (r < 0)
                return r;
        take_numbers(l, c);
        take_bool(l, "forwardRaw", &c->forward_raw);
        take_bool(l, "allowInsecureHttp", &c->allow_insecure_http);
        take_bool(l, "debug", &c->debug);
        take_bool(l, "git.allowLoopback", &c->git.allow_loopback);
        c->user_mode = l->user_mode;
        c->values = TAKE_PTR(l->values);
        c->agents = json_get(c->values, "agents");
        c->labels = json_get(c->values, "labels");
        return 0;
}

static int
load(ConfigLoader *l,
     const RunnerOptions *options,
     char *const *env,
     const RunnerConfig *old,
     RunnerConfig *c) {
        int r;

        r = config_loader_run(l, options, env);
        if (r >= 0)
                r = config_load_token(l, &c->token, &c->token_origin);
        /* It was in the environment, and was removed from there after the first time. */
        if (r == 0 && old && streq_ptr(old->token_origin, "NORTHFLARE_RUNNER_TOKEN")) {
                r = free_and_strdup(&c->token, old->token);
                if (r >= 0)
                        r = free_and_strdup(&c->token_origin, old->token_origin);
        }
        if (r >= 0)
                r = config_check_token(l, c->token_origin);
        return r < 0 ? r : take_all(l, c);
}

int config_reload(
        const RunnerOptions *options,
        char *const *env,
        const RunnerConfig *old,
        RunnerConfig **ret,
        int *ret_exit,
        char **ret_error) {
        _cleanup_(config_loader_done) ConfigLoader l = {};
        _cleanup_(config_freep) RunnerConfig *c = new0(RunnerConfig, 1);
        int r;

        *ret_error = NULL;
        *ret_exit = 0;
        r = c ? load(&l, options, env, old, c) : -ENOMEM;
        if (r < 0) {
                *ret_exit = r == -ENOMEM ? EXIT_FAILURE : EXIT_CONFIG;
                *ret_error = l.error ? TAKE_PTR(l.error) : strdup(strerrordesc_np(-r));
                return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

int config_load(
        const RunnerOptions *options,
        char *const *env,
        RunnerConfig **ret,
        int *ret_exit,
        char **ret_error) {
        return config_reload(options, env, NULL, ret, ret_exit, ret_error);
}

RunnerConfig *config_free(RunnerConfig *c) {
        if (!c)
                return NULL;
        json_object_put(c->values);
        free(c->orchestrator_url);
        config_token_free(c->token);
        free(c->token_origin);
        free(c->data_dir);
        free(c->workspace_dir);
        free(c->ca_file);
        free(c->messages_path);
        free(c->events_path);
        free(c->retry_strategy);
        strv_free(c->permission_modes);
        strv_free(c->env_allowed);
        strv_free(c->trusted_repositories);
        free(c->git.ca_file);
        free(c->git.known_hosts_file);
        strv_free(c->git.credential_hosts);
        free(c->git.token_file);
        free(c->git.ssh_key_file);
        free(c->git.username);
        free(c);
        return NULL;
}
