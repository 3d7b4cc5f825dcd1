/* SPDX-License-Identifier: MIT */
/* What a configuration that is read again changes: each key counts at once, or is named. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/config/config-keys.h"
#include "runner/config/config-reload.h"

typedef struct Fixture {
        char path[64], file[96], home[96], config_home[96];
        RunnerOptions options;
} Fixture;

static int setup(void **state) {
        Fixture *f = new0(Fixture, 1);

        assert_non_null(f);
        (void) snprintf(f->path, sizeof(f->path), "/tmp/test-reload.XXXXXX");
        assert_non_null(mkdtemp(f->path));
        (void) snprintf(f->file, sizeof(f->file), "%s/northflare", f->path);
        assert_int_equal(mkdir_parents(f->file, 0700), 0);
        (void) snprintf(f->file, sizeof(f->file), "%s/northflare/runner.json", f->path);
        (void) snprintf(f->home, sizeof(f->home), "HOME=%s", f->path);
        (void) snprintf(f->config_home, sizeof(f->config_home), "XDG_CONFIG_HOME=%s", f->path);
        f->options.user = true;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) unlink(f->file);
        *strrchr(f->file, '/') = 0;
        (void) rmdir(f->file);
        assert_int_equal(rmdir(f->path), 0);
        free(f);
        return 0;
}

static RunnerConfig *load(Fixture *f, const char *text) {
        _cleanup_close_ int fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        /* A token means nothing without an address. */
        bool with_token = strstr(text, "orchestratorUrl");
        char *env[] = {
                f->home, f->config_home, with_token ? (char *) "NORTHFLARE_RUNNER_TOKEN=t" : NULL, NULL
        };
        _cleanup_free_ char *error = NULL;
        RunnerConfig *c = NULL;
        int code, r;

        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, text, strlen(text)), 0);
        r = config_load(&f->options, env, &c, &code, &error);
        if (r < 0)
                print_error("%s: %s\n", text, error);
        assert_int_equal(r, 0);
        return c;
}

/* A value that no default is. */
static const char *other_value(const ConfigKey *k) {
        switch (k->type) {
        case CONFIG_PATH:
                return "\"/somewhere/else\"";
        case CONFIG_URL:
                return "\"https://other.example.org\"";
        case CONFIG_URL_PATH:
                return "\"/other\"";
        case CONFIG_ENUM:
                return "\"none\"";
        case CONFIG_UINT:
                return k->min > 1 ? "4321" : k->max == 100 ? "33" : "77";
        case CONFIG_BYTES:
                return streq(k->name, "limits.memoryMax") ? "8589934592" : "12345678";
        case CONFIG_BOOL:
                return "true";
        case CONFIG_IDENT_LIST:
        case CONFIG_ENV_LIST:
        case CONFIG_REPOSITORY_LIST:
                return "[\"other\"]";
        default:
                return "\"shell\"";
        }
}

#define WITH_ADDRESS "{\"orchestratorUrl\":\"https://orchestrator.example.org\""

/* {"a":{"b":VALUE}} of "a.b"; a "*" is a name of its own. */
static char *document(const ConfigKey *k) {
        _cleanup_free_ char *memory = NULL;
        char *text;
        ConfigPath path;

        if (streq(k->name, "tokenFile"))
                return strdup(WITH_ADDRESS ",\"tokenFile\":\"/somewhere/else\"}");
        text = strdup(other_value(k));
        assert_int_equal(config_path_parse(k->name, &path, &memory), 0);
        for (unsigned i = path.n; i-- > 0;) {
                const char *part = streq(path.part[i], "*") ? "NAME" : path.part[i];
                char *outer = xasprintf("{\"%s\":%s}", part, text);

                free(text);
                text = outer;
        }
        return text;
}

static void test_each_key_counts_or_is_named(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < config_n_keys; i++) {
                _cleanup_strv_free_ char **live = NULL, **fixed = NULL, **live_after = NULL,
                                         **fixed_after = NULL;
                const ConfigKey *k = config_keys + i;
                const char *base = streq(k->name, "tokenFile") ? WITH_ADDRESS "}" : "{}";
                _cleanup_free_ char *text = document(k),
                                    *group = strndup(k->name, (size_t) (strchrnul(k->name, '*') - k->name));
                _cleanup_(config_freep) RunnerConfig *old = load(f, base), *fresh = load(f, text);

                if (strchr(k->name, '*'))
                        group[strlen(group) - 1] = 0;
                assert_int_equal(config_compare(old, fresh, &live, &fixed), 0);
                if (strv_length(live) + strv_length(fixed) != 1 ||
                    !streq(k->live ? live[0] : fixed[0], group))
                        fail_msg("%s: not found, or not as what it is", text);
                assert_int_equal(config_take(old, fresh), 0);
                _cleanup_(config_freep) RunnerConfig *again = load(f, text);
                assert_int_equal(config_compare(old, again, &live_after, &fixed_after), 0);
                assert_int_equal(strv_length(live_after), 0);
                assert_int_equal(strv_length(fixed_after), k->live ? 0 : 1);
        }
}

static void test_nothing_changed(void **state) {
        _cleanup_strv_free_ char **live = NULL, **fixed = NULL;
        Fixture *f = *state;
        const char *text =
                "{\"agents\":{\"a\":{\"protocol\":\"shell\"}},\"labels\":{\"x\":\"y\"},\"git\":{\"username\":\"u\"}}";
        _cleanup_(config_freep) RunnerConfig *old = load(f, text), *fresh = load(f, text);

        assert_int_equal(config_compare(old, fresh, &live, &fixed), 0);
        assert_int_equal(strv_length(live), 0);
        assert_int_equal(strv_length(fixed), 0);
}

static void test_values_are_taken(void **state) {
        static const char first[] =
                "{\"agents\":{\"a\":{\"protocol\":\"shell\"}},\"git\":{\"username\":\"one\"},\"dataDir\":\"/one\"}";
        static const char second[] =
                "{\"agents\":{\"b\":{\"protocol\":\"shell\"}},\"labels\":{\"x\":\"y\"},"
                "\"git\":{\"username\":\"two\",\"allowLoopback\":true,\"timeoutSecs\":9,\"credentialHosts\":[\"h\"]},"
                "\"dataDir\":\"/two\",\"heartbeatIntervalMs\":5000,"
                "\"maxConversations\":3,\"minFreeDiskBytes\":4,\"keepEndedDays\":5,\"stopGraceMs\":6,\"forwardRaw\":true,"
                "\"permissionModes\":[\"plan\"],\"envAllowed\":[\"A\"],\"trustedRepositories\":[\"h\"],\"workspaceDir\":\"/w\",\"limits\":{\"tasksMax\":7},\"debug\":true}";
        Fixture *f = *state;
        _cleanup_(config_freep) RunnerConfig *c = load(f, first);
        RunnerConfig *fresh = load(f, second);

        assert_int_equal(config_take(c, fresh), 0);
        /* What was handed over stays. */
        config_free(fresh);
        assert_null(json_get(c->agents, "a"));
        assert_string_equal(json_get_string(json_get(c->agents, "b"), "protocol"), "shell");
        assert_string_equal(json_get_string(c->labels, "x"), "y");
        assert_string_equal(c->git.username, "two");
        assert_true(c->git.allow_loopback);
        assert_int_equal(c->git.timeout_secs, 9);
        assert_string_equal(c->git.credential_hosts[0], "h");
        assert_int_equal(c->max_conversations, 3);
        assert_int_equal(c->min_free_disk_bytes, 4);
        assert_int_equal(c->keep_ended_days, 5);
        assert_int_equal(c->stop_grace_ms, 6);
        assert_true(c->forward_raw);
        assert_true(c->debug);
        assert_string_equal(c->permission_modes[0], "plan");
        assert_string_equal(c->env_allowed[0], "A");
        assert_string_equal(c->trusted_repositories[0], "h");
        assert_string_equal(c->workspace_dir, "/w");
        assert_int_equal(c->limits.tasks_max, 7);
        /* These need a restart. */
        assert_string_equal(c->data_dir, "/one");
        assert_int_equal(c->heartbeat_ms, 120000);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                CASE(test_each_key_counts_or_is_named),
                CASE(test_nothing_changed),
                CASE(test_values_are_taken),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
