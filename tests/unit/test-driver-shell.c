/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "driver-test.h"

static const char *const session[] = {
        "{\"type\":\"started\",\"version\":\"0.1.0\",\"cwd\":\"/srv\"}",
        "{\"type\":\"turn_start\",\"id\":\"m1\"}",
        "{\"type\":\"output\",\"stream\":\"stdout\",\"text\":\"one \\ud83d\\n\"}",
        "{\"stream\":\"stderr\",\"text\":\"two\",\"type\":\"output\"}",
        "{\"type\":\"turn_end\",\"id\":\"m1\",\"exitCode\":0,\"interrupted\":false,\"durationMs\":12}",
        "what",
        "{\"type\":\"error\",\"text\":\"this line is not valid JSON\"}",
        "{\"type\":\"turn_start\",\"id\":\"m2\"}",
        "{\"type\":\"turn_end\",\"id\":\"m2\",\"exitCode\":3,\"interrupted\":false,\"durationMs\":1}",
        "{\"type\":\"turn_start\",\"id\":\"m3\"}",
        "{\"type\":\"turn_end\",\"id\":\"m3\",\"signal\":2,\"interrupted\":true,\"durationMs\":1}",
        "{\"type\":\"news\"}",
        "",
};

static const char expected[] =
        "0.0 message.agent \"event\":{\"type\":\"started\",\"version\":\"0.1.0\",\"cwd\":\"/srv\"}\n"
        "82.0 message.agent \"event\":{\"type\":\"text\",\"delta\":\"one \\ud83d\\n\",\"stream\":\"stdout\"}\n"
        "140.0 message.agent \"event\":{\"type\":\"text\",\"delta\":\"two\",\"stream\":\"stderr\"}\n"
        "189.0 message.agent \"event\":{\"type\":\"turn_end\",\"ok\":true,\"reason\":\"done\",\"exitCode\":0,\"durationMs\":12}\n"
        "268.0 message.agent \"event\":{\"type\":\"notice\",\"text\":\"the agent wrote a line that is not JSON (4 bytes): what\"}\n"
        "273.0 message.agent \"event\":{\"type\":\"error\",\"kind\":\"agent\",\"http\":null,\"text\":\"this line is not valid JSON\",\"retrying\":false}\n"
        "359.0 message.agent \"event\":{\"type\":\"turn_end\",\"ok\":false,\"reason\":\"error\",\"exitCode\":3,\"durationMs\":1}\n"
        "469.0 message.agent \"event\":{\"type\":\"turn_end\",\"ok\":false,\"reason\":\"interrupted\",\"signal\":2,\"durationMs\":1}\n";

static void load_session(Lines *l) {
        for (size_t i = 0; i < ELEMENTSOF(session); i++)
                lines_add(l, session[i], strlen(session[i]));
}

static void test_events(void **state) {
        _cleanup_(driver_freep) Driver *d = make(driver_find("shell"), NULL);
        _cleanup_(heard_done) Heard h = {};
        DriverSink sink = heard_sink(&h, true, true);
        uint64_t offset = 0;

        assert_int_equal(d->ops->phase(d), DRIVER_STARTING);
        for (size_t i = 0; i < ELEMENTSOF(session); i++) {
                feed(d, &sink, &h, session[i], strlen(session[i]), &offset);
                assert_int_equal(
                        d->ops->phase(d),
                        (i >= 1 && i <= 3) || i == 7 || i == 9 ? DRIVER_RUNNING : DRIVER_IDLE);
                assert_int_equal(d->ops->last_turn_failed(d), i == 8 || i == 9);
        }
        /* The offsets are the file's: written out once by hand, they name these events for ever. */
        assert_string_equal(h.events.data, expected);
        assert_int_equal(h.written.size, 0);
        DriverUsage usage;
        d->ops->usage(d, &usage);
        assert_int_equal(usage.turns, 3);
        assert_false(usage.has_cost);
        assert_null(d->ops->session(d));
}

static void try_commands(Driver *d, const Heard *h, uint64_t offset) {
        free(command(d, DRIVER_COMMAND_USER, "{\"content\":\"ls\"}", 0, 0, 1));
        free(command(d, DRIVER_COMMAND_INTERRUPT, NULL, 0, 0, 1));
}

static void test_replay(void **state) {
        _cleanup_(lines_done) Lines lines = {};

        load_session(&lines);
        assert_replay_law(driver_find("shell"), NULL, &lines, NULL);
        assert_replay_law(driver_find("shell"), NULL, &lines, try_commands);
}

static void test_commands(void **state) {
        _cleanup_(driver_freep) Driver *d = make(driver_find("shell"), NULL);
        char *s;

        s = command(d, DRIVER_COMMAND_USER, "{\"content\":\"echo \\\"a\\\"\\nls\"}", 0, 0, 1);
        assert_non_null(strstr(s, "\"text\":\"echo \\\"a\\\"\\nls\"}\n"));
        assert_non_null(startswith(s, "{\"type\":\"user\",\"id\":\"m"));
        free(s);
        s = command(
                d,
                DRIVER_COMMAND_USER,
                "{\"content\":[{\"type\":\"text\",\"text\":\"a;\"},{\"type\":\"text\",\"text\":\"b\"}]}",
                0,
                0,
                1);
        assert_non_null(strstr(s, "\"text\":\"a;b\"}\n"));
        free(s);
        s = command(d, DRIVER_COMMAND_USER, "{\"content\":\"\\ud83d lone\"}", 0, 0, 1);
        assert_non_null(strstr(s, "\xef\xbf\xbd lone"));
        free(s);
        static const char *const bad[] = {
                "{}",
                "{\"content\":5}",
                "{\"content\":{}}",
                "{\"content\":[5]}",
                "{\"content\":[{\"type\":\"text\"}]}",
                "{\"content\":[{\"type\":\"image\",\"text\":\"x\"}]}",
                "{\"content\":\"a\\u0000b\"}",
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_null(command(d, DRIVER_COMMAND_USER, bad[i], 0, 0, -EINVAL));
        s = command(d, DRIVER_COMMAND_INTERRUPT, NULL, 0, 0, 1);
        assert_string_equal(s, "{\"type\":\"interrupt\"}\n");
        free(s);
        s = command(d, DRIVER_COMMAND_END, NULL, 0, 0, 1);
        assert_string_equal(s, "{\"type\":\"end\"}\n");
        free(s);
        assert_null(command(d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"allow\"}", 0, 0, -EINVAL));
        assert_null(command(d, DRIVER_COMMAND_CONFIG, "{\"model\":\"x\"}", 0, 0, -EINVAL));
}

static void test_plan(void **state) {
        _cleanup_json_ Json *spec = parse("{\"env\":{\"A\":\"1\",\"B\":\"2\"}}");
        _cleanup_json_ Json *config = parse(
                "{\"executable\":\"/bin/sh\",\"env\":{\"A\":\"0\",\"C\":\"3\"}}");
        _cleanup_json_ Json *gone = parse("{\"executable\":\"/nowhere/agent\"}");
        _cleanup_json_ Json *relative = parse("{\"executable\":\"bin/sh\"}");
        _cleanup_json_ Json *bad_env = parse("{\"env\":{\"A=B\":\"1\"}}"),
                            *bad_value = parse("{\"env\":{\"A\":1}}");
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        const DriverOps *ops = driver_find("shell");
        char *error = NULL;

        assert_int_equal(ops->plan(spec, config, &plan, &error), 0);
        assert_int_equal(strv_length(plan.argv), 1);
        assert_string_equal(plan.argv[0], "/bin/sh");
        assert_int_equal(strv_length(plan.env), 3);
        assert_true(
                strv_contains(plan.env, "A=1") && strv_contains(plan.env, "B=2") &&
                strv_contains(plan.env, "C=3"));
        assert_null(plan.private_file);
        assert_int_equal(ops->probe(config, &error), 0);
        assert_int_equal(ops->probe(gone, &error), -ENOENT);
        assert_non_null(strstr(error, "/nowhere/agent"));
        free(TAKE_PTR(error));
        assert_int_equal(ops->probe(relative, &error), -ENOENT);
        free(TAKE_PTR(error));
        LaunchPlan none = {};
        assert_int_equal(ops->plan(bad_env, config, &none, &error), -EINVAL);
        assert_non_null(strstr(error, "A=B"));
        free(TAKE_PTR(error));
        assert_int_equal(ops->plan(bad_value, config, &none, &error), -EINVAL);
        free(TAKE_PTR(error));
        assert_null(none.argv);
}

static void test_registry(void **state) {
        assert_non_null(driver_find("shell"));
        assert_non_null(driver_find("claude"));
        assert_null(driver_find("codex"));
        assert_null(driver_find(""));
        assert_null(driver_find(NULL));
        assert_string_equal(driver_phase_to_string(DRIVER_WAITING_PERMISSION), "waiting-permission");
        assert_string_equal(driver_phase_to_string(DRIVER_STARTING), "starting");
        assert_string_equal(driver_phase_to_string(DRIVER_IDLE), "idle");
        assert_string_equal(driver_phase_to_string(DRIVER_RUNNING), "running");
}

static void test_bad_state(void **state) {
        static const char *const bad[] = {
                "{}", "{\"version\":2}", "{\"version\":1,\"turns\":\"x\"}", "[]"
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_json_ Json *o = parse(bad[i]);
                Driver *d = NULL;

                assert_int_equal(driver_find("shell")->load(NULL, o, &d), -EINVAL);
                assert_null(d);
        }
}

/* The phase follows what was sent, so that nobody thinks the agent idle while a script is on its way. */
static void test_phase(void **state) {
        _cleanup_(driver_freep) Driver *d = make(driver_find("shell"), NULL);
        _cleanup_(heard_done) Heard h = {};
        DriverSink sink = heard_sink(&h, true, true);
        uint64_t o = 0;

        feed(d, &sink, &h, session[0], strlen(session[0]), &o);
        free(command(d, DRIVER_COMMAND_USER, "{\"content\":\"a\"}", 0, 0, 1));
        free(command(d, DRIVER_COMMAND_USER, "{\"content\":\"b\"}", 0, 0, 1));
        assert_int_equal(d->ops->phase(d), DRIVER_RUNNING);
        feed(d, &sink, &h, session[1], strlen(session[1]), &o);
        feed(d, &sink, &h, session[4], strlen(session[4]), &o);
        assert_int_equal(d->ops->phase(d), DRIVER_RUNNING);
        feed(d, &sink, &h, session[7], strlen(session[7]), &o);
        feed(d, &sink, &h, session[8], strlen(session[8]), &o);
        assert_int_equal(d->ops->phase(d), DRIVER_IDLE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_events),   cmocka_unit_test(test_replay),
                cmocka_unit_test(test_commands), cmocka_unit_test(test_plan),
                cmocka_unit_test(test_registry), cmocka_unit_test(test_bad_state),
                cmocka_unit_test(test_phase),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
