/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/git-bounds.h"
#include "common/json.h"
#include "runner/config/options.h"

/* The configuration: defaults < runner.json < its drop-ins in runner.d, by name < environment < command line. Every value
 * knows where it came from. The whole is one JSON object with the keys of northflare-runner.json(5); the struct has what the
 * program uses, checked. */

typedef struct ConfigLimits {
        /* 0: not set */
        uint64_t memory_high, memory_max, memory_swap_max, tasks_max, cpu_weight, io_weight,
                cpu_quota_percent, runtime_max_sec;
        bool memory_swap_max_set; /* 0 is a value there */
} ConfigLimits;

typedef struct RunnerConfig {
        bool user_mode; /* --user, or the state directory of the machine is not ours */
        Json *values;   /* the merged object, secrets included: never print it, config_dump() does */

        char *orchestrator_url; /* or NULL */
        char *token;            /* or NULL; erased on free */
        char *token_origin;     /* "credential runner-token", "NORTHFLARE_RUNNER_TOKEN", "tokenFile /…" */
        char *data_dir;
        char *workspace_dir; /* or NULL */
        char *ca_file;
        char *messages_path, *events_path;
        char *retry_strategy; /* none, interval, exponential */
        uint64_t retry_interval_secs, retry_duration_secs, heartbeat_ms;
        uint64_t max_conversations, max_message_bytes, min_free_disk_bytes, keep_ended_days, stop_grace_ms;
        uint64_t min_free_memory_bytes, max_memory_pressure_percent,
                max_cpu_pressure_percent;   /* 0: no bound */
        uint64_t silence_secs, answer_secs; /* defaults for `timeouts`; 0: for ever */
        bool forward_raw, allow_insecure_http, debug;
        char **permission_modes;     /* allowed ones */
        char **env_allowed;          /* names that a conversation may set; "PREFIX_*" allowed */
        char **trusted_repositories; /* common/repository-rule.h */
        ConfigLimits limits;         /* defaults for every conversation */
        Json *agents; /* {name: {protocol, executable, env, …}}, borrowed from values: a reload frees it */
        Json *labels; /* borrowed from values */
        struct {
                char *ca_file, *known_hosts_file, *token_file, *ssh_key_file, *username;
                char **credential_hosts; /* or NULL: every host */
                bool allow_loopback;
                uint64_t timeout_secs;
                uint64_t bounds[_GIT_BOUND_MAX];
        } git;
} RunnerConfig;

#define EXIT_CONFIG 78 /* EX_CONFIG of sysexits.h, which systemd knows by this name too */

/* Loads it all. *ret_error: one sentence with file, line and key. The caller exits with *ret_exit (78, or what the
 * error calls for). env: as environ. The token is read here: credential, environment, tokenFile, in this order. */
int config_load(
        const RunnerOptions *options,
        char *const *env,
        RunnerConfig **ret,
        int *ret_exit,
        char **ret_error);
/* The same for a later time: where the token came from the environment, which config_scrub_environment() has cleaned
 * since, that of old (may be NULL) is used. */
int config_reload(
        const RunnerOptions *options,
        char *const *env,
        const RunnerConfig *old,
        RunnerConfig **ret,
        int *ret_exit,
        char **ret_error);
RunnerConfig *config_free(RunnerConfig *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(RunnerConfig *, config_free);
