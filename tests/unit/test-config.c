/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/config/config-dump.h"
#include "runner/config/config-file.h"
#include "runner/config/config-keys.h"
#include "runner/config/config-position.h"
#include "runner/config/config-token.h"
#include "runner/config/config-url.h"
#include "runner/config/config.h"

#define ENV_MAX 16

/* A home with nothing in it, an environment of our own, user mode: nothing of this machine is read. */
typedef struct Fixture {
        char path[64];
        int fd;
        char *env[ENV_MAX + 1];
        RunnerOptions options;
        RunnerConfig *config;
        char *error;
} Fixture;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void add_env(Fixture *f, const char *format, ...) _printf_(2, 3);
static void add_env(Fixture *f, const char *format, ...) {
        va_list ap;
        size_t n = strv_length(f->env);

        assert_true(n < ENV_MAX);
        va_start(ap, format);
        assert_true(vasprintf(&f->env[n], format, ap) >= 0);
        va_end(ap);
}

static int setup(void **state) {
        Fixture *f = new0(Fixture, 1);

        assert_non_null(f);
        (void) snprintf(f->path, sizeof(f->path), "/tmp/test-config.XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        assert_int_equal(mkdirat(f->fd, "northflare", 0700), 0);
        f->options.user = true;
        add_env(f, "HOME=%s", f->path);
        add_env(f, "XDG_CONFIG_HOME=%s", f->path);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        config_free(f->config);
        free(f->error);
        for (char **e = f->env; *e; e++)
                free(*e);
        safe_close(f->fd);
        (void) nftw(f->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(f);
        return 0;
}

static void write_file(Fixture *f, const char *name, const char *text) {
        _cleanup_free_ char *path = xasprintf("%s/%s", f->path, name), *dir = strdup(path);

        *strrchr(dir, '/') = 0;
        assert_int_equal(mkdir_parents(dir, 0700), 0);
        _cleanup_close_ int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

static void load(Fixture *f) {
        int code = 99, r;

        f->config = config_free(f->config);
        free(f->error);
        f->error = NULL;
        r = config_load(&f->options, f->env, &f->config, &code, &f->error);
        if (r < 0)
                print_error("%s\n", f->error);
        assert_int_equal(r, 0);
        assert_int_equal(code, 0);
        assert_null(f->error);
}

static void load_text(Fixture *f, const char *text) {
        write_file(f, "northflare/runner.json", text);
        load(f);
}

/* The sentence has all these words in it, and stands on one line. */
static void expect_error(Fixture *f, ...) {
        RunnerConfig *c = NULL;
        int code = 0;
        va_list ap;

        free(f->error);
        f->error = NULL;
        assert_int_equal(config_load(&f->options, f->env, &c, &code, &f->error), -EINVAL);
        assert_null(c);
        assert_int_equal(code, 78);
        assert_non_null(f->error);
        assert_null(strchr(f->error, '\n'));
        va_start(ap, f);
        for (const char *words; (words = va_arg(ap, const char *));)
                if (!strstr(f->error, words))
                        fail_msg("\"%s\" is not in: %s", words, f->error);
        va_end(ap);
}

#define expect_text_error(f, text, ...)                        \
        ({                                                     \
                write_file(f, "northflare/runner.json", text); \
                expect_error(f, __VA_ARGS__, NULL);            \
        })

static void expect_dump(Fixture *f, const char *key, const char *value, const char *origin) {
        _cleanup_free_ char *text = NULL, *error = NULL;
        _cleanup_json_ Json *all = NULL;
        int code = 99;

        (void) config_dump(&f->options, f->env, true, &text, &code, &error);
        assert_non_null(text);
        assert_int_equal(json_parse(text, strlen(text), &all, NULL), 0);
        Json *row = json_get(all, key);
        if (!row)
                fail_msg("no row %s in %s", key, text);
        if (value)
                assert_string_equal(json_text(json_get(row, "value")), value);
        assert_non_null(strstr(json_get_string(row, "origin"), origin));
}

/* ---- defaults, files ---- */

static void test_defaults(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *data = xasprintf("%s/.local/state/northflare", f->path);

        load(f);
        RunnerConfig *c = f->config;
        assert_true(c->user_mode);
        assert_null(c->orchestrator_url);
        assert_null(c->token);
        assert_null(c->workspace_dir);
        assert_string_equal(c->data_dir, data);
        assert_string_equal(c->messages_path, "/api/runner/messages");
        assert_string_equal(c->events_path, "/api/runner/events");
        assert_string_equal(c->retry_strategy, "interval");
        assert_int_equal(c->retry_interval_secs, 60);
        assert_int_equal(c->retry_duration_secs, 900);
        assert_int_equal(c->heartbeat_ms, 120000);
        assert_int_equal(c->max_conversations, 16);
        assert_int_equal(c->max_message_bytes, 16777216);
        assert_int_equal(c->min_free_disk_bytes, 268435456);
        assert_int_equal(c->min_free_memory_bytes, 134217728);
        assert_int_equal(c->max_memory_pressure_percent, 50);
        assert_int_equal(c->max_cpu_pressure_percent, 0);
        assert_int_equal(c->keep_ended_days, 30);
        assert_int_equal(c->stop_grace_ms, 5000);
        assert_false(c->forward_raw || c->allow_insecure_http || c->debug || c->git.allow_loopback);
        assert_int_equal(strv_length(c->permission_modes), 4);
        assert_true(strv_contains(c->env_allowed, "ANTHROPIC_*"));
        assert_null(c->trusted_repositories);
        assert_true(c->limits.memory_high == UINT64_C(3) << 30);
        assert_true(c->limits.memory_max == UINT64_C(4) << 30);
        assert_int_equal(c->limits.tasks_max, 1024);
        assert_int_equal(c->limits.cpu_weight, 100);
        assert_int_equal(c->limits.io_weight, 0);
        assert_false(c->limits.memory_swap_max_set);
        assert_int_equal(c->git.timeout_secs, 600);
        /* The same as northflare-git has where it is asked without a runner. */
        for (GitBoundId i = 0; i < _GIT_BOUND_MAX; i++)
                assert_int_equal(c->git.bounds[i], git_bound_infos[i].fallback);
        assert_true(json_object_is_type(c->agents, json_type_object));
        assert_true(json_object_is_type(c->labels, json_type_object));
}

static void test_every_key(void **state) {
        Fixture *f = *state;

        add_env(f, "NORTHFLARE_RUNNER_TOKEN=t");
        load_text(
                f,
                "{\"orchestratorUrl\":\"https://o.example:8443/base/\",\"dataDir\":\"/d\",\"workspaceDir\":\"/w\","
                "\"caFile\":\"/ca\",\"endpoints\":{\"messages\":\"/m\",\"events\":\"/e\"},\"retryStrategy\":\"none\","
                "\"retryIntervalSecs\":1,\"retryDurationSecs\":2,\"heartbeatIntervalMs\":1003,"
                "\"maxConversations\":4,\"maxMessageBytes\":1000005,\"minFreeDiskBytes\":6,"
                "\"minFreeMemoryBytes\":16,\"maxMemoryPressurePercent\":17,\"maxCpuPressurePercent\":18,\"keepEndedDays\":7,"
                "\"stopGraceMs\":8,\"forwardRaw\":true,\"allowInsecureHttp\":true,\"debug\":true,"
                "\"permissionModes\":[\"plan\"],\"envAllowed\":[],\"trustedRepositories\":[\"git.example.org/a\",\"/srv/a\"],\"limits\":{\"memoryHigh\":2000000,"
                "\"memoryMax\":3000000,\"memorySwapMax\":0,\"tasksMax\":9,\"cpuWeight\":10,\"ioWeight\":11,"
                "\"cpuQuotaPercent\":12,\"runtimeMaxSec\":13},\"agents\":{\"my.agent\":{\"protocol\":\"claude\","
                "\"executable\":\"/bin/x\",\"env\":{\"A_B\":\"c\"}}},\"labels\":{\"zone.x\":\"eu\"},"
                "\"git\":{\"caFile\":\"/g1\",\"knownHostsFile\":\"/g2\",\"tokenFile\":\"/g3\",\"sshKeyFile\":\"/g4\","
                "\"username\":\"u\",\"credentialHosts\":[\"git.example.org\"],\"allowLoopback\":true,\"timeoutSecs\":14,"
                "\"maxObjectBytes\":\"1M\",\"maxObjects\":15,\"maxPackBytes\":16384,\"maxRefs\":17,"
                "\"maxCheckoutBytes\":\"18K\",\"maxCheckoutFiles\":19}}");
        RunnerConfig *c = f->config;
        assert_string_equal(c->orchestrator_url, "https://o.example:8443/base");
        assert_string_equal(c->token, "t");
        assert_string_equal(c->token_origin, "NORTHFLARE_RUNNER_TOKEN");
        assert_string_equal(c->data_dir, "/d");
        assert_string_equal(c->workspace_dir, "/w");
        assert_string_equal(c->ca_file, "/ca");
        assert_string_equal(c->messages_path, "/m");
        assert_string_equal(c->events_path, "/e");
        assert_string_equal(c->retry_strategy, "none");
        assert_int_equal(c->retry_interval_secs, 1);
        assert_int_equal(c->retry_duration_secs, 2);
        assert_int_equal(c->heartbeat_ms, 1003);
        assert_int_equal(c->max_conversations, 4);
        assert_int_equal(c->max_message_bytes, 1000005);
        assert_int_equal(c->min_free_disk_bytes, 6);
        assert_int_equal(c->min_free_memory_bytes, 16);
        assert_int_equal(c->max_memory_pressure_percent, 17);
        assert_int_equal(c->max_cpu_pressure_percent, 18);
        assert_int_equal(c->keep_ended_days, 7);
        assert_int_equal(c->stop_grace_ms, 8);
        assert_true(c->forward_raw && c->allow_insecure_http && c->debug);
        assert_int_equal(strv_length(c->permission_modes), 1);
        assert_non_null(c->env_allowed);
        assert_true(strv_contains(c->git.credential_hosts, "git.example.org"));
        assert_int_equal(strv_length(c->env_allowed), 0);
        assert_int_equal(strv_length(c->trusted_repositories), 2);
        assert_string_equal(c->trusted_repositories[1], "/srv/a");
        assert_int_equal(c->limits.memory_high, 2000000);
        assert_int_equal(c->limits.memory_max, 3000000);
        assert_true(c->limits.memory_swap_max_set && c->limits.memory_swap_max == 0);
        assert_int_equal(c->limits.tasks_max, 9);
        assert_int_equal(c->limits.cpu_weight, 10);
        assert_int_equal(c->limits.io_weight, 11);
        assert_int_equal(c->limits.cpu_quota_percent, 12);
        assert_int_equal(c->limits.runtime_max_sec, 13);
        assert_string_equal(json_get_string(json_get(c->agents, "my.agent"), "protocol"), "claude");
        assert_string_equal(json_get_string(json_get(c->agents, "my.agent"), "executable"), "/bin/x");
        assert_string_equal(json_get_string(json_get(json_get(c->agents, "my.agent"), "env"), "A_B"), "c");
        assert_string_equal(json_get_string(c->labels, "zone.x"), "eu");
        assert_string_equal(c->git.ca_file, "/g1");
        assert_string_equal(c->git.known_hosts_file, "/g2");
        assert_string_equal(c->git.token_file, "/g3");
        assert_string_equal(c->git.ssh_key_file, "/g4");
        assert_string_equal(c->git.username, "u");
        assert_true(c->git.allow_loopback);
        assert_int_equal(c->git.timeout_secs, 14);
        assert_int_equal(c->git.bounds[GIT_BOUND_OBJECT_BYTES], 1 << 20);
        assert_int_equal(c->git.bounds[GIT_BOUND_OBJECTS], 15);
        assert_int_equal(c->git.bounds[GIT_BOUND_PACK_BYTES], 16384);
        assert_int_equal(c->git.bounds[GIT_BOUND_REFS], 17);
        assert_int_equal(c->git.bounds[GIT_BOUND_CHECKOUT_BYTES], 18 << 10);
        assert_int_equal(c->git.bounds[GIT_BOUND_CHECKOUT_FILES], 19);
        expect_dump(f, "labels.zone.x", "\"eu\"", "runner.json:1");
}

static void test_file_of_the_node_runner(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *file = xasprintf("%s/old/runner-config.json", f->path);
        _cleanup_free_ char *data = xasprintf("%s/old/data", f->path);

        write_file(f, "old/runner-config.json", "{\n  \"dataDir\": \"./data\"\n}\n");
        f->options.config_file = file;
        load(f);
        assert_string_equal(f->config->data_dir, data);
        expect_dump(f, "dataDir", NULL, "runner-config.json:2");
}

static void test_relative_config_file(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *old = getcwd(NULL, 0), *data = xasprintf("%s/x/../data", f->path);

        write_file(f, "x/c.json", "{\"dataDir\":\".//../data/\"}");
        assert_int_equal(fchdir(f->fd), 0);
        f->options.config_file = "x/c.json";
        load(f);
        assert_string_equal(f->config->data_dir, data);
        f->options.data_dir = "here";
        load(f);
        assert_true(endswith(f->config->data_dir, "/here") && f->config->data_dir[0] == '/');
        assert_int_equal(chdir(old), 0);
}

static void test_linked_config_file(void **state) {
        Fixture *f = *state;

        write_file(f, "elsewhere.json", "{\"maxConversations\":3}");
        assert_int_equal(symlinkat("../elsewhere.json", f->fd, "northflare/runner.json"), 0);
        load(f);
        assert_int_equal(f->config->max_conversations, 3);
}

static void test_missing_config_file(void **state) {
        Fixture *f = *state;

        f->options.config_file = "/nowhere/at/all.json";
        expect_error(f, "/nowhere/at/all.json: ", "No such file", NULL);
        f->options.config_file = f->path;
        expect_error(f, f->path, "directory", NULL);
}

static void test_dropins(void **state) {
        Fixture *f = *state;

        write_file(
                f,
                "northflare/runner.json",
                "{\"maxConversations\":1,\"stopGraceMs\":1,\"labels\":{\"a\":\"1\",\"b\":\"1\"},\"envAllowed\":[\"A\"]}");
        write_file(f, "northflare/runner.d/20-b.json", "{\"maxConversations\":3,\"labels\":{\"b\":\"3\"}}");
        write_file(
                f,
                "northflare/runner.d/10-a.json",
                "{\"maxConversations\":2,\"keepEndedDays\":2,\"envAllowed\":[\"B\"]}");
        write_file(f, "northflare/runner.d/.hidden.json", "broken");
        write_file(f, "northflare/runner.d/30-c.json.bak", "broken");
        load(f);
        assert_int_equal(f->config->max_conversations, 3);
        assert_int_equal(f->config->stop_grace_ms, 1);
        assert_int_equal(f->config->keep_ended_days, 2);
        assert_string_equal(json_get_string(f->config->labels, "a"), "1");
        assert_string_equal(json_get_string(f->config->labels, "b"), "3");
        assert_int_equal(strv_length(f->config->env_allowed), 1);
        assert_string_equal(f->config->env_allowed[0], "B");
        expect_dump(f, "maxConversations", "3", "runner.d/20-b.json:1");
        expect_dump(f, "keepEndedDays", "2", "runner.d/10-a.json:1");
        expect_dump(f, "stopGraceMs", "1", "runner.json:1");
        expect_dump(f, "heartbeatIntervalMs", "120000", "default");
        write_file(f, "northflare/runner.d/99.json", "{\n\"x\":1}");
        expect_error(f, "runner.d/99.json:2: x: ", NULL);
}

static void test_null_is_the_default_again(void **state) {
        Fixture *f = *state;

        write_file(
                f,
                "northflare/runner.json",
                "{\"maxConversations\":1,\"limits\":{\"ioWeight\":5},\"dataDir\":\"/d\",\"labels\":{\"a\":\"b\"}}");
        write_file(
                f,
                "northflare/runner.d/1.json",
                "{\"maxConversations\":null,\"limits\":{\"ioWeight\":null},\"dataDir\":null,\"labels\":{\"a\":null}}");
        load(f);
        assert_int_equal(f->config->max_conversations, 16);
        assert_int_equal(f->config->limits.io_weight, 0);
        assert_true(endswith(f->config->data_dir, "/.local/state/northflare"));
        assert_null(json_get(f->config->labels, "a"));
        expect_dump(f, "limits.ioWeight", "null", "default");
}

/* ---- precedence ---- */

static void test_environment_and_options(void **state) {
        Fixture *f = *state;

        write_file(
                f,
                "northflare/runner.json",
                "{\"dataDir\":\"/file\",\"workspaceDir\":\"/file\",\"retryIntervalSecs\":5,\"heartbeatIntervalMs\":5000,"
                "\"retryStrategy\":\"none\",\"retryDurationSecs\":5,\"orchestratorUrl\":\"https://file\"}");
        add_env(f, "NORTHFLARE_RUNNER_TOKEN=t");
        add_env(f, "NORTHFLARE_DATA_DIR=/env");
        add_env(f, "NORTHFLARE_WORKSPACE_DIR=/env");
        add_env(f, "NORTHFLARE_ORCHESTRATOR_URL=https://env/");
        add_env(f, "DEBUG=*");
        load(f);
        assert_string_equal(f->config->data_dir, "/env");
        assert_string_equal(f->config->workspace_dir, "/env");
        assert_string_equal(f->config->orchestrator_url, "https://env");
        assert_true(f->config->debug);
        assert_int_equal(f->config->retry_interval_secs, 5);
        expect_dump(f, "dataDir", "\"/env\"", "environment NORTHFLARE_DATA_DIR");
        expect_dump(f, "debug", "true", "environment DEBUG");

        f->options.data_dir = "/option";
        f->options.workspace_dir = "/option";
        f->options.retry_strategy = "exponential";
        f->options.retry_interval_secs = 6;
        f->options.retry_interval_set = true;
        f->options.retry_duration_secs = 7;
        f->options.retry_duration_set = true;
        f->options.heartbeat_ms = 8000;
        f->options.heartbeat_set = true;
        load(f);
        assert_string_equal(f->config->data_dir, "/option");
        assert_string_equal(f->config->workspace_dir, "/option");
        assert_string_equal(f->config->retry_strategy, "exponential");
        assert_int_equal(f->config->retry_interval_secs, 6);
        assert_int_equal(f->config->retry_duration_secs, 7);
        assert_int_equal(f->config->heartbeat_ms, 8000);
        expect_dump(f, "retryStrategy", "\"exponential\"", "command line --retry-strategy");
}

static void test_debug_values(void **state) {
        static const struct {
                const char *text;
                bool debug;
        } cases[] = { { "1", true },      { "true", true }, { "*", true },   { "0", false },
                      { "false", false }, { "OFF", false }, { "no", false }, { "", false } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                void *sub;

                assert_int_equal(setup(&sub), 0);
                add_env(sub, "DEBUG=%s", cases[i].text);
                load(sub);
                assert_int_equal(((Fixture *) sub)->config->debug, cases[i].debug);
                assert_int_equal(teardown(&sub), 0);
        }
        Fixture *f = *state;
        add_env(f, "DEBUG=0");
        f->options.debug = true;
        load(f);
        assert_true(f->config->debug);
}

static void test_empty_variables_are_unset(void **state) {
        Fixture *f = *state;

        add_env(f, "NORTHFLARE_DATA_DIR=");
        add_env(f, "NORTHFLARE_ORCHESTRATOR_URL=");
        add_env(f, "NORTHFLARE_RUNNER_TOKEN=");
        load_text(f, "{\"dataDir\":\"/file\"}");
        assert_string_equal(f->config->data_dir, "/file");
        assert_null(f->config->orchestrator_url);
        assert_null(f->config->token);
}

static void test_folders_of_the_user(void **state) {
        Fixture *f = *state;

        add_env(f, "XDG_STATE_HOME=/state");
        load(f);
        assert_string_equal(f->config->data_dir, "/state/northflare");
        free(f->env[1]);
        f->env[1] = strdup("XDG_CONFIG_HOME=relative/is/ignored");
        write_file(f, ".config/northflare/runner.json", "{\"maxConversations\":9}");
        load(f);
        assert_int_equal(f->config->max_conversations, 9);
        free(f->env[0]);
        f->env[0] = strdup("HOMELESS=1");
        expect_error(f, "XDG_CONFIG_HOME", "HOME", NULL);
}

static void test_machine_defaults(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *file = xasprintf("%s/m.json", f->path);

        if (geteuid() != 0) {
                print_message("skipped: only root is the machine's own here\n");
                skip();
        }
        write_file(f, "m.json", "{}");
        f->options.user = false;
        f->options.config_file = file;
        load(f);
        assert_false(f->config->user_mode);
        assert_string_equal(f->config->data_dir, NF_STATEDIR);
}

/* ---- ${NAME} ---- */

static void test_expansion(void **state) {
        Fixture *f = *state;

        add_env(f, "A=one");
        add_env(f, "EMPTY=");
        add_env(f, "N=7");
        load_text(
                f,
                "{\"labels\":{\"a\":\"${A}\",\"b\":\"x${A}y${A}\",\"c\":\"${NOT_SET:-d e}\",\"d\":\"${EMPTY:-f}\","
                "\"e\":\"[${EMPTY}]\",\"f\":\"$A $${A} $ {A}\",\"g\":\"${NOT_SET:-}\",\"h\":\"${A:-z}\"},"
                "\"maxConversations\":\"${N}\",\"forwardRaw\":\"${YES:-true}\",\"limits\":{\"memoryMax\":\"${M:-5G}\"},"
                "\"envAllowed\":[\"${V:-NAME}\"],\"agents\":{\"x\":{\"env\":{\"P\":\"${A}\"}}}}");
        static const char *const expected[][2] = {
                { "a", "one" }, { "b", "xoneyone" },      { "c", "d e" }, { "d", "f" },
                { "e", "[]" },  { "f", "$A ${A} $ {A}" }, { "g", "" },    { "h", "one" },
        };
        for (size_t i = 0; i < ELEMENTSOF(expected); i++)
                assert_string_equal(json_get_string(f->config->labels, expected[i][0]), expected[i][1]);
        assert_int_equal(f->config->max_conversations, 7);
        assert_true(f->config->forward_raw);
        assert_true(f->config->limits.memory_max == UINT64_C(5) << 30);
        assert_string_equal(f->config->env_allowed[0], "NAME");
        assert_string_equal(json_get_string(json_get(json_get(f->config->agents, "x"), "env"), "P"), "one");
}

static void test_bad_expansion(void **state) {
        Fixture *f = *state;

        expect_text_error(f, "{\n\n\"caFile\":\"/${MISSING}/x\"}", "runner.json:3: caFile: ", "MISSING");
        expect_text_error(f, "{\"caFile\":\"${A\"}", "runner.json:1: caFile: ", "without a \"}\"");
        expect_text_error(f, "{\"caFile\":\"${}\"}", "caFile: ", "name of a variable");
        expect_text_error(f, "{\"caFile\":\"${1A}\"}", "caFile: ", "name of a variable");
        expect_text_error(f, "{\"caFile\":\"${A-b}\"}", "caFile: ", "neither");
        expect_text_error(
                f, "{\"envAllowed\":[\"OK\",\n\"${MISSING}\"]}", "runner.json:1: envAllowed: ", "MISSING");
        add_env(f, "NORTHFLARE_RUNNER_TOKEN=sesame");
        expect_text_error(f, "{\"labels\":{\"a\":\"${NORTHFLARE_RUNNER_TOKEN}\"}}", "labels.a: ");
        assert_null(strstr(f->error, "sesame"));
}

/* ---- mistakes ---- */

static void test_unknown_keys(void **state) {
        Fixture *f = *state;

        expect_text_error(f, "{\n  \"retryInterval\": 5\n}", "runner.json:2: retryInterval: unknown key");
        expect_text_error(f, "{\"DataDir\":\"/\"}", "DataDir: ", "did you mean dataDir?");
        expect_text_error(
                f,
                "{\"limits\":{\n\"memorymax\":1}}",
                "runner.json:2: limits.memorymax: ",
                "did you mean limits.memoryMax?");
        expect_text_error(f, "{\"Limits\":{}}", "Limits: ", "did you mean limits?");
        expect_text_error(f, "{\"limits\":{\"x\":1}}", "limits.x: unknown key");
        expect_text_error(f, "{\"agents\":{\"a\":{\"argv\":[]}}}", "agents.a.argv: unknown key");
        expect_text_error(f, "{\"maxConversations\":{\"x\":1}}", "maxConversations: must be");
        expect_text_error(f, "{\"limits.memoryMax\":1}", "limits.memoryMax: ");
        expect_text_error(f, "{\"\":1}", "runner.json:1: ");
        expect_text_error(f, "{\"*\":1}", "*: unknown key");
        expect_text_error(f, "{\n\"token\":\"sesame\"}", "runner.json:2: token: ", "tokenFile");
        assert_null(strstr(f->error, "sesame"));
}

static void test_wrong_types(void **state) {
        Fixture *f = *state;

        expect_text_error(f, "{\"dataDir\":1}", "dataDir: must be a string");
        expect_text_error(f, "{\"dataDir\":\"\"}", "dataDir: must not be empty");
        expect_text_error(f, "{\"dataDir\":\"a\\u0000b\"}", "dataDir: ");
        expect_text_error(f, "{\"dataDir\":\"a\\nb\"}", "dataDir: ", "control characters");
        expect_text_error(
                f,
                "{\"maxConversations\":\"5\"}",
                "maxConversations: must be a whole number from 1 to 10000");
        expect_text_error(f, "{\"maxConversations\":0}", "maxConversations: must be");
        expect_text_error(f, "{\"maxConversations\":-1}", "maxConversations: must be");
        expect_text_error(f, "{\"maxConversations\":1.5}", "maxConversations: must be");
        expect_text_error(f, "{\"maxConversations\":10001}", "maxConversations: must be");
        expect_text_error(f, "{\"limits\":{\"memoryMax\":\"4GB\"}}", "limits.memoryMax: must be", "4G");
        expect_text_error(f, "{\"limits\":{\"memoryMax\":\"99999999999T\"}}", "limits.memoryMax: must be");
        expect_text_error(f, "{\"limits\":{\"tasksMax\":\"4K\"}}", "limits.tasksMax: must be");
        expect_text_error(f, "{\"limits\":[]}", "limits: must be an object");
        expect_text_error(f, "{\"limits\":null}", "limits: must be an object");
        expect_text_error(f, "{\"debug\":\"true\"}", "debug: must be true or false");
        expect_text_error(f, "{\"debug\":1}", "debug: must be true or false");
        expect_text_error(f, "{\"envAllowed\":\"A\"}", "envAllowed: must be an array");
        expect_text_error(f, "{\"envAllowed\":[1]}", "envAllowed: must be an array");
        expect_text_error(f, "{\"envAllowed\":[\"A-B\"]}", "envAllowed: \"A-B\"");
        expect_text_error(f, "{\"envAllowed\":[\"*\"]}", "envAllowed: ");
        expect_text_error(f, "{\"trustedRepositories\":\"a\"}", "trustedRepositories: must be an array");
        expect_text_error(f, "{\"trustedRepositories\":[1]}", "trustedRepositories: must be an array");
        expect_text_error(
                f,
                "{\"trustedRepositories\":[\"git.example.org\",\"https://u:secret@git.example.org\"]}",
                "trustedRepositories: entry 2 has a scheme; write HOST or HOST/PATH");
        expect_text_error(
                f,
                "{\"trustedRepositories\":[\"u:secret@git.example.org/a\"]}",
                "trustedRepositories: entry 1 is not HOST");
        expect_text_error(
                f,
                "{\"trustedRepositories\":[\"/\"]}",
                "trustedRepositories: entry 1 names every directory");
        expect_text_error(f, "{\"permissionModes\":[\"a b\"]}", "permissionModes: \"a b\"");
        expect_text_error(
                f, "{\"retryStrategy\":\"x\"}", "retryStrategy: must be none, interval or exponential");
        expect_text_error(f, "{\"endpoints\":{\"events\":\"x\"}}", "endpoints.events: must begin");
        expect_text_error(f, "{\"endpoints\":{\"events\":\"/x?y\"}}", "endpoints.events: must");
        expect_text_error(f, "{\"agents\":{\"a b\":{}}}", "agents.a b: the name of an agent");
        expect_text_error(
                f, "{\"agents\":{\"a\":{\"env\":{\"A=B\":\"\"}}}}", "agents.a.env.A=B: ", "variable");
        expect_text_error(f, "{\"labels\":{\"\":\"\"}}", "the name of a label");
        expect_text_error(f, "{\"labels\":{\"a\":1}}", "labels.a: must be a string");
        expect_text_error(f, "{\"limits\":{\"memoryHigh\":\"5G\"}}", "limits.memoryHigh: ", "memoryMax");
        expect_text_error(f, "[]", "runner.json: must be one JSON object");
        expect_text_error(f, "null", "runner.json: must be one JSON object");
}

static void test_broken_json(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *deep = NULL, *big = NULL;
        const size_t size = CONFIG_FILE_MAX + 2;

        expect_text_error(f, "", "runner.json:1: ");
        expect_text_error(f, "{\n\"a\":1,\n}", "runner.json:3: ");
        expect_text_error(f, "{\n\"debug\":true\n\"dataDir\":\"/\"}", "runner.json:3: ", "','");
        expect_text_error(f, "{\n\n\"debug\" true}", "runner.json:3: ", "':'");
        expect_text_error(f, "{\"debug\":\ntru}", "runner.json:2: ");
        expect_text_error(f, "{\"debug\":true", "runner.json:1: ", "end of file");
        expect_text_error(f, "{\"dataDir\":\"/x\n\"}", "runner.json:1: ", "unterminated string");
        expect_text_error(f, "{\"dataDir\":\"/x", "runner.json:1: ", "unterminated string");
        expect_text_error(f, "{}\n\n{}", "runner.json:3: ", "after the end");
        expect_text_error(f, "{\"debug\":true,\n\"debug\":false}", "runner.json:2: ", "duplicate key");
        expect_text_error(
                f, "{\"limits\":{\"ioWeight\":5,\n\n\"ioWeight\":5}}", "runner.json:3: ", "duplicate key");
        expect_text_error(f, "{\"dataDir\":\"\xff\"}", "runner.json");
        expect_text_error(f, "{\"debug\":tru\x01}", "runner.json:1: ");
        expect_text_error(f, "{debug:true}", "runner.json:1: ", "name of a key");
        expect_text_error(f, "// no comments\n{}", "runner.json:1: ");
        deep = malloc(4001);
        memset(deep, '[', 4000);
        deep[4000] = 0;
        expect_text_error(f, deep, "nested too deeply");
        big = malloc(size);
        memset(big, ' ', size - 1);
        big[size - 1] = 0;
        expect_text_error(f, big, "larger than 1 MiB");
}

static void test_environment_mistakes(void **state) {
        Fixture *f = *state;

        add_env(f, "NORTHFLARE_RUNNER_TOKEN=t");
        add_env(f, "NORTHFLARE_ORCHESTRATOR_URL=ftp://x");
        expect_error(f, "environment NORTHFLARE_ORCHESTRATOR_URL: ", "https://", NULL);
}

static void test_positions(void **state) {
        static const char text[] =
                "{\n\"a\": 1,\n\n \"b\": { \"c\": [ {\"x\":1},\n{\"x\":2} ], \"d\\u0065\":\n2 }\n}\n";
        ConfigPositions p;

        assert_int_equal(config_positions_scan(text, strlen(text), &p), 0);
        assert_int_equal(config_positions_line(&p, "a"), 2);
        assert_int_equal(config_positions_line(&p, "b"), 4);
        assert_int_equal(config_positions_line(&p, "b.c"), 4);
        assert_int_equal(config_positions_line(&p, "b.de"), 5);
        assert_int_equal(config_positions_line(&p, "x"), 0);
        assert_int_equal(p.n, 4);
        config_positions_done(&p);
        /* No prefix of it is complete, and none is read beyond its end. */
        for (size_t n = 0; n + 1 < strlen(text); n++) {
                char *copy = malloc(n ?: 1);

                memcpy(copy, text, n);
                assert_int_equal(config_positions_scan(copy, n, &p), -EBADMSG);
                assert_non_null(p.error);
                assert_true(p.error_line >= 1 && p.error_line <= 7);
                config_positions_done(&p);
                free(copy);
        }
}

/* ---- address and token ---- */

static void expect_url(const char *url, const char *clean, bool plain, bool loopback) {
        _cleanup_free_ char *text = NULL, *why = NULL;
        bool p, l;

        assert_int_equal(config_url_check(url, &text, &p, &l, &why), 0);
        assert_string_equal(text, clean);
        assert_int_equal(p, plain);
        assert_int_equal(l, loopback);
}

static void test_urls(void **state) {
        static const char *const bad[] = {
                "",
                "o.example",
                "ftp://o.example",
                "https:/o.example",
                "https://",
                "https:///x",
                "https://user@o.example",
                "https://user:pw@o.example",
                "https://o.example?x",
                "https://o.example/#x",
                "https://o.example:0",
                "https://o.example:65536",
                "https://o.example:",
                "https://o.example:80x",
                "https://o example",
                "https://o.example/a b",
                "https://o.example/\n",
                "https://[::1",
                "https://[::1]x",
                "https://[xx]",
                "https://a:b:c",
                "https://-x",
                "https://a\\b",
                "https://\xc3\xa4.example",
        };

        expect_url("https://o.example", "https://o.example", false, false);
        expect_url("HTTPS://o.example:443/a/b//", "HTTPS://o.example:443/a/b", false, false);
        expect_url("http://localhost:8080", "http://localhost:8080", true, true);
        expect_url("http://127.1.2.3/", "http://127.1.2.3", true, true);
        expect_url("http://[::1]:99/x", "http://[::1]:99/x", true, true);
        expect_url("http://[::2]", "http://[::2]", true, false);
        expect_url("http://127.0.0.1.example", "http://127.0.0.1.example", true, false);
        expect_url("http://localhost.example", "http://localhost.example", true, false);
        expect_url("http://1270.0.0.1", "http://1270.0.0.1", true, false);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_free_ char *text = NULL, *why = NULL;
                bool p, l;

                if (config_url_check(bad[i], &text, &p, &l, &why) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
                assert_non_null(why);
        }
}

static void test_plain_http(void **state) {
        Fixture *f = *state;

        add_env(f, "NORTHFLARE_RUNNER_TOKEN=t");
        expect_text_error(
                f,
                "{\n\"orchestratorUrl\":\"http://o.example\"}",
                "runner.json:2: orchestratorUrl: ",
                "allowInsecureHttp");
        load_text(f, "{\"orchestratorUrl\":\"http://o.example\",\"allowInsecureHttp\":true}");
        load_text(f, "{\"orchestratorUrl\":\"http://localhost:1234\"}");
        load_text(f, "{\"orchestratorUrl\":\"http://[::1]\"}");
}

static void test_address_needs_token(void **state) {
        Fixture *f = *state;

        expect_text_error(
                f,
                "{\n\"orchestratorUrl\":\"https://o.example\"}",
                "runner.json:2: ",
                "runner-token",
                "NORTHFLARE_RUNNER_TOKEN",
                "tokenFile");
}

static void test_token_needs_address(void **state) {
        Fixture *f = *state;

        add_env(f, "NORTHFLARE_RUNNER_TOKEN=sesame");
        expect_error(f, "NORTHFLARE_RUNNER_TOKEN: ", "orchestratorUrl", "NORTHFLARE_ORCHESTRATOR_URL", NULL);
        assert_null(strstr(f->error, "sesame"));
}

static void test_token_sources_in_order(void **state) {
        Fixture *f = *state;

        write_file(
                f,
                "northflare/runner.json",
                "{\"orchestratorUrl\":\"https://o.example\",\"tokenFile\":\"../secret\"}");
        write_file(f, "secret", "from-file\n");
        load(f);
        assert_string_equal(f->config->token, "from-file");
        assert_non_null(strstr(f->config->token_origin, "tokenFile "));
        add_env(f, "NORTHFLARE_RUNNER_TOKEN=from-env");
        load(f);
        assert_string_equal(f->config->token, "from-env");
        /* A credential folder without the credential changes nothing. */
        add_env(f, "CREDENTIALS_DIRECTORY=%s/credentials", f->path);
        load(f);
        assert_string_equal(f->config->token, "from-env");
        write_file(f, "credentials/runner-token", "from-credential\r\n");
        load(f);
        assert_string_equal(f->config->token, "from-credential");
        assert_string_equal(f->config->token_origin, "credential runner-token");
        expect_dump(f, "token", "\"********\"", "credential runner-token");
}

static void test_bad_tokens(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *longest = malloc(4099);

        write_file(
                f,
                "northflare/runner.json",
                "{\"orchestratorUrl\":\"https://o.example\",\n\"tokenFile\":\"../secret\"}");
        expect_error(f, "runner.json:2: tokenFile: file ", NULL);
        write_file(f, "secret", "");
        expect_error(f, "tokenFile ", "empty", NULL);
        write_file(f, "secret", "\n");
        expect_error(f, "empty", NULL);
        static const char *const bad[] = {
                "sesame\nsesame\n", "se same", "sesame\n\n", "\tsesame", "ses\177same", "same\303\244",
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                write_file(f, "secret", bad[i]);
                expect_error(f, "tokenFile ", "not valid in a token", NULL);
                assert_null(strstr(f->error, "same"));
        }
        memset(longest, 'x', 4098);
        longest[4098] = 0;
        write_file(f, "secret", longest);
        expect_error(f, "longer than 4096", NULL);
        longest[4096] = '\n';
        longest[4097] = 0;
        write_file(f, "secret", longest);
        load(f);
        assert_int_equal(strlen(f->config->token), 4096);
        assert_int_equal(unlinkat(f->fd, "secret", 0), 0);
        assert_int_equal(mkdirat(f->fd, "secret", 0700), 0);
        expect_error(f, "tokenFile ", "directory", NULL);
}

static void test_reload_keeps_the_token(void **state) {
        Fixture *f = *state;
        RunnerConfig *again = NULL;
        int code;

        write_file(f, "northflare/runner.json", "{\"orchestratorUrl\":\"https://o.example\"}");
        add_env(f, "NORTHFLARE_RUNNER_TOKEN=from-env");
        load(f);
        memset(f->env[2] + strlen("NORTHFLARE_RUNNER_TOKEN="), 0, strlen("from-env"));
        write_file(
                f,
                "northflare/runner.json",
                "{\"orchestratorUrl\":\"https://o.example\",\"maxConversations\":5}");
        assert_int_equal(config_reload(&f->options, f->env, f->config, &again, &code, &f->error), 0);
        assert_string_equal(again->token, "from-env");
        assert_int_equal(again->max_conversations, 5);
        config_free(again);
        /* A token that comes from elsewhere now wins. */
        write_file(f, "northflare/token", "new\n");
        write_file(
                f,
                "northflare/runner.json",
                "{\"orchestratorUrl\":\"https://o.example\",\"tokenFile\":\"token\"}");
        assert_int_equal(config_reload(&f->options, f->env, f->config, &again, &code, &f->error), 0);
        assert_string_equal(again->token, "new");
        config_free(again);
}

static void test_scrub_environment(void **state) {
        char *memory;

        assert_int_equal(setenv("NORTHFLARE_TEST_OTHER", "keep", 1), 0);
        /* putenv() makes this very memory part of the environment. */
        memory = strdup("NORTHFLARE_RUNNER_TOKEN=sesame");
        assert_int_equal(putenv(memory), 0);
        config_scrub_environment();
        assert_null(getenv("NORTHFLARE_RUNNER_TOKEN"));
        assert_string_equal(memory, "NORTHFLARE_RUNNER_TOKEN=");
        for (size_t i = 0; i < strlen("sesame"); i++)
                assert_int_equal(memory[strlen("NORTHFLARE_RUNNER_TOKEN=") + i], 0);
        assert_string_equal(getenv("NORTHFLARE_TEST_OTHER"), "keep");
        free(memory);
}

/* ---- the command config ---- */

static void test_dump_has_every_key(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = NULL, *table = NULL, *error = NULL;
        _cleanup_json_ Json *all = NULL;
        int code = 99, plain = 0;

        assert_int_equal(config_dump(&f->options, f->env, true, &text, &code, &error), 0);
        assert_int_equal(code, 0);
        assert_int_equal(json_parse(text, strlen(text), &all, NULL), 0);
        assert_int_equal(config_dump(&f->options, f->env, false, &table, &code, &error), 0);
        for (size_t i = 0; i < config_n_keys; i++) {
                _cleanup_free_ char *name = strdup(config_keys[i].name);

                if (strchr(name, '*'))
                        name[strcspn(name, ".")] = 0;
                else
                        plain++;
                assert_non_null(json_get(all, name));
                assert_non_null(json_get_string(json_get(all, name), "origin"));
                assert_non_null(strstr(table, name));
        }
        /* Beside them agents, labels and the token. */
        assert_int_equal(json_object_object_length(all), plain + 3);
}

static void test_dump_masks_secrets(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = NULL, *table = NULL, *error = NULL;
        int code;

        add_env(f, "NORTHFLARE_RUNNER_TOKEN=sesame-1");
        write_file(
                f,
                "northflare/runner.json",
                "{\"orchestratorUrl\":\"https://o.example\",\"agents\":{\"a\":{\"env\":{\"SOME_API_KEY\":\"sesame-2\","
                "\"auth_token\":\"sesame-3\",\"PLAIN\":\"shown\"}}}}");
        assert_int_equal(config_dump(&f->options, f->env, true, &text, &code, &error), 0);
        assert_int_equal(config_dump(&f->options, f->env, false, &table, &code, &error), 0);
        assert_null(strstr(text, "sesame"));
        assert_null(strstr(table, "sesame"));
        assert_non_null(strstr(text, "shown"));
        assert_non_null(strstr(text, "agents.a.env.SOME_API_KEY"));
        expect_dump(f, "agents.a.env.auth_token", "\"********\"", "runner.json:1");
        /* It is masked where it is shown, not where it is used. */
        load(f);
        assert_string_equal(
                json_get_string(json_get(json_get(f->config->agents, "a"), "env"), "SOME_API_KEY"),
                "sesame-2");
}

static void test_dump_shows_what_is_missing(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = NULL, *error = NULL;
        int code = 0;

        write_file(f, "northflare/runner.json", "{\"orchestratorUrl\":\"https://o.example\"}");
        assert_int_equal(config_dump(&f->options, f->env, false, &text, &code, &error), -EINVAL);
        assert_int_equal(code, 78);
        assert_non_null(strstr(error, "token"));
        assert_non_null(strstr(text, "https://o.example"));
        free(text);
        free(error);
        text = error = NULL;
        write_file(f, "northflare/runner.json", "{");
        assert_int_equal(config_dump(&f->options, f->env, false, &text, &code, &error), -EINVAL);
        assert_null(text);
        assert_non_null(strstr(error, "runner.json:1"));
}

/* The machine's token is handed to the service by systemd: whoever looks by hand does not see it, and it is not missing. */
static void test_dump_of_the_machine(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *file = xasprintf("%s/machine.json", f->path);

        if (geteuid() != 0)
                skip();
        write_file(f, "machine.json", "{\"orchestratorUrl\":\"https://o.example\"}");
        f->options.user = false;
        f->options.config_file = file;
        expect_dump(f, "token", "null", "by systemd");
        for (int with_credential = 0; with_credential < 2; with_credential++) {
                _cleanup_free_ char *text = NULL, *error = NULL;
                int code = 0;

                /* Inside of the service it would be seen. */
                if (with_credential)
                        add_env(f, "CREDENTIALS_DIRECTORY=%s", f->path);
                assert_int_equal(
                        config_dump(&f->options, f->env, false, &text, &code, &error),
                        with_credential ? -EINVAL : 0);
                assert_int_equal(code, with_credential ? 78 : 0);
        }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_defaults),
                CASE(test_every_key),
                CASE(test_file_of_the_node_runner),
                CASE(test_relative_config_file),
                CASE(test_linked_config_file),
                CASE(test_missing_config_file),
                CASE(test_dropins),
                CASE(test_null_is_the_default_again),
                CASE(test_environment_and_options),
                CASE(test_debug_values),
                CASE(test_empty_variables_are_unset),
                CASE(test_folders_of_the_user),
                CASE(test_machine_defaults),
                CASE(test_expansion),
                CASE(test_bad_expansion),
                CASE(test_unknown_keys),
                CASE(test_wrong_types),
                CASE(test_broken_json),
                CASE(test_environment_mistakes),
                CASE(test_positions),
                CASE(test_urls),
                CASE(test_plain_http),
                CASE(test_address_needs_token),
                CASE(test_token_needs_address),
                CASE(test_token_sources_in_order),
                CASE(test_bad_tokens),
                CASE(test_reload_keeps_the_token),
                CASE(test_scrub_environment),
                CASE(test_dump_has_every_key),
                CASE(test_dump_masks_secrets),
                CASE(test_dump_shows_what_is_missing),
                CASE(test_dump_of_the_machine),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
