/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/util.h"
#include "runner/config/options.h"

#define ARGS_MAX 12

/* What was said on stderr meanwhile goes to text. */
static int parse(RunnerOptions *o, char text[static 512], ...) {
        char *argv[ARGS_MAX + 2] = { (char *) "northflare-runner" };
        int argc = 1, saved, r;
        va_list ap;
        FILE *f;

        va_start(ap, text);
        for (const char *s; (s = va_arg(ap, const char *));) {
                assert_true(argc <= ARGS_MAX);
                argv[argc++] = (char *) s;
        }
        va_end(ap);

        f = tmpfile();
        assert_non_null(f);
        (void) fflush(stderr);
        saved = dup(STDERR_FILENO);
        assert_true(saved >= 0);
        assert_true(dup2(fileno(f), STDERR_FILENO) >= 0);
        r = options_parse(argc, argv, o);
        (void) fflush(stderr);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        (void) close(saved);
        rewind(f);
        size_t n = fread(text, 1, 511, f);
        text[n] = 0;
        (void) fclose(f);
        return r;
}

#define expect_good(o, ...)                                              \
        ({                                                               \
                char _text[512];                                         \
                assert_int_equal(parse(o, _text, __VA_ARGS__, NULL), 0); \
                assert_string_equal(_text, "");                          \
        })

/* One line, which names what is wrong. */
#define expect_bad(words, ...)                                                                 \
        ({                                                                                     \
                char _text[512];                                                               \
                RunnerOptions _o = { .json = true };                                           \
                assert_int_equal(parse(&_o, _text, __VA_ARGS__ __VA_OPT__(, ) NULL), -EINVAL); \
                if (!strstr(_text, words))                                                     \
                        fail_msg("\"%s\" is not in: %s", words, _text);                        \
                assert_ptr_equal(strchr(_text, '\n'), _text + strlen(_text) - 1);              \
                assert_true(_o.json);                                                          \
        })

static void test_start_alone(void **state) {
        RunnerOptions o;

        expect_good(&o, "start");
        assert_int_equal(o.command, COMMAND_START);
        assert_null(o.config_file);
        assert_null(o.retry_strategy);
        assert_null(o.data_dir);
        assert_null(o.workspace_dir);
        assert_false(o.retry_interval_set || o.retry_duration_set || o.heartbeat_set);
        assert_false(o.debug || o.user || o.json);
}

static void test_all_options(void **state) {
        RunnerOptions o;

        expect_good(
                &o,
                "start",
                "-c",
                "f.json",
                "--retry-strategy=exponential",
                "--retry-interval-secs",
                "5",
                "--retry-duration-secs=77",
                "--data-dir",
                "d",
                "--debug");
        assert_string_equal(o.config_file, "f.json");
        assert_string_equal(o.retry_strategy, "exponential");
        assert_true(o.retry_interval_set && o.retry_interval_secs == 5);
        assert_true(o.retry_duration_set && o.retry_duration_secs == 77);
        assert_string_equal(o.data_dir, "d");
        assert_true(o.debug);
        assert_false(o.heartbeat_set);
        expect_good(
                &o,
                "--config=/x",
                "--heartbeat-interval",
                "1500",
                "--workspace-dir",
                "/w",
                "--user",
                "start");
        assert_string_equal(o.config_file, "/x");
        assert_true(o.heartbeat_set && o.heartbeat_ms == 1500);
        assert_string_equal(o.workspace_dir, "/w");
        assert_true(o.user);
}

static void test_config_command(void **state) {
        RunnerOptions o;

        expect_good(&o, "config", "--json");
        assert_int_equal(o.command, COMMAND_CONFIG);
        assert_true(o.json);
        expect_good(&o, "config");
        assert_false(o.json);
}

static void test_help_and_version(void **state) {
        RunnerOptions o;

        expect_good(&o, "-h");
        assert_int_equal(o.command, COMMAND_HELP);
        expect_good(&o, "start", "--help", "--debug");
        assert_int_equal(o.command, COMMAND_HELP);
        expect_good(&o, "--version");
        assert_int_equal(o.command, COMMAND_VERSION);
        expect_good(&o, "-V");
        assert_int_equal(o.command, COMMAND_VERSION);
}

static void test_strategies(void **state) {
        RunnerOptions o;

        expect_good(&o, "start", "--retry-strategy", "none");
        assert_string_equal(o.retry_strategy, "none");
        expect_good(&o, "start", "--retry-strategy", "interval");
        assert_string_equal(o.retry_strategy, "interval");
        expect_bad("--retry-strategy", "start", "--retry-strategy", "always");
        expect_bad("--retry-strategy", "start", "--retry-strategy", "");
        expect_bad("--retry-strategy", "start", "--retry-strategy", "None");
}

static void test_numbers(void **state) {
        RunnerOptions o;

        expect_bad("--retry-interval-secs", "start", "--retry-interval-secs", "0");
        expect_bad("--retry-interval-secs", "start", "--retry-interval-secs", "-1");
        expect_bad("--retry-interval-secs", "start", "--retry-interval-secs", "60s");
        expect_bad("--retry-interval-secs", "start", "--retry-interval-secs", "86401");
        expect_bad("--retry-duration-secs", "start", "--retry-duration-secs", "");
        expect_bad("--retry-duration-secs", "start", "--retry-duration-secs", "99999999999999999999999");
        expect_bad("--heartbeat-interval", "start", "--heartbeat-interval", "999");
        expect_bad("--heartbeat-interval", "start", "--heartbeat-interval", "1.5");
        expect_good(&o, "start", "--heartbeat-interval", "1000");
        assert_int_equal(o.heartbeat_ms, 1000);
}

static void test_bad_command_lines(void **state) {
        expect_bad("a command is missing");
        expect_bad("a command is missing", "--debug");
        expect_bad("stop", "stop");
        expect_bad("again", "start", "again");
        expect_bad("--json", "start", "--json");
        expect_bad("--nonsense", "start", "--nonsense");
        expect_bad("'x'", "start", "-x");
        expect_bad("config", "start", "--config");
        expect_bad("--config", "start", "--config", "");
        expect_bad("--data-dir", "start", "--data-dir", "");
        expect_bad("--workspace-dir", "start", "--workspace-dir=");
        expect_bad("user", "start", "--user=yes");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_start_alone),       cmocka_unit_test(test_all_options),
                cmocka_unit_test(test_config_command),    cmocka_unit_test(test_help_and_version),
                cmocka_unit_test(test_strategies),        cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_bad_command_lines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
