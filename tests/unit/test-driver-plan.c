/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "driver-test.h"

/* What is asked of the launcher for Claude Code: the arguments, the environment, the private file. */

#define UUID_A "00000000-0000-4000-8000-00000000000a"
#define UUID_B "00000000-0000-4000-8000-00000000000b"

#define ENTRY NF_LIBEXECDIR "/northflare-claude-entry"
#define FIXED                                                                       \
        "/bin/sh|--output-format|stream-json|--verbose|--input-format|stream-json|" \
        "--permission-prompt-tool=stdio|--include-partial-messages|"

static int plan_spec(const char *spec, const char *config, LaunchPlan *ret, char **ret_error) {
        _cleanup_json_ Json *s = parse(spec), *c = parse(config);

        return driver_find("claude")->plan(s, c, ret, ret_error);
}

static void assert_plan(const char *spec, const char *arguments) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(plan_spec(spec, "{\"executable\":\"/bin/sh\"}", &plan, &error), 0);
        STRV_FOREACH(a, plan.argv) {
                (void) buffer_append_str(&b, *a);
                (void) buffer_append_str(&b, "|");
        }
        const char *rest = startswith(
                strempty(b.data),
                ENTRY "|--quote=CLAUDE.md|--quote=.claude/CLAUDE.md|--quote=AGENTS.md|--|" FIXED
                      "--setting-sources=user|");
        assert_non_null(rest);
        assert_string_equal(rest, arguments);
}

static void assert_beginning(const char *spec, const char *beginning) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(plan_spec(spec, "{\"executable\":\"/bin/sh\"}", &plan, &error), 0);
        STRV_FOREACH(a, plan.argv) {
                (void) buffer_append_str(&b, *a);
                (void) buffer_append_str(&b, "|");
        }
        assert_string_equal(strempty(b.data), beginning);
}

static void test_repository_settings_count_only_where_it_is_trusted(void **state) {
        static const char untrusted[] = ENTRY
                "|--quote=CLAUDE.md|--quote=.claude/CLAUDE.md|--quote=AGENTS.md|--|" FIXED
                "--setting-sources=user|";

        assert_beginning("{}", untrusted);
        assert_beginning("{\"trustedRepository\":\"\"}", untrusted);
        assert_beginning("{\"trustedRepository\":true}", untrusted);
        assert_beginning("{\"repositoryTrusted\":true}", untrusted);
        assert_beginning(
                "{\"trustedRepository\":\"git.example.org\"}",
                ENTRY "|--quote=AGENTS.md|--|" FIXED "--setting-sources=user,project|");
        /* A directory is trusted as far as no link leads out of it. */
        assert_beginning(
                "{\"trustedRepository\":\"/srv/a\"}",
                ENTRY "|--below=/srv/a|--quote=AGENTS.md|--|" FIXED "--setting-sources=user,project|");
}

static void test_arguments(void **state) {
        assert_plan("{}", "");
        assert_plan("{\"sessionId\":\"" UUID_A "\"}", "--session-id=" UUID_A "|");
        assert_plan(
                "{\"sessionId\":\"" UUID_A "\",\"resumeSessionId\":\"" UUID_B "\"}", "--resume=" UUID_B "|");
        assert_plan(
                "{\"sessionId\":\"" UUID_A "\",\"resumeSessionId\":\"" UUID_B "\",\"forkSession\":true}",
                "--resume=" UUID_B "|--fork-session|--session-id=" UUID_A "|");
        /* A value that looks like an option stays a value. */
        assert_plan(
                "{\"model\":\"--dangerously-skip-permissions\",\"permissionMode\":\"plan\"}",
                "--model=--dangerously-skip-permissions|--permission-mode=plan|");
        assert_plan(
                "{\"allowedTools\":[\"Bash(git log *)\",\"Read\"],\"disallowedTools\":[\"WebSearch\"]}",
                "--allowedTools=Bash(git log *),Read|--disallowedTools=WebSearch|");
        assert_plan(
                "{\"allowedTools\":[],\"mcpServers\":{},\"model\":\"\",\"appendSystemPrompt\":\"x\"}", "");
        assert_plan("{\"mcpServers\":{\"a\":{\"command\":\"b\"}}}", "--mcp-config={private}|");
}

static void test_private_file(void **state) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_free_ char *error = NULL;

        assert_int_equal(
                plan_spec(
                        "{\"mcpServers\":{\"a\":{\"command\":\"b\",\"env\":{\"K\":\"secret \\\"1\\\"\"}}}}",
                        "{\"executable\":\"/bin/sh\"}",
                        &plan,
                        &error),
                0);
        assert_string_equal(
                plan.private_file,
                "{\"mcpServers\":{\"a\":{\"command\":\"b\",\"env\":{\"K\":\"secret \\\"1\\\"\"}}}}\n");
        STRV_FOREACH(a, plan.argv)
                assert_null(strstr(*a, "secret"));
}

static void test_environment(void **state) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_free_ char *error = NULL;

        /* Defaults, over them the administrator's, over them the conversation's. */
        assert_int_equal(
                plan_spec(
                        "{\"env\":{\"B\":\"spec\"}}",
                        "{\"executable\":\"/bin/sh\",\"env\":{\"B\":\"config\",\"C\":\"config\",\"DISABLE_AUTOUPDATER\":\"0\"}}",
                        &plan,
                        &error),
                0);
        assert_int_equal(strv_length(plan.env), 9);
        static const char *const expected[] = {
                "CLAUDE_CODE_DISABLE_CRON=1",
                "CLAUDE_CODE_ENTRYPOINT=sdk-ts",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
                "DISABLE_AUTOUPDATER=0",
                "B=spec",
                "C=config",
                "GIT_CONFIG_COUNT=1",
                "GIT_CONFIG_KEY_0=core.fsmonitor",
                "GIT_CONFIG_VALUE_0=false",
        };
        for (size_t i = 0; i < ELEMENTSOF(expected); i++)
                assert_true(strv_contains(plan.env, expected[i]));
}

static void test_git_is_left_as_it_is_in_a_trusted_repository(void **state) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_free_ char *error = NULL;

        assert_int_equal(
                plan_spec(
                        "{\"trustedRepository\":\"git.example.org\"}",
                        "{\"executable\":\"/bin/sh\"}",
                        &plan,
                        &error),
                0);
        assert_int_equal(strv_length(plan.env), 3);
}

static void test_refused(void **state) {
        static const struct {
                const char *spec, *names;
        } cases[] = {
                { "{\"sessionId\":\"x\"}", "sessionId" },
                { "{\"sessionId\":5}", "sessionId" },
                { "{\"resumeSessionId\":\"../../etc\"}", "resumeSessionId" },
                { "{\"forkSession\":\"yes\"}", "forkSession" },
                { "{\"model\":5}", "model" },
                { "{\"model\":\"a\\nb\"}", "model" },
                { "{\"permissionMode\":[]}", "permissionMode" },
                { "{\"allowedTools\":\"Bash\"}", "allowedTools" },
                { "{\"allowedTools\":[\"\"]}", "allowedTools" },
                { "{\"allowedTools\":[7]}", "allowedTools" },
                { "{\"disallowedTools\":[\"a\\u0007\"]}", "disallowedTools" },
                { "{\"mcpServers\":[]}", "mcpServers" },
                { "{\"mcpServers\":{\"s\":\"x\"}}", "mcpServers.s" },
                { "{\"appendSystemPrompt\":{}}", "appendSystemPrompt" },
                { "{\"env\":[]}", "env" },
                { "{\"env\":{\"A-B\":\"1\"}}", "A-B" },
                { "{\"env\":{\"A\":1}}", "env.A" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;
                LaunchPlan plan = {};

                if (plan_spec(cases[i].spec, "{\"executable\":\"/bin/sh\"}", &plan, &error) != -EINVAL)
                        fail_msg("taken: %s", cases[i].spec);
                assert_null(plan.argv);
                assert_non_null(error);
                if (!strstr(error, cases[i].names))
                        fail_msg("%s does not name %s", error, cases[i].names);
        }
        /* Longer than an argument can be. */
        _cleanup_buffer_ Buffer b = {};
        (void) buffer_append_str(&b, "{\"allowedTools\":[\"x\"");
        for (unsigned i = 0; i < 20000; i++)
                (void) buffer_append_str(&b, ",\"Bash(x)\"");
        assert_int_equal(buffer_append_str(&b, "]}"), 0);
        _cleanup_free_ char *error = NULL;
        LaunchPlan plan = {};
        assert_int_equal(plan_spec(b.data, "{\"executable\":\"/bin/sh\"}", &plan, &error), -EINVAL);
}

static void test_probe(void **state) {
        const DriverOps *ops = driver_find("claude");
        _cleanup_json_ Json *there = parse("{\"executable\":\"/bin/sh\"}"),
                            *folder = parse("{\"executable\":\"/tmp\"}");
        _cleanup_free_ char *error = NULL;

        assert_int_equal(ops->probe(there, &error), 0);
        assert_int_equal(ops->probe(folder, &error), -ENOENT);
        assert_non_null(strstr(error, "/tmp"));
        assert_non_null(strstr(error, "@anthropic-ai/claude-code"));
        if (access("/usr/local/bin/claude", F_OK) < 0 && access("/usr/bin/claude", F_OK) < 0) {
                free(TAKE_PTR(error));
                assert_int_equal(ops->probe(NULL, &error), -ENOENT);
                assert_non_null(strstr(error, "@anthropic-ai/claude-code"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_arguments),
                cmocka_unit_test(test_private_file),
                cmocka_unit_test(test_environment),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_git_is_left_as_it_is_in_a_trusted_repository),
                cmocka_unit_test(test_probe),
                cmocka_unit_test(test_repository_settings_count_only_where_it_is_trusted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
