/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "driver-test.h"

/* Against lines that two versions of the real program wrote. NF_TRANSCRIPTS names the folder; beside each transcript
 * stand the events that it must make (NF_REWRITE=1 writes them anew, for a person to look through). */

static const char *const versions[] = { "claude", "claude-2.1.330" };
static const char *const scenarios[] = {
        "1-simple-turn", "2-tool-allowed",   "3-tool-denied", "4-interrupt",
        "5-api-error",   "6a-before-resume", "6b-resume",
};

static const DriverOps *ops(void) {
        return driver_find("claude");
}

static char *path_of(const char *version, const char *scenario, const char *suffix) {
        return xasprintf("%s/%s/%s.%s", getenv("NF_TRANSCRIPTS"), version, scenario, suffix);
}

static void load_transcript(Lines *l, const char *version, const char *scenario) {
        _cleanup_free_ char *path = path_of(version, scenario, "jsonl");

        lines_load(l, path, "nf-init");
}

static Json *spec_of(const char *scenario) {
        return parse(
                startswith(scenario, "6b") ?
                        "{\"resumeSessionId\":\"beaa61f3-584e-4d98-92a2-e0fd484e098a\"}" :
                        "{\"sessionId\":\"00000000-0000-4000-8000-000000000001\"}");
}

static void test_transcripts(void **state) {
        for (size_t v = 0; v < ELEMENTSOF(versions); v++)
                for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
                        _cleanup_free_ char *path = path_of(versions[v], scenarios[i], "events"),
                                            *expected = NULL;
                        _cleanup_json_ Json *spec = spec_of(scenarios[i]);
                        _cleanup_(driver_freep) Driver *d = make(ops(), spec);
                        _cleanup_(lines_done) Lines lines = {};
                        _cleanup_(heard_done) Heard h = {};
                        DriverSink sink = heard_sink(&h, true, true);
                        uint64_t offset = 0;

                        load_transcript(&lines, versions[v], scenarios[i]);
                        for (size_t k = 0; k < lines.n; k++)
                                feed(d, &sink, &h, lines.list[k].data, lines.list[k].size, &offset);
                        assert_int_equal(h.n_failed, 0);
                        assert_int_equal(h.written.size, 0);
                        if (getenv("NF_REWRITE")) {
                                FILE *f = fopen(path, "we");

                                assert_non_null(f);
                                assert_int_equal(fwrite(h.events.data, 1, h.events.size, f), h.events.size);
                                assert_int_equal(fclose(f), 0);
                        }
                        assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &expected, NULL), 0);
                        assert_string_equal(h.events.data, expected);
                }
}

/* What each scenario means, said once by hand: the files beside the transcripts could be rewritten by accident. */
static void test_meaning(void **state) {
        static const struct {
                const char *scenario;
                unsigned turns;
                bool failed;
                const char *has[4];
        } cases[] = {
                { "1-simple-turn",
                  2,
                  false,
                  { "\"type\":\"message\",\"text\":\"Hello from mock turn 2\"",
                    "\"ok\":true,\"reason\":\"done\"",
                    "\"usage\":{\"inputTokens\":100,\"outputTokens\":7,\"cacheReadTokens\":30,\"cacheWriteTokens\":20}" } },
                { "2-tool-allowed",
                  1,
                  false,
                  { " permission.request \"tool\":\"Bash\",\"toolCallId\":\"toolu_mock_",
                    "\"title\":\"mock command\"",
                    "\"type\":\"tool_result\"",
                    "\"ok\":true,\"text\":\"made\"" } },
                { "3-tool-denied",
                  1,
                  false,
                  { "permission.request",
                    "\"ok\":false,\"text\":\"The user said no.\"",
                    "\"reason\":\"done\"" } },
                { "4-interrupt",
                  2,
                  false,
                  { "\"type\":\"text\",\"delta\":\"w0 w\"",
                    "\"ok\":false,\"reason\":\"interrupted\"",
                    "\"ok\":true,\"reason\":\"done\"" } },
                { "6b-resume", 1, false, { "\"ok\":true,\"reason\":\"done\"" } },
        };

        for (size_t v = 0; v < ELEMENTSOF(versions); v++)
                for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                        _cleanup_free_ char *path = path_of(versions[v], cases[i].scenario, "events"),
                                            *events = NULL;

                        assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &events, NULL), 0);
                        for (size_t k = 0; k < ELEMENTSOF(cases[i].has) && cases[i].has[k]; k++)
                                if (!strstr(events, cases[i].has[k]))
                                        fail_msg("%s lacks %s", path, cases[i].has[k]);
                        unsigned ends = 0;
                        for (char *p = events; (p = strstr(p, "\"type\":\"turn_end\"")); p++)
                                ends++;
                        assert_int_equal(ends, cases[i].turns);
                }
        _cleanup_free_ char *path = path_of("claude", "5-api-error", "events"), *events = NULL;
        assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &events, NULL), 0);
        assert_non_null(strstr(
                events,
                "\"type\":\"error\",\"kind\":\"rate_limit\",\"http\":429,\"text\":\"retry 1 of 1 in 1000 ms\",\"retrying\":true"));
        assert_non_null(
                strstr(events,
                       "\"kind\":\"rate_limit\",\"http\":429,\"text\":\"API Error: Request rejected (429)"));
        assert_non_null(strstr(events, "\"ok\":false,\"reason\":\"error\""));
        assert_null(strstr(events, "\"type\":\"message\"")); /* nobody said anything */
}

static void all_commands(Driver *d, const Heard *h, uint64_t offset) {
        DriverQuestion list[DRIVER_QUESTIONS_MAX];
        size_t size = d->ops->questions(d, list);

        for (size_t i = 0; i < size; i++) {
                assert_int_equal(d->ops->phase(d), DRIVER_WAITING_PERMISSION);
                free(command(
                        d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"deny\"}", list[i].offset, list[i].n, 1));
        }
        bool ready = d->ops->phase(d) != DRIVER_STARTING;
        free(command(d, DRIVER_COMMAND_USER, "{\"content\":\"x\"}", 0, 0, ready));
        free(command(d, DRIVER_COMMAND_INTERRUPT, NULL, 0, 0, ready));
        free(command(d, DRIVER_COMMAND_CONFIG, "{\"model\":null,\"permissionMode\":\"plan\"}", 0, 0, ready));
}

static void test_replay(void **state) {
        for (size_t v = 0; v < ELEMENTSOF(versions); v++)
                for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
                        _cleanup_json_ Json *spec = spec_of(scenarios[i]);
                        _cleanup_(lines_done) Lines lines = {};

                        load_transcript(&lines, versions[v], scenarios[i]);
                        assert_replay_law(ops(), spec, &lines, NULL);
                        assert_replay_law(ops(), spec, &lines, all_commands);
                }
}

/* ---- single lines ---- */

typedef struct Talk {
        Driver *d;
        Heard h;
        DriverSink sink;
        uint64_t offset;
} Talk;

static int setup(void **state) {
        _cleanup_json_ Json *spec = parse("{\"appendSystemPrompt\":\"Be \\\"brief\\\".\"}");
        Talk *t = new0(Talk, 1);

        assert_non_null(t);
        t->d = make(ops(), spec);
        t->sink = heard_sink(&t->h, true, true);
        *state = t;
        return 0;
}

static int teardown(void **state) {
        Talk *t = *state;

        driver_free(t->d);
        heard_done(&t->h);
        free(t);
        return 0;
}

/* Feeds a line and returns what it made. */
static const char *say(Talk *t, const char *line) {
        buffer_clear(&t->h.events, 0);
        buffer_clear(&t->h.written, 0);
        feed(t->d, &t->sink, &t->h, line, strlen(line), &t->offset);
        return strempty(t->h.events.data);
}

static const char ready_line[] =
        "{\"type\":\"control_response\",\"response\":{\"subtype\":\"success\",\"request_id\":\"nf-init\",\"response\":{}}}";
static const char init_line[] =
        "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s-1\",\"model\":\"m\",\"permissionMode\":\"default\",\"claude_code_version\":\"9\"}";

static void assert_in(const char *text, const char *part) {
        if (!strstr(text, part))
                fail_msg("%s lacks %s", text, part);
}

static void test_begin_and_phase(void **state) {
        Talk *t = *state;
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(t->d->ops->begin(t->d, &b), 0);
        assert_string_equal(
                b.data,
                "{\"type\":\"control_request\",\"request_id\":\"nf-init\",\"request\":{\"subtype\":\"initialize\",\"hooks\":null,"
                "\"appendSystemPrompt\":\"Be \\\"brief\\\".\"}}\n");
        assert_int_equal(t->d->ops->phase(t->d), DRIVER_STARTING);
        assert_null(command(t->d, DRIVER_COMMAND_USER, "{\"content\":\"x\"}", 0, 0, 0));
        assert_null(command(t->d, DRIVER_COMMAND_END, NULL, 0, 0, 0));
        assert_string_equal(say(t, ready_line), "");
        assert_int_equal(t->d->ops->phase(t->d), DRIVER_IDLE);
        free(command(t->d, DRIVER_COMMAND_USER, "{\"content\":\"x\"}", 0, 0, 1));
        assert_int_equal(t->d->ops->phase(t->d), DRIVER_RUNNING);
        assert_null(command(t->d, DRIVER_COMMAND_END, NULL, 0, 0, 0));
        assert_in(
                say(t, init_line),
                "\"type\":\"started\",\"session\":\"s-1\",\"model\":\"m\",\"mode\":\"default\",\"version\":\"9\"");
        assert_string_equal(t->d->ops->session(t->d), "s-1");
        assert_string_equal(say(t, init_line), "");
        assert_in(
                say(t, "{\"type\":\"result\",\"is_error\":false,\"subtype\":\"success\",\"result\":\"\"}"),
                "turn_end");
        assert_int_equal(t->d->ops->phase(t->d), DRIVER_IDLE);
        char *s = command(t->d, DRIVER_COMMAND_END, NULL, 0, 0, 1);
        assert_in(s, "\"subtype\":\"end_session\"");
        free(s);
        assert_in(
                say(t,
                    "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s-1\",\"model\":\"m2\",\"permissionMode\":\"plan\"}"),
                "\"model\":\"m2\",\"mode\":\"plan\"");
}

static void test_failed_resume(void **state) {
        Talk *t = *state;

        assert_in(
                say(t,
                    "{\"type\":\"result\",\"subtype\":\"error_during_execution\",\"is_error\":true,\"num_turns\":0,"
                    "\"errors\":[\"No conversation found with session ID: x\"]}"),
                "\"type\":\"error\",\"kind\":\"start\",\"http\":null,\"text\":\"No conversation found with session ID: x\"");
        assert_null(strstr(t->h.events.data, "turn_end"));
        assert_int_equal(t->h.n_failed, 1);
        assert_string_equal(
                t->h.failure, "Claude Code could not start: No conversation found with session ID: x");
}

static void test_failed_initialize(void **state) {
        Talk *t = *state;

        say(t,
            "{\"type\":\"control_response\",\"response\":{\"subtype\":\"error\",\"request_id\":\"nf-init\",\"error\":\"no\"}}");
        assert_string_equal(t->h.failure, "Claude Code could not be initialized: no");
}

static const char ask_line[] =
        "{\"type\":\"control_request\",\"request_id\":\"q-1\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"Bash\","
        "\"input\":{ \"command\":\"\\ud83d ls\",\"n\":1e400},\"tool_use_id\":\"toolu_1\",\"permission_suggestions\":[{\"a\":1}]}}";

static uint64_t ask(Talk *t) {
        uint64_t at = t->offset;

        assert_in(
                say(t, ask_line),
                " permission.request \"tool\":\"Bash\",\"toolCallId\":\"toolu_1\",\"title\":\"Bash\",\"input\":{ \"command\":\"\\ud83d ls\","
                "\"n\":1e400},\"suggestions\":[{\"a\":1}]\n");
        assert_int_equal(t->d->ops->phase(t->d), DRIVER_WAITING_PERMISSION);
        return at;
}

/* Rules for a file of a working directory whose files are not read are kept by the session. */
static void test_rules_for_the_working_directory_hold_for_the_session_where_it_is_not_trusted(void **state) {
#define UPDATE(to) "{\"type\":\"addRules\",\"destination\":\"" to "\"}"
        static const char answer[] =
                "{\"behavior\":\"allow\",\"updatedPermissions\":[" UPDATE("localSettings") "," UPDATE(
                        "projectSettings") "," UPDATE("userSettings") "," UPDATE("session") ",{\"destination\":5},7,null]}";
        Talk *t = *state;
        _cleanup_json_ Json *spec = parse("{\"trustedRepository\":\"git.example.org\"}");

        say(t, ready_line);
        uint64_t at = ask(t);
        _cleanup_(driver_freep) Driver *trusted = reload(t->d, spec);
        _cleanup_free_ char *kept = command(t->d, DRIVER_COMMAND_ANSWER, answer, at, 0, 1),
                            *given = command(trusted, DRIVER_COMMAND_ANSWER, answer, at, 0, 1);
        assert_in(
                kept,
                "\"updatedPermissions\":[" UPDATE("session") "," UPDATE("session") "," UPDATE(
                        "userSettings") "," UPDATE("session") ",{\"destination\":5},7,null]}}}");
        assert_in(
                given,
                "\"updatedPermissions\":[" UPDATE("localSettings") "," UPDATE("projectSettings") "," UPDATE(
                        "userSettings") "," UPDATE("session") ",{\"destination\":5},7,null]}}}");
#undef UPDATE
}

static void test_answers(void **state) {
        Talk *t = *state;
        char *s;

        say(t, ready_line);
        uint64_t at = ask(t);
        static const char *const bad[] = {
                "{}",
                "{\"behavior\":\"maybe\"}",
                "{\"behavior\":5}",
                "{\"behavior\":\"allow\",\"updatedInput\":\"x\"}",
                "{\"behavior\":\"allow\",\"updatedPermissions\":{}}",
                "{\"behavior\":\"deny\",\"message\":[]}",
                "{\"behavior\":\"deny\",\"interrupt\":1}",
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_null(command(t->d, DRIVER_COMMAND_ANSWER, bad[i], at, 0, -EINVAL));
        assert_null(command(t->d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"allow\"}", at, 1, -EINVAL));
        assert_null(command(t->d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"allow\"}", at + 1, 0, -EINVAL));

        /* The input goes back as it came, byte for byte, over a save and a load as well. */
        _cleanup_(driver_freep) Driver *again = reload(t->d, NULL);
        for (unsigned i = 0; i < 2; i++) {
                s = command(i ? again : t->d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"allow\"}", at, 0, 1);
                assert_string_equal(
                        s,
                        "{\"type\":\"control_response\",\"response\":{\"subtype\":\"success\",\"request_id\":\"q-1\",\"response\":"
                        "{\"behavior\":\"allow\",\"updatedInput\":{ \"command\":\"\\ud83d ls\",\"n\":1e400}}}}\n");
                free(s);
        }
        assert_int_equal(t->d->ops->phase(t->d), DRIVER_IDLE);
        assert_null(command(t->d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"allow\"}", at, 0, -EINVAL));
        /* Withdrawn after the answer: told all the same, for a replay knows of no answer. */
        _cleanup_free_ char *gone = xasprintf(
                "\"event\":{\"type\":\"ask_gone\",\"requestId\":\"@%" PRIu64 ".0\"}", at);
        assert_in(say(t, "{\"type\":\"control_cancel_request\",\"request_id\":\"q-1\"}"), gone);
        assert_string_equal(say(t, "{\"type\":\"control_cancel_request\",\"request_id\":\"q-1\"}"), "");

        at = ask(t);
        s = command(
                t->d,
                DRIVER_COMMAND_ANSWER,
                "{\"behavior\":\"allow\",\"updatedInput\":{\"command\":\"true\"},\"updatedPermissions\":[{\"type\":\"setMode\"}]}",
                at,
                0,
                1);
        assert_in(
                s,
                "\"updatedInput\":{\"command\":\"true\"},\"updatedPermissions\":[{\"type\":\"setMode\"}]}}}");
        free(s);
        assert_in(
                say(t,
                    "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":\"x\"}]}}"),
                "\"ok\":true,\"text\":\"x\"");
        assert_null(command(t->d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"deny\"}", at, 0, -EINVAL));

        at = ask(t);
        s = command(
                t->d,
                DRIVER_COMMAND_ANSWER,
                "{\"behavior\":\"deny\",\"message\":\"no\\nway\",\"interrupt\":true}",
                at,
                0,
                1);
        assert_in(s, "{\"behavior\":\"deny\",\"message\":\"no\\nway\",\"interrupt\":true}}}");
        free(s);
        /* The same id again replaces the question. */
        uint64_t next = t->offset;
        assert_in(say(t, ask_line), "ask_gone");
        assert_in(t->h.events.data, "permission.request");
        /* It is the second event of its line: that is its name. */
        assert_null(command(t->d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"deny\"}", next, 0, -EINVAL));
        s = command(t->d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"deny\"}", next, 1, 1);
        assert_in(s, "\"message\":\"");
        free(s);
        /* An interrupted turn takes them along. */
        assert_in(
                say(t, "{\"type\":\"result\",\"is_error\":true,\"terminal_reason\":\"aborted_tools\"}"),
                "ask_gone");
        assert_in(t->h.events.data, "\"reason\":\"interrupted\"");
}

/* Questions that are answered, withdrawn, repeated and left over, with every command at every moment. */
static void test_replay_questions(void **state) {
        static const char *const list[] = {
                ready_line,
                init_line,
                ask_line,
                "not JSON",
                "{\"type\":\"control_cancel_request\",\"request_id\":\"q-1\"}",
                ask_line,
                ask_line,
                "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":\"x\"}]}}",
                "{\"type\":\"control_cancel_request\",\"request_id\":\"q-1\"}",
                ask_line,
                "{\"type\":\"result\",\"is_error\":true,\"terminal_reason\":\"aborted_tools\",\"total_cost_usd\":0.1}",
                init_line,
                "{\"type\":\"assistant\",\"error\":\"odd\"}",
                ask_line,
                "{\"type\":\"result\",\"is_error\":true,\"total_cost_usd\":0.30000000000000004}",
                "{\"type\":\"result\",\"is_error\":false,\"total_cost_usd\":0.7,\"queued_turn_count\":1}",
                "{\"type\":\"control_cancel_request\",\"request_id\":\"q-1\"}",
        };
        _cleanup_(lines_done) Lines lines = {};

        for (size_t i = 0; i < ELEMENTSOF(list); i++)
                lines_add(&lines, list[i], strlen(list[i]));
        assert_replay_law(ops(), NULL, &lines, NULL);
        assert_replay_law(ops(), NULL, &lines, all_commands);
}

static void test_ask_limits(void **state) {
        Talk *t = *state;
        size_t big = 900 << 10;

        say(t, ready_line);
        for (unsigned i = 0; i < 70; i++) {
                _cleanup_free_ char *line = xasprintf(
                        "{\"type\":\"control_request\",\"request_id\":\"l%u\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"T\"}}",
                        i);
                say(t, line);
                assert_int_equal(t->h.events.size > 0, i < 64);
                assert_int_equal(t->h.written.size > 0, i >= 64);
        }
        for (unsigned i = 0; i < 64; i++) {
                _cleanup_free_ char *line = xasprintf(
                        "{\"type\":\"control_cancel_request\",\"request_id\":\"l%u\"}", i);
                assert_in(say(t, line), "ask_gone");
        }
        for (unsigned i = 0; i < 4; i++) {
                _cleanup_buffer_ Buffer b = {};

                (void) buffer_printf(
                        &b,
                        "{\"type\":\"control_request\",\"request_id\":\"b%u\",\"request\":{\"subtype\":\"can_use_tool\","
                        "\"tool_name\":\"T\",\"input\":{\"x\":\"",
                        i);
                assert_int_equal(buffer_reserve(&b, big), 0);
                memset(b.data + b.size, 'x', big);
                b.size += big;
                assert_int_equal(buffer_append_str(&b, "\"}}}"), 0);
                say(t, b.data);
                assert_int_equal(t->h.events.size > 0, i < 2);
        }
        assert_in(
                t->h.written.data,
                "\"subtype\":\"error\",\"request_id\":\"b3\",\"error\":\"too many questions are open\"");
}

static void test_other_requests(void **state) {
        Talk *t = *state;

        assert_string_equal(
                say(t,
                    "{\"type\":\"control_request\",\"request_id\":\"h\\u0041\",\"request\":{\"subtype\":\"hook_callback\"}}"),
                "");
        assert_string_equal(
                t->h.written.data,
                "{\"type\":\"control_response\",\"response\":{\"subtype\":\"error\",\"request_id\":\"h\\u0041\",\"error\":"
                "\"this host does not serve requests of this kind\"}}\n");
        assert_in(say(t, "{\"type\":\"control_request\",\"request\":{}}"), "\"type\":\"notice\"");
        assert_int_equal(t->h.written.size, 0);
        assert_in(
                say(t,
                    "{\"type\":\"control_response\",\"response\":{\"subtype\":\"error\",\"request_id\":\"nf-5\",\"error\":\"a \\\"b\\\"\"}}"),
                "\"text\":\"the agent refused a request: a \\\"b\\\"\"");
        assert_string_equal(say(t, "{\"type\":\"keep_alive\"}"), "");
        assert_string_equal(say(t, "{\"type\":\"rate_limit_event\",\"x\":[]}"), "");
        assert_string_equal(say(t, "{\"type\":\"system\",\"subtype\":\"brand_new\"}"), "");
        assert_string_equal(
                say(t,
                    "{\"type\":\"user\",\"message\":{\"content\":\"<local-command-stdout>\"},\"isReplay\":true}"),
                "");
        assert_string_equal(say(t, ""), "");
}

static void test_texts(void **state) {
        Talk *t = *state;

        assert_in(
                say(t,
                    "{\"event\":{\"delta\":{\"text\":\"\\ud83d\xc3\xa9\",\"type\":\"text_delta\"},\"type\":\"content_block_delta\"},"
                    "\"parent_tool_use_id\":\"toolu_9\",\"type\":\"stream_event\"}"),
                "\"event\":{\"type\":\"text\",\"delta\":\"\\ud83d\xc3\xa9\",\"parent\":\"toolu_9\"}\n");
        assert_in(
                say(t,
                    "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}}"),
                "\"event\":{\"type\":\"thinking\",\"delta\":\"hm\"}\n");
        assert_string_equal(
                say(t,
                    "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"x\"}}}"),
                "");
        assert_in(
                say(t,
                    "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"thinking\",\"thinking\":\"b\"},"
                    "{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"N\",\"input\":{\"k\":[1, 2]}}]}}"),
                "\"event\":{\"type\":\"message\",\"text\":\"a\"}\n");
        assert_in(
                t->h.events.data,
                ".1 message.agent \"event\":{\"type\":\"tool_call\",\"id\":\"i\",\"name\":\"N\",\"input\":{\"k\":[1, 2]}}\n");
        assert_in(
                say(t,
                    "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"i\",\"is_error\":true,\"content\":"
                    "[{\"type\":\"text\",\"text\":\"a\\n\"},{\"type\":\"image\",\"source\":{}},{\"type\":\"text\",\"text\":\"\\\"b\\\"\"}]}]}}"),
                "\"event\":{\"type\":\"tool_result\",\"id\":\"i\",\"ok\":false,\"text\":\"a\\n\\n[image]\\n\\\"b\\\"\"}\n");
        assert_in(
                say(t, "garbage \xff\x01\"\\"),
                "\"type\":\"notice\",\"text\":\"the agent wrote a line that is not JSON (12 bytes): garbage \xef\xbf\xbd\\u0001\\\"\\\\\"");
}

static double usage_cost(Talk *t, uint64_t *turns) {
        DriverUsage u;

        t->d->ops->usage(t->d, &u);
        *turns = u.turns;
        return u.cost_usd;
}

static void test_costs(void **state) {
        Talk *t = *state;
        uint64_t turns;

        say(t, ready_line);
        assert_in(
                say(t,
                    "{\"type\":\"result\",\"is_error\":false,\"total_cost_usd\":0.5,\"usage\":{\"input_tokens\":10}}"),
                "\"costUsd\":0.5,\"totalCostUsd\":0.5}");
        assert_in(
                say(t, "{\"type\":\"result\",\"is_error\":false,\"total_cost_usd\":0.75}"),
                "\"costUsd\":0.25,\"totalCostUsd\":0.75}");
        assert_null(strstr(say(t, "{\"type\":\"result\",\"is_error\":false}"), "ostUsd"));
        /* The count began anew. */
        assert_in(
                say(t, "{\"type\":\"result\",\"is_error\":false,\"total_cost_usd\":0.25}"),
                "\"costUsd\":0.25,\"totalCostUsd\":0.25}");
        assert_null(
                strstr(say(t, "{\"type\":\"result\",\"is_error\":false,\"total_cost_usd\":-1}"), "ostUsd"));
        assert_null(strstr(
                say(t, "{\"type\":\"result\",\"is_error\":false,\"total_cost_usd\":1e300}"), "ostUsd"));
        assert_true(usage_cost(t, &turns) == 1.0);
        assert_int_equal(turns, 6);
        assert_in(
                say(t,
                    "{\"type\":\"result\",\"subtype\":\"error_max_turns\",\"is_error\":true,\"errors\":[\"e\"]}"),
                "\"ok\":false,\"reason\":\"limit\"");
        assert_true(t->d->ops->last_turn_failed(t->d));
        assert_in(
                say(t,
                    "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"api_error_status\":500,\"result\":\"boom\"}"),
                "\"type\":\"error\",\"kind\":\"unknown\",\"http\":500,\"text\":\"boom\",\"retrying\":false");
        assert_in(
                t->h.events.data,
                ".1 message.agent \"event\":{\"type\":\"turn_end\",\"ok\":false,\"reason\":\"error\",\"text\":\"boom\"");

        /* An older session's sum is not this process's. */
        _cleanup_json_ Json *spec = parse("{\"resumeSessionId\":\"00000000-0000-4000-8000-000000000001\"}");
        Driver *first = t->d;
        t->d = make(ops(), spec);
        say(t, ready_line);
        assert_in(
                say(t,
                    "{\"type\":\"result\",\"total_cost_usd\":2.5,\"model_usage_since_last_result\":{\"a\":{\"costUSD\":0.25},\"b\":{\"costUSD\":0.25}}}"),
                "\"costUsd\":0.5,\"totalCostUsd\":2.5}");
        assert_in(
                say(t, "{\"type\":\"result\",\"total_cost_usd\":2.75,\"model_usage_since_last_result\":{}}"),
                "\"costUsd\":0.25,");
        assert_true(usage_cost(t, &turns) == 0.75);
        driver_free(t->d);
        t->d = first;
}

static void test_messages(void **state) {
        Talk *t = *state;
        char *s;

        say(t, ready_line);
        s = command(
                t->d,
                DRIVER_COMMAND_USER,
                "{\"content\":\"a\\nb\\u2028\\ud83d\\u0000\xf0\x9f\x98\x80\"}",
                0,
                0,
                1);
        assert_string_equal(
                s,
                "{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":\"a\\nb\xe2\x80\xa8\xef\xbf\xbd\\u0000\xf0\x9f\x98\x80\"},"
                "\"parent_tool_use_id\":null,\"session_id\":\"\"}\n");
        free(s);
        s = command(
                t->d,
                DRIVER_COMMAND_USER,
                "{\"content\":[{\"type\":\"text\",\"text\":\"look\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"iVBO/w==\"}}]}",
                0,
                0,
                1);
        assert_in(
                s,
                "\"content\":[{\"type\":\"text\",\"text\":\"look\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"iVBO/w==\"}}]}");
        free(s);
#define IMAGE(s) "{\"content\":[{\"type\":\"image\",\"source\":" s "}]}"
        static const char *const bad[] = {
                "{}",
                "[]",
                "{\"content\":\"\"}",
                "{\"content\":[]}",
                "{\"content\":7}",
                "{\"content\":[7]}",
                "{\"content\":[{\"type\":\"text\"}]}",
                "{\"content\":[{\"type\":\"text\",\"text\":\"\"}]}",
                "{\"content\":[{\"type\":\"tool_result\"}]}",
                IMAGE("{}"),
                IMAGE("7"),
                IMAGE("{\"type\":\"url\"}"),
                IMAGE("{\"type\":\"base64\",\"media_type\":\"text/html\",\"data\":\"AAAA\"}"),
                IMAGE("{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"A\"}"),
                IMAGE("{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AA=A\"}"),
                IMAGE("{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"====\"}"),
                IMAGE("{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"\"}"),
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_null(command(t->d, DRIVER_COMMAND_USER, bad[i], 0, 0, -EINVAL));

        s = command(
                t->d,
                DRIVER_COMMAND_CONFIG,
                "{\"model\":\"opus\",\"permissionMode\":\"acceptEdits\"}",
                0,
                0,
                1);
        assert_in(s, "\"subtype\":\"set_model\",\"model\":\"opus\"}}\n");
        assert_in(s, "\"subtype\":\"set_permission_mode\",\"mode\":\"acceptEdits\"}}\n");
        free(s);
        s = command(t->d, DRIVER_COMMAND_CONFIG, "{\"model\":null}", 0, 0, 1);
        assert_in(s, "\"model\":null}}\n");
        free(s);
        s = command(t->d, DRIVER_COMMAND_CONFIG, "{\"limits\":{}}", 0, 0, 1);
        assert_string_equal(strempty(s), "");
        free(s);
        assert_null(command(t->d, DRIVER_COMMAND_CONFIG, "{\"model\":5}", 0, 0, -EINVAL));
        assert_null(command(
                t->d, DRIVER_COMMAND_CONFIG, "{\"model\":\"x\",\"permissionMode\":[]}", 0, 0, -EINVAL));
        s = command(t->d, DRIVER_COMMAND_INTERRUPT, NULL, 0, 0, 1);
        assert_in(s, "\"request\":{\"subtype\":\"interrupt\"}}\n");
        free(s);

        /* As deep as a message may come is deeper than one may go: refused, not sent half-way. */
        uint64_t at = ask(t);
        _cleanup_buffer_ Buffer deep = {};
        (void) buffer_append_str(&deep, "{\"behavior\":\"allow\",\"updatedInput\":{\"a\":");
        for (unsigned i = 0; i < 61; i++)
                (void) buffer_append_str(&deep, "[");
        for (unsigned i = 0; i < 61; i++)
                (void) buffer_append_str(&deep, "]");
        assert_int_equal(buffer_append_str(&deep, "}}"), 0);
        assert_null(command(t->d, DRIVER_COMMAND_ANSWER, deep.data, at, 0, -EINVAL));
        free(command(t->d, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"deny\"}", at, 0, 1));
}

/* As 2.1.197 says it, and as 2.1.330 does, which tells the whole list besides. */
static void test_tasks(void **state) {
        static const char started
                [] = "{\"type\":\"system\",\"subtype\":\"task_started\",\"task_id\":\"bi7kmf8kz\",\"tool_use_id\":\"toolu_1\","
                     "\"description\":\"d\",\"task_type\":\"local_bash\"}",
         list[] =
                 "{\"type\":\"system\",\"subtype\":\"background_tasks_changed\",\"tasks\":[{\"task_id\":\"bjapk2nkh\","
                 "\"run_id\":\"0mwscrg2x-c997aa5a\",\"task_type\":\"local_bash\",\"description\":\"d\"}]}",
         started_too[] =
                 "{\"type\":\"system\",\"subtype\":\"task_started\",\"task_id\":\"bjapk2nkh\",\"run_id\":\"0mwscrg2x-c997aa5a\","
                 "\"is_backgrounded\":true,\"task_type\":\"local_bash\"}",
         updated[] = "{\"type\":\"system\",\"subtype\":\"task_updated\",\"task_id\":\"bi7kmf8kz\","
                     "\"patch\":{\"status\":\"%s\",\"end_time\":1795383139744}}",
         told[] =
                 "{\"type\":\"system\",\"subtype\":\"task_notification\",\"task_id\":\"bi7kmf8kz\",\"status\":\"completed\"}",
         none[] = "{\"type\":\"system\",\"subtype\":\"background_tasks_changed\",\"tasks\":[]}";
        Talk *t = *state;
        char line[256];

        assert_string_equal(say(t, ready_line), "");
        assert_int_equal(t->d->ops->background(t->d), 0);
        assert_string_equal(say(t, started), "");
        assert_string_equal(say(t, started), "");
        assert_int_equal(t->d->ops->background(t->d), 1);
        assert_int_equal(t->d->ops->phase(t->d), DRIVER_IDLE);
        /* It outlives a restart of the runner. */
        _cleanup_json_ Json *spec = parse("{}");
        Driver *again = reload(t->d, spec);
        driver_free(t->d);
        t->d = again;
        assert_int_equal(t->d->ops->background(t->d), 1);
        (void) snprintf(line, sizeof(line), updated, "running");
        assert_string_equal(say(t, line), "");
        assert_int_equal(t->d->ops->background(t->d), 1);
        (void) snprintf(line, sizeof(line), updated, "killed");
        assert_string_equal(say(t, line), "");
        assert_int_equal(t->d->ops->background(t->d), 0);
        assert_string_equal(say(t, started), "");
        assert_string_equal(say(t, told), "");
        assert_string_equal(say(t, told), "");
        assert_int_equal(t->d->ops->background(t->d), 0);

        assert_string_equal(say(t, started), "");
        assert_string_equal(say(t, list), "");
        assert_string_equal(say(t, started_too), "");
        assert_int_equal(t->d->ops->background(t->d), 1);
        assert_string_equal(say(t, none), "");
        assert_int_equal(t->d->ops->background(t->d), 0);

        /* However many there are: those that are told apart are bounded. */
        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(
                        line,
                        sizeof(line),
                        "{\"type\":\"system\",\"subtype\":\"task_started\",\"task_id\":\"t%u\"}",
                        i);
                assert_string_equal(say(t, line), "");
        }
        assert_int_equal(t->d->ops->background(t->d), 64);
        assert_string_equal(say(t, none), "");
        assert_int_equal(t->d->ops->background(t->d), 0);
}

static void test_bad_state(void **state) {
        static const char *const bad[] = {
                "{}",
                "[]",
                "{\"version\":1}",
                "{\"version\":0,\"asks\":[],\"totalCost\":0,\"cost\":0}",
                "{\"version\":3,\"asks\":[],\"totalCost\":0,\"cost\":0}",
                "{\"version\":2,\"asks\":[{\"requestId\":\"\\\"q\\\"\",\"offset\":0,\"n\":0}],\"totalCost\":0,\"cost\":0}",
                "{\"version\":2,\"asks\":[{\"size\":9,\"offset\":0,\"n\":0}],\"totalCost\":0,\"cost\":0}",
                "{\"version\":1,\"asks\":[{}],\"totalCost\":0,\"cost\":0}",
                "{\"version\":1,\"asks\":[],\"totalCost\":\"x\",\"cost\":0}",
                "{\"version\":1,\"asks\":[],\"totalCost\":0,\"cost\":0,\"session\":7}",
                "{\"version\":1,\"asks\":[],\"totalCost\":0,\"cost\":0,\"tasks\":7}",
                "{\"version\":1,\"asks\":[],\"totalCost\":0,\"cost\":0,\"tasks\":[7]}",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_json_ Json *o = parse(bad[i]);
                Driver *d = NULL;

                if (ops()->load(NULL, o, &d) != -EINVAL)
                        fail_msg("loaded: %s", bad[i]);
                assert_null(d);
        }
}

/* As a runner saved it that did not count any yet. */
static void test_state_without_tasks_is_loaded(void **state) {
        _cleanup_json_ Json *o = parse("{\"version\":1,\"asks\":[],\"totalCost\":0,\"cost\":0}");
        _cleanup_(driver_freep) Driver *d = NULL;

        assert_int_equal(ops()->load(NULL, o, &d), 0);
        assert_int_equal(ops()->background(d), 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_transcripts),
                cmocka_unit_test(test_meaning),
                cmocka_unit_test(test_replay),
                TEST(test_begin_and_phase),
                TEST(test_failed_resume),
                TEST(test_failed_initialize),
                TEST(test_answers),
                TEST(test_rules_for_the_working_directory_hold_for_the_session_where_it_is_not_trusted),
                cmocka_unit_test(test_replay_questions),
                TEST(test_ask_limits),
                TEST(test_other_requests),
                TEST(test_texts),
                TEST(test_costs),
                TEST(test_messages),
                TEST(test_tasks),
                cmocka_unit_test(test_bad_state),
                cmocka_unit_test(test_state_without_tasks_is_loaded),
        };

        if (!getenv("NF_TRANSCRIPTS"))
                return 77;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
