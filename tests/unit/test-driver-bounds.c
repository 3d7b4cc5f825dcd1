/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "driver-test.h"

/* What is longer than its bound, and what can be read in two ways. */

#define ASK_MAX ((size_t) 1024 * 1024)

typedef struct Agent {
        Driver *d;
        Heard h;
        DriverSink sink;
        uint64_t offset;
} Agent;

static void agent_init(Agent *a, const char *protocol) {
        *a = (Agent){ .d = make(driver_find(protocol), NULL) };
        a->sink = heard_sink(&a->h, true, true);
}

static void agent_done(Agent *a) {
        driver_free(reload(a->d, NULL));
        driver_free(a->d);
        heard_done(&a->h);
}

static void forget(Agent *a) {
        buffer_clear(&a->h.events, 0);
        buffer_clear(&a->h.written, 0);
        a->h.n = 0;
        a->h.offset = a->offset;
}

static const char *says(Agent *a, const char *line) {
        forget(a);
        feed(a->d, &a->sink, &a->h, line, strlen(line), &a->offset);
        return strempty(a->h.events.data);
}

/* A line of which only the head is there, in memory of exactly its size. */
static const char *says_too_much(Agent *a, const char *head, size_t n, uint64_t size) {
        char *copy = malloc(n ?: 1);

        assert_non_null(copy);
        memcpy(copy, head, n);
        forget(a);
        assert_int_equal(a->d->ops->feed_oversize(a->d, copy, n, size, a->offset, &a->sink), 0);
        free(copy);
        a->offset += size + 1;
        return strempty(a->h.events.data);
}

static void assert_in(const char *text, const char *part) {
        if (!text || !strstr(text, part))
                fail_msg("\"%s\" is not in: %.2000s", part, strempty(text));
}

static DriverUsage usage_of(Agent *a) {
        DriverUsage u;

        a->d->ops->usage(a->d, &u);
        return u;
}

static void bound_of_a_run_is_in_its_spec_within_ours(void **state) {
        static const struct {
                const char *spec;
                size_t expected;
        } cases[] = {
                { "{}", 8388608 },
                { "{\"lineMax\":65535}", 65536 },
                { "{\"lineMax\":65536}", 65536 },
                { "{\"lineMax\":1000000}", 1000000 },
                { "{\"lineMax\":8388608}", 8388608 },
                { "{\"lineMax\":8388609}", 8388608 },
                { "{\"lineMax\":-1}", 8388608 },
                { "{\"lineMax\":\"65536\"}", 8388608 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ Json *spec = parse(cases[i].spec);

                assert_int_equal(driver_line_max(spec), cases[i].expected);
        }
        assert_int_equal(driver_line_max(NULL), 8388608);
}

static void bound_leaves_an_event_room_in_a_body(void **state) {
        static const uint64_t cases[][2] = {
                { 0, 65536 },         { 65536, 65536 },     { 73728, 65536 },     { 73729, 65537 },
                { 8396799, 8388607 }, { 8396800, 8388608 }, { 8396801, 8388608 }, { UINT64_MAX, 8388608 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(driver_line_max_of_body(cases[i][0]), cases[i][1]);
}

static void oversize_line_is_one_event_with_type_size_and_head(void **state) {
        static const char *const protocols[] = { "claude", "shell" };

        for (size_t i = 0; i < ELEMENTSOF(protocols); i++) {
                _cleanup_(agent_done) Agent a;
                static const char head[] = "{\"type\":\"assistant\",\"message\":{\"content\":[{},{\"a\xc3";

                agent_init(&a, protocols[i]);
                assert_string_equal(
                        says_too_much(&a, head, sizeof(head) - 1, 45000000),
                        "0.0 message.agent \"event\":{\"type\":\"oversize\",\"lineType\":\"assistant\",\"size\":45000000,"
                        "\"head\":\"{\\\"type\\\":\\\"assistant\\\",\\\"message\\\":{\\\"content\\\":[{},{\\\"a\xef\xbf\xbd\"}\n");
                assert_int_equal(a.h.written.size, 0);
                /* Of a type that is not whole, not valid or not there nothing is said. */
                assert_in(
                        says_too_much(&a, "{\"type\":\"assis", 14, 9000000),
                        "{\"type\":\"oversize\",\"size\":9000000,");
                assert_in(
                        says_too_much(&a, "{\"type\":\"a\\x\",1", 15, 9000000),
                        "{\"type\":\"oversize\",\"size\":9000000,");
                assert_in(
                        says_too_much(&a, "[{},{},{},", 10, 9000000),
                        "{\"type\":\"oversize\",\"size\":9000000,");
                assert_int_equal(usage_of(&a).oversize_lines, 4);
        }
}

static void head_of_an_event_is_4_kib_at_the_most(void **state) {
        _cleanup_(agent_done) Agent a;
        char head[8192];

        agent_init(&a, "shell");
        memset(head, 'x', sizeof(head));
        for (size_t n = 4095; n <= 4097; n++) {
                (void) says_too_much(&a, head, n, 9000000);
                const char *begin = strstr(a.h.events.data, "\"head\":\"") + 8;
                assert_int_equal(strcspn(begin, "\""), MIN(n, (size_t) 4096));
        }
}

static bool slice_is(Slice s, const char *text) {
        return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static void make_question(Buffer *b, size_t size) {
        static const char before[] =
                "{\"type\":\"control_request\",\"request_id\":\"q7\",\"request\":{\"subtype\":\"can_use_tool\","
                "\"tool_name\":\"Write\",\"input\":{\"x\":\"",
                          after[] = "\"}}}";

        (void) buffer_append_str(b, before);
        assert_int_equal(buffer_reserve(b, size), 0);
        size_t n = size - b->size - (sizeof(after) - 1);
        memset(b->data + b->size, 'x', n);
        b->size += n;
        assert_int_equal(buffer_append_str(b, after), 0);
        assert_int_equal(b->size, size);
}

static const char denial[] =
        "{\"type\":\"control_response\",\"response\":{\"subtype\":\"success\",\"request_id\":\"q7\",\"response\":"
        "{\"behavior\":\"deny\",\"message\":\"The request is longer than this host forwards, so it was not "
        "allowed.\"}}}\n";

static void question_of_1_mib_is_asked_and_one_of_a_byte_more_is_denied(void **state) {
        _cleanup_(agent_done) Agent a;
        _cleanup_buffer_ Buffer fits = {}, long_one = {};

        agent_init(&a, "claude");
        make_question(&fits, ASK_MAX);
        make_question(&long_one, ASK_MAX + 1);
        assert_in(says(&a, fits.data), "0.0 permission.request ");
        assert_int_equal(a.h.written.size, 0);
        (void) says(&a, "{\"type\":\"control_cancel_request\",\"request_id\":\"q7\"}");
        assert_in(
                says(&a, long_one.data),
                ".0 message.agent \"event\":{\"type\":\"oversize\",\"lineType\":\"control_request\",\"size\":1048577,\"head\":");
        assert_in(a.h.events.data, "xxxx\",\"denied\":true}\n");
        assert_true(a.h.events.size < 6000);
        assert_string_equal(a.h.written.data, denial);
        /* It is not open, so nothing waits for it. */
        assert_int_not_equal(a.d->ops->phase(a.d), DRIVER_WAITING_PERMISSION);
        assert_int_equal(usage_of(&a).oversize_lines, 1);
}

static void question_of_which_only_the_head_is_there_is_denied_where_that_names_it(void **state) {
        _cleanup_buffer_ Buffer line = {};
        size_t id_ends = 0, kind_ends = 0;

        make_question(&line, 4096);
        id_ends = (size_t) (strstr(line.data, "\"q7\"") + 4 - line.data);
        kind_ends = (size_t) (strstr(line.data, "\"can_use_tool\"") + 14 - line.data);
        for (size_t n = 0; n <= line.size; n++) {
                _cleanup_(agent_done) Agent a;
                bool named = n > id_ends, known = n > kind_ends;

                agent_init(&a, "claude");
                (void) says_too_much(&a, line.data, n, 34 << 20);
                assert_int_equal(a.h.n, 1);
                assert_int_equal(strstr(a.h.events.data, ",\"denied\":true}") != NULL, named && known);
                if (named && known)
                        assert_string_equal(a.h.written.data, denial);
                else if (named)
                        assert_in(a.h.written.data, "\"subtype\":\"error\",\"request_id\":\"q7\"");
                else
                        assert_int_equal(a.h.written.size, 0);
        }
}

/* A state of version 1, in which the one question had its texts: those that a short one has, and one of another length. */
static Json *old_state(Driver *d, const char *member, const char *value) {
        static const char *const texts[][2] = {
                { "tool", "\"T\"" },
                { "title", "\"T\"" },
                { "input", "{}" },
                { "suggestions", "[]" },
        };
        Json *saved = NULL;

        assert_int_equal(d->ops->save(d, &saved), 0);
        Json *ask = json_object_array_get_idx(json_get(saved, "asks"), 0);
        assert_non_null(ask);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_int_equal(
                        json_set_string(
                                ask, texts[i][0], streq_ptr(texts[i][0], member) ? value : texts[i][1]),
                        0);
        json_object_object_del(ask, "size");
        json_object_object_del(ask, "overlong");
        assert_int_equal(json_set_u64(saved, "version", 1), 0);
        return saved;
}

/* As an older runner saved it, which had another bound. */
static void open_question_above_the_bound_is_found_in_an_old_state(void **state) {
        for (size_t size = ASK_MAX - 2; size <= ASK_MAX - 1; size++) {
                _cleanup_(agent_done) Agent a;
                _cleanup_(driver_freep) Driver *old = NULL;
                _cleanup_json_ Json *saved = NULL;
                _cleanup_free_ char *input = malloc(size + 1), *answer = NULL;
                uint64_t offset = 0;
                unsigned n = 7;

                agent_init(&a, "claude");
                (void) says(
                        &a,
                        "{\"type\":\"control_request\",\"request_id\":\"q7\",\"request\":{\"subtype\":\"can_use_tool\","
                        "\"tool_name\":\"Write\"}}");
                assert_false(a.d->ops->overlong_question(a.d, &offset, &n));
                memset(input, ' ', size);
                input[0] = '{';
                input[size - 1] = '}';
                input[size] = 0;
                saved = old_state(a.d, "input", input);
                assert_int_equal(a.d->ops->load(NULL, saved, &old), 0);
                /* It is still one after it was saved in today's way. */
                driver_free(reload(old, NULL));
                /* With the two bytes of no suggestions. */
                assert_int_equal(old->ops->overlong_question(old, &offset, &n), size > ASK_MAX - 2);
                if (size <= ASK_MAX - 2)
                        continue;
                answer = command(old, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"deny\"}", offset, n, 1);
                assert_in(answer, "\"request_id\":\"q7\",\"response\":{\"behavior\":\"deny\"");
                assert_false(old->ops->overlong_question(old, &offset, &n));
        }
}

/* {"type":"control_request",…} whose member is a text of n bytes. */
static char *question_with(const char *member, unsigned id, size_t n) {
        _cleanup_buffer_ Buffer b = {};
        bool outside = streq(member, "request_id");

        (void) buffer_append_str(&b, "{\"type\":\"control_request\",\"request_id\":\"");
        (void) buffer_printf(&b, "t%02u", id);
        for (size_t i = 0; outside && i < n; i++)
                (void) buffer_append(&b, "x", 1);
        (void) buffer_append_str(
                &b, "\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"T\",\"input\":{}");
        if (!outside) {
                (void) buffer_printf(&b, ",\"%s\":\"", member);
                for (size_t i = 0; i < n; i++)
                        (void) buffer_append(&b, "x", 1);
                (void) buffer_append_str(&b, "\"");
        }
        assert_int_equal(buffer_append_str(&b, "}}"), 0);
        return buffer_steal(&b);
}

/* Whichever member the agent makes long: what is remembered of all of them has one bound. */
static void open_questions_hold_their_bound_in_every_member(void **state) {
        static const char *const members[] = { "tool_use_id", "title", "description", "display_name" };

        for (size_t m = 0; m < ELEMENTSOF(members); m++) {
                _cleanup_(agent_done) Agent a;

                agent_init(&a, "claude");
                for (unsigned i = 0; i < 8; i++) {
                        _cleanup_free_ char *line = question_with(members[m], i, 500 * 1024);

                        (void) says(&a, line);
                        assert_int_equal(a.h.events.size > 0, i < 4);
                        if (i >= 4)
                                assert_in(a.h.written.data, "too many questions are open");
                }
        }
}

/* A title is as much as an input: of an older runner's state, too. */
static void open_question_with_an_overlong_title_is_found_in_an_old_state(void **state) {
        /* Beside the title: the id, the tool, no input and no suggestions. */
        const size_t most = ASK_MAX + 1024 - strlen("\"t00\"\"T\"{}[]");

        for (size_t size = most; size <= most + 1; size++) {
                _cleanup_(agent_done) Agent a;
                _cleanup_(driver_freep) Driver *old = NULL;
                _cleanup_json_ Json *saved = NULL;
                _cleanup_free_ char *title = malloc(size + 1), *line = question_with("title", 0, 1);
                uint64_t offset = 0;
                unsigned n = 7;

                agent_init(&a, "claude");
                (void) says(&a, line);
                memset(title, 'x', size);
                title[0] = title[size - 1] = '"';
                title[size] = 0;
                saved = old_state(a.d, "title", title);
                assert_int_equal(a.d->ops->load(NULL, saved, &old), 0);
                assert_int_equal(old->ops->overlong_question(old, &offset, &n), size > most);
                _cleanup_(driver_freep) Driver *again = reload(old, NULL);
                assert_int_equal(again->ops->overlong_question(again, &offset, &n), size > most);
        }
}

static void state_holds_where_a_question_stands_and_not_what_it_says(void **state) {
        static const char *const members[] = { "title", "description", "tool_use_id", "input" };

        for (size_t m = 0; m < ELEMENTSOF(members); m++) {
                _cleanup_(agent_done) Agent a;
                _cleanup_json_ Json *saved = NULL;
                _cleanup_buffer_ Buffer line = {};
                DriverQuestion list[DRIVER_QUESTIONS_MAX];

                if (streq(members[m], "input"))
                        make_question(&line, (size_t) 100 * 1024);
                else {
                        _cleanup_free_ char *text = question_with(members[m], 0, (size_t) 100 * 1024);

                        assert_int_equal(buffer_append_str(&line, text), 0);
                }
                agent_init(&a, "claude");
                (void) says(&a, "not JSON");
                assert_in(says(&a, line.data), "permission.request");
                assert_int_equal(a.d->ops->save(a.d, &saved), 0);
                assert_true(strlen(json_text(saved)) < 1024);
                assert_int_equal(a.d->ops->questions(a.d, list), 1);
                assert_int_equal(list[0].offset, strlen("not JSON") + 1);
        }
}

/* Its input goes back to the agent as it stands in the output, byte for byte, whoever saved the question. */
static void question_of_an_old_state_is_answered_with_its_line(void **state) {
        static const char line[] =
                "{\"type\":\"control_request\",\"request_id\":\"q7\",\"request\":{\"subtype\":\"can_use_tool\","
                "\"tool_name\":\"Write\",\"input\":{ \"x\": 1e400}}}";
        _cleanup_(agent_done) Agent a;
        _cleanup_(driver_freep) Driver *old = NULL;
        _cleanup_json_ Json *saved = NULL;
        _cleanup_free_ char *answer = NULL;

        agent_init(&a, "claude");
        (void) says(&a, line);
        saved = old_state(a.d, "input", "{\"x\":\"what was kept\"}");
        assert_int_equal(a.d->ops->load(NULL, saved, &old), 0);
        answer = command(old, DRIVER_COMMAND_ANSWER, "{\"behavior\":\"allow\"}", 0, 0, 1);
        assert_in(answer, "\"updatedInput\":{ \"x\": 1e400}}}}");
}

static char *answer_with_line(Driver *d, const char *params, const char *line, int expected) {
        _cleanup_json_ Json *o = parse(params);
        DriverCommand c = {
                .type = DRIVER_COMMAND_ANSWER,
                .params = o,
                .seq = 1,
                .line = { line, line ? strlen(line) : 0 },
        };
        _cleanup_free_ char *error = NULL;
        _cleanup_buffer_ Buffer lines = {};

        assert_int_equal(d->ops->command(d, &c, &lines, &error), expected);
        return expected < 0 ? TAKE_PTR(error) : buffer_steal(&lines);
}

/* The output is a file, and a file can be gone, or be another. */
static void question_that_cannot_be_read_again_is_denied_and_not_allowed(void **state) {
#define QUESTION(id, rest)                                   \
        "{\"type\":\"control_request\",\"request_id\":\"" id \
        "\",\"request\":{\"subtype\":\"can_use_tool\"" rest "}}"
        static const char *const lines[] = {
                NULL,
                "",
                "{\"type\":\"control_request\",\"request_id\":\"q7\",\"request\":{",
                "not JSON",
                "[]",
                "{\"type\":\"control_request\",\"request_id\":\"q7\"}",
                "{\"type\":\"control_request\",\"request_id\":\"q7\",\"request\":{\"tool_name\":\"Write\",\"input\":{\"x\":2}} x",
                "{\"type\":\"control_request\",\"request_id\":\"q7\",\"request\":{\"tool_name\":\"Write\",\"input\":{\"x\":02}}}",
                QUESTION("q7", ",\"input\":{\"x\":2}"),
                QUESTION("q8", ",\"tool_name\":\"Write\",\"input\":{\"x\":2}"),
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_(agent_done) Agent a;
                _cleanup_free_ char *error = NULL, *updated = NULL, *denied = NULL;
                Slice line = { strempty(lines[i]), strlen(strempty(lines[i])) };
                DriverQuestionText text;

                agent_init(&a, "claude");
                (void) says(&a, QUESTION("q7", ",\"tool_name\":\"Write\",\"input\":{\"x\":1}"));
                assert_int_equal(
                        a.d->ops->read_question(a.d, &(DriverQuestion){ 0, 0 }, line, &text), -EBADMSG);
                error = answer_with_line(a.d, "{\"behavior\":\"allow\"}", lines[i], -EINVAL);
                assert_string_equal(error, "failed to read the question in the agent's output");
                _cleanup_(driver_freep) Driver *other = reload(a.d, NULL);
                updated = answer_with_line(
                        other, "{\"behavior\":\"allow\",\"updatedInput\":{\"y\":3}}", lines[i], 1);
                assert_in(updated, "\"updatedInput\":{\"y\":3}");
                denied = answer_with_line(a.d, "{\"behavior\":\"deny\"}", lines[i], 1);
                assert_in(denied, "\"request_id\":\"q7\",\"response\":{\"behavior\":\"deny\"");
        }
#undef QUESTION
}

static void question_says_what_stands_in_its_line(void **state) {
        static const struct {
                const char *members, *title, *input, *suggestions;
        } cases[] = {
                { "", "\"Run\"", "{}", "[]" },
                { ",\"display_name\":\"d\"", "\"d\"", "{}", "[]" },
                { ",\"display_name\":\"d\",\"description\":\"e\"", "\"e\"", "{}", "[]" },
                { ",\"description\":\"e\",\"title\":\"f\",\"permission_suggestions\":[ 1 ]",
                  "\"f\"",
                  "{}",
                  "[ 1 ]" },
                { ",\"title\":5,\"input\":{ \"a\":\"\\ud83d\"},\"permission_suggestions\":{}",
                  "\"Run\"",
                  "{ \"a\":\"\\ud83d\"}",
                  "[]" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(agent_done) Agent a;
                _cleanup_free_ char *line = xasprintf(
                        "{\"type\":\"control_request\",\"request_id\":\"q7\",\"request\":{\"subtype\":\"can_use_tool\","
                        "\"tool_name\":\"Run\"%s}}",
                        cases[i].members);
                DriverQuestionText text;

                agent_init(&a, "claude");
                (void) says(&a, line);
                assert_int_equal(
                        a.d->ops->read_question(
                                a.d, &(DriverQuestion){ 0, 0 }, (Slice){ line, strlen(line) }, &text),
                        0);
                assert_true(
                        slice_is(text.tool, "\"Run\"") && slice_is(text.title, cases[i].title) &&
                        slice_is(text.input, cases[i].input) &&
                        slice_is(text.suggestions, cases[i].suggestions));
                /* No other question stands there. */
                assert_int_equal(
                        a.d->ops->read_question(
                                a.d, &(DriverQuestion){ 0, 1 }, (Slice){ line, strlen(line) }, &text),
                        -EBADMSG);
        }
}

static int deaf_event(void *userdata, const char *method, const char *members, size_t size) {
        return 0;
}

static int deaf_write(void *userdata, const char *line, size_t size) {
        return 0;
}

/* {before}xxx…{after}, n bytes long. */
static void make_long(Buffer *b, const char *before, const char *after, size_t n) {
        (void) buffer_append_str(b, before);
        assert_int_equal(buffer_reserve(b, n), 0);
        memset(b->data + b->size, 'x', n - b->size - strlen(after));
        b->size = n - strlen(after);
        assert_int_equal(buffer_append_str(b, after), 0);
}

static size_t memory_in_use(void) {
        struct mallinfo2 m = mallinfo2();

        return m.uordblks + m.hblkhd;
}

/* Each conversation has two drivers, and each reader of its events one more. */
static void nothing_of_a_long_line_stays_in_a_driver(void **state) {
        static const struct {
                const char *protocol, *before, *after;
                size_t size;
        } cases[] = {
                { "shell", "{\"type\":\"output\",\"text\":\"", "\"}", 4 << 20 },
                { "shell", "{\"type\":\"started\",\"version\":\"", "\"}", 4 << 20 },
                { "claude",
                  "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"",
                  "\"}]}}",
                  4 << 20 },
                { "claude",
                  "{\"type\":\"control_response\",\"response\":{\"subtype\":\"error\",\"request_id\":\"x\",\"error\":\"",
                  "\"}}",
                  4 << 20 },
                { "claude",
                  "{\"type\":\"result\",\"is_error\":true,\"session_id\":\"s\",\"result\":\"",
                  "\"}",
                  4 << 20 },
                { "claude",
                  "{\"type\":\"control_request\",\"request_id\":\"q\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":"
                  "\"T\",\"input\":{\"x\":\"",
                  "\"}}}",
                  1 << 20 },
                { "claude",
                  "{\"type\":\"control_request\",\"request\":{\"subtype\":\"hello\"},\"request_id\":\"",
                  "\"}",
                  4 << 20 },
        };
        const DriverSink sinks[] = {
                {},
                { .event = deaf_event },
                { .write = deaf_write },
        };
        size_t before = memory_in_use();
        char *volatile probe = malloc((size_t) 1 << 20); /* volatile: or the compiler leaves it out */

        if (memory_in_use() < before + (1 << 20)) {
                free(probe);
                print_message("skipped: this allocator (a sanitizer's, valgrind's) does not count\n");
                skip();
        }
        free(probe);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t k = 0; k < ELEMENTSOF(sinks); k++) {
                        _cleanup_(agent_done) Agent a;
                        _cleanup_buffer_ Buffer line = {};

                        agent_init(&a, cases[i].protocol);
                        (void) says(
                                &a,
                                "{\"type\":\"control_response\",\"response\":{\"request_id\":\"nf-init\"}}");
                        make_long(&line, cases[i].before, cases[i].after, cases[i].size);
                        before = memory_in_use();
                        assert_int_equal(a.d->ops->feed(a.d, line.data, line.size, 7, &sinks[k]), 0);
                        if (memory_in_use() > before + (32 << 10))
                                fail_msg(
                                        "case %zu, sink %zu: %zu bytes stay",
                                        i,
                                        k,
                                        memory_in_use() - before);
                }
}

static void request_with_an_id_above_its_bound_is_refused(void **state) {
        for (size_t n = 1024 - 5; n <= 1024 - 4; n++) { /* with "t00" and two quotes */
                _cleanup_(agent_done) Agent a;
                _cleanup_free_ char *line = question_with("request_id", 0, n);

                agent_init(&a, "claude");
                assert_int_equal(strstr(says(&a, line), "permission.request") != NULL, n == 1024 - 5);
                assert_int_equal(
                        strstr(strempty(a.h.written.data), "the id of the request is too long") != NULL,
                        n > 1024 - 5);
        }
}

/* A tool's result ends the question about it, as far as that is known. */
static void id_of_a_tool_call_above_its_bound_is_taken_for_missing(void **state) {
        for (size_t n = 1022; n <= 1023; n++) { /* and two quotes */
                _cleanup_(agent_done) Agent a;
                _cleanup_free_ char *line = question_with("tool_use_id", 0, n), *id = malloc(n + 1),
                                    *result = NULL;
                DriverQuestion list[DRIVER_QUESTIONS_MAX];

                agent_init(&a, "claude");
                assert_in(says(&a, line), "\"toolCallId\":\"xxxx");
                memset(id, 'x', n);
                id[n] = 0;
                result = xasprintf(
                        "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"%s\","
                        "\"content\":\"x\"}]}}",
                        id);
                (void) says(&a, result);
                assert_int_equal(a.d->ops->questions(a.d, list), n > 1022);
        }
}

/* A question whose input makes the line so deep. */
static char *question_of_depth(unsigned depth) {
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_append_str(
                &b,
                "{\"type\":\"control_request\",\"request_id\":\"deep\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"T\",\"input\":");
        for (unsigned i = 2; i < depth; i++)
                (void) buffer_append_str(&b, "{\"a\":");
        (void) buffer_append_str(&b, "1");
        for (unsigned i = 0; i < depth; i++)
                (void) buffer_append_str(&b, "}");
        return buffer_steal(&b);
}

/* Its event, in an array, has to be within the 64 levels that everybody reads. */
static void question_is_asked_or_denied_whatever_its_depth(void **state) {
        static const unsigned depths[] = { 62, 63, 64, 65, 1000 };

        for (size_t i = 0; i < ELEMENTSOF(depths); i++) {
                _cleanup_(agent_done) Agent a;
                _cleanup_free_ char *line = question_of_depth(depths[i]);
                bool asked = depths[i] <= 62;

                agent_init(&a, "claude");
                assert_in(says(&a, line), asked ? "permission.request" : "\"type\":\"notice\"");
                assert_int_equal(!!strstr(a.h.events.data, "permission.request"), asked);
                if (asked)
                        assert_int_equal(a.h.written.size, 0);
                else
                        assert_in(
                                a.h.written.data,
                                "\"request_id\":\"deep\",\"response\":{\"behavior\":\"deny\"");
        }
}

static char *init_with(const char *member, size_t n) {
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_printf(&b, "{\"type\":\"system\",\"subtype\":\"init\",\"%s\":\"", member);
        for (size_t i = 0; i < n; i++)
                (void) buffer_append(&b, "x", 1);
        assert_int_equal(buffer_append_str(&b, "\"}"), 0);
        return buffer_steal(&b);
}

/* They stay for as long as the conversation, and in its saved state. */
static void names_above_their_bound_are_not_remembered(void **state) {
        static const char *const members[] = { "session_id", "model", "permissionMode" };

        for (size_t m = 0; m < ELEMENTSOF(members); m++)
                for (size_t n = 1022; n <= 1023; n++) { /* and two quotes */
                        _cleanup_(agent_done) Agent a;
                        _cleanup_json_ Json *saved = NULL;
                        _cleanup_free_ char *line = init_with(members[m], n);

                        agent_init(&a, "claude");
                        assert_in(says(&a, line), "\"type\":\"started\"");
                        assert_int_equal(a.d->ops->save(a.d, &saved), 0);
                        assert_int_equal(!!strstr(json_text(saved), "xxxx"), n <= 1022);
                        assert_int_equal(!!strstr(a.h.events.data, "xxxx"), n <= 1022);
                }
        for (size_t n = 1022; n <= 1023; n++) {
                static const char head[] = "{\"type\":\"assistant\",\"error\":\"";
                _cleanup_(agent_done) Agent a;
                _cleanup_free_ char *line = malloc(sizeof(head) + n + 2);

                agent_init(&a, "claude");
                memcpy(line, head, sizeof(head) - 1);
                memset(line + sizeof(head) - 1, 'x', n);
                memcpy(line + sizeof(head) - 1 + n, "\"}", 3);
                (void) says(&a, "{\"type\":\"system\",\"subtype\":\"init\"}");
                assert_string_equal(says(&a, line), "");
                assert_in(
                        says(&a,
                             "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"result\":\"API Error\"}"),
                        n <= 1022 ? "\"kind\":\"xxxx" : "\"kind\":\"unknown\"");
        }
}

static void request_with_a_double_is_refused(void **state) {
        static const char *const lines[] = {
                "{\"type\":\"control_request\",\"request_id\":\"r1\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"A\"},"
                "\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"B\"}}",
                "{\"type\":\"control_request\",\"request_id\":\"r1\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"A\","
                "\"tool_name\":\"B\"}}",
                "{\"type\":\"control_request\",\"request_id\":\"r1\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"A\","
                "\"input\":{\"x\":1},\"\\u0069nput\":{\"x\":2}}}",
                "{\"type\":\"stream_event\",\"request_id\":\"r1\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"A\"},"
                "\"type\":\"control_request\"}",
                "{\"type\":\"unknown\",\"request_id\":\"r1\",\"type\":\"control_request\"}",
                "{\"ty\\u0070e\":\"x\",\"request_id\":\"r1\",\"type\":\"control_request\",\"request\":{}}",
        };
        _cleanup_(agent_done) Agent a;

        agent_init(&a, "claude");
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                assert_in(
                        says(&a, lines[i]),
                        "{\"type\":\"notice\",\"text\":\"the agent wrote a line in which a member occurs twice (");
                assert_int_equal(a.h.n, 1);
                assert_string_equal(
                        a.h.written.data,
                        "{\"type\":\"control_response\",\"response\":{\"subtype\":\"error\",\"request_id\":\"r1\",\"error\":\"a "
                        "member of this request occurs twice\"}}\n");
                assert_int_equal(usage_of(&a).ambiguous_lines, i + 1);
                assert_int_not_equal(a.d->ops->phase(a.d), DRIVER_WAITING_PERMISSION);
        }
        /* The same of the driver that acts, which makes no events. */
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_(agent_done) Agent acts;

                agent_init(&acts, "claude");
                acts.sink = heard_sink(&acts.h, false, true);
                (void) says(&acts, lines[i]);
                assert_in(acts.h.written.data, "\"a member of this request occurs twice\"");
        }
        /* The id itself: whichever the agent means is answered. */
        (void) says(
                &a,
                "{\"type\":\"control_request\",\"request_id\":\"r1\",\"request_id\":\"r2\",\"request\":{\"subtype\":"
                "\"can_use_tool\",\"tool_name\":\"A\"}}");
        assert_in(a.h.written.data, "\"request_id\":\"r1\"");
        assert_in(a.h.written.data, "\"request_id\":\"r2\"");
}

static void line_with_a_double_that_is_read_is_a_notice(void **state) {
        static const struct {
                const char *protocol, *line;
                bool ambiguous;
        } cases[] = {
                { "claude",
                  "{\"type\":\"assistant\",\"type\":\"user\",\"message\":{\"content\":[]}}",
                  true },
                { "claude",
                  "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\",\"text\":\"b\"}]}}",
                  true },
                { "claude",
                  "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"x\",\"content\":"
                  "[{\"type\":\"text\",\"type\":\"image\"}]}]}}",
                  true },
                { "claude", "{\"type\":\"result\",\"is_error\":true,\"is_error\":false}", true },
                { "claude",
                  "{\"type\":\"result\",\"usage\":{\"input_tokens\":1,\"input_tokens\":2}}",
                  true },
                { "claude",
                  "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\","
                  "\"text\":\"a\",\"text\":\"b\"}}}",
                  true },
                { "claude",
                  "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"a\",\"session_id\":\"b\"}",
                  true },
                /* A tool's own input, and what we know nothing of. */
                { "claude",
                  "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"T\",\"input\":"
                  "{\"a\":1,\"a\":2,\"type\":1,\"type\":2}}]}}",
                  false },
                { "claude",
                  "{\"type\":\"assistant\",\"x\":1,\"x\":2,\"message\":{\"id\":1,\"id\":2,\"content\":[]}}",
                  false },
                { "shell", "{\"type\":\"output\",\"text\":\"a\",\"text\":\"b\"}", true },
                { "shell", "{\"type\":\"turn_end\",\"exitCode\":0,\"exit\\u0043ode\":1}", true },
                { "shell", "{\"type\":\"output\",\"text\":\"a\",\"x\":1,\"x\":2}", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(agent_done) Agent a;

                agent_init(&a, cases[i].protocol);
                bool notice = strstr(says(&a, cases[i].line), "a member occurs twice") != NULL;
                if (notice != cases[i].ambiguous || usage_of(&a).ambiguous_lines != cases[i].ambiguous)
                        fail_msg("%s: %s", cases[i].line, strempty(a.h.events.data));
                assert_int_equal(a.h.written.size, 0);
        }
}

static void line_makes_1024_events_and_says_that_more_were_left_out(void **state) {
        static const char *const blocks[][2] = {
                { "assistant", "{\"type\":\"text\",\"text\":\"a\"}" },
                { "user", "{\"type\":\"tool_result\",\"tool_use_id\":\"a\"}" },
        };

        for (size_t k = 0; k < ELEMENTSOF(blocks); k++)
                for (unsigned n = 1024; n <= 1026; n++) {
                        _cleanup_(agent_done) Agent a;
                        _cleanup_buffer_ Buffer b = {};

                        agent_init(&a, "claude");
                        (void) buffer_printf(
                                &b, "{\"type\":\"%s\",\"message\":{\"content\":[", blocks[k][0]);
                        for (unsigned i = 0; i < n; i++)
                                (void) buffer_printf(&b, "%s%s", i > 0 ? "," : "", blocks[k][1]);
                        assert_int_equal(buffer_append_str(&b, "]}}"), 0);
                        (void) says(&a, b.data);
                        assert_int_equal(a.h.n, MIN(n, 1025U));
                        assert_int_equal(
                                strstr(a.h.events.data, "more content than is forwarded") != NULL, n > 1024);
                }
}

static void parent_is_left_out_where_it_is_longer_than_an_id(void **state) {
        for (size_t n = 254; n <= 255; n++) {
                _cleanup_(agent_done) Agent a;
                _cleanup_free_ char *line = NULL;
                char id[256];

                memset(id, 'p', sizeof(id));
                id[n] = 0;
                agent_init(&a, "claude");
                line = xasprintf(
                        "{\"type\":\"assistant\",\"parent_tool_use_id\":\"%s\",\"message\":{\"content\":[{\"type\":\"text\","
                        "\"text\":\"a\"}]}}",
                        id);
                assert_int_equal(strstr(says(&a, line), "\"parent\":") != NULL, n == 254);
        }
}

static void counts_of_bad_lines_are_saved(void **state) {
        static const char *const protocols[] = { "claude", "shell" };

        for (size_t i = 0; i < ELEMENTSOF(protocols); i++) {
                _cleanup_(agent_done) Agent a;
                Driver *again;
                DriverUsage u;

                agent_init(&a, protocols[i]);
                (void) says(&a, "{\"type\":1,\"type\":2}");
                (void) says_too_much(&a, "x", 1, 9000000);
                (void) says_too_much(&a, "x", 1, 9000000);
                again = reload(a.d, NULL);
                again->ops->usage(again, &u);
                assert_int_equal(u.ambiguous_lines, 1);
                assert_int_equal(u.oversize_lines, 2);
                driver_free(again);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bound_of_a_run_is_in_its_spec_within_ours),
                cmocka_unit_test(bound_leaves_an_event_room_in_a_body),
                cmocka_unit_test(oversize_line_is_one_event_with_type_size_and_head),
                cmocka_unit_test(head_of_an_event_is_4_kib_at_the_most),
                cmocka_unit_test(question_of_1_mib_is_asked_and_one_of_a_byte_more_is_denied),
                cmocka_unit_test(question_of_which_only_the_head_is_there_is_denied_where_that_names_it),
                cmocka_unit_test(open_question_above_the_bound_is_found_in_an_old_state),
                cmocka_unit_test(open_questions_hold_their_bound_in_every_member),
                cmocka_unit_test(open_question_with_an_overlong_title_is_found_in_an_old_state),
                cmocka_unit_test(state_holds_where_a_question_stands_and_not_what_it_says),
                cmocka_unit_test(question_of_an_old_state_is_answered_with_its_line),
                cmocka_unit_test(question_that_cannot_be_read_again_is_denied_and_not_allowed),
                cmocka_unit_test(question_says_what_stands_in_its_line),
                cmocka_unit_test(nothing_of_a_long_line_stays_in_a_driver),
                cmocka_unit_test(request_with_an_id_above_its_bound_is_refused),
                cmocka_unit_test(id_of_a_tool_call_above_its_bound_is_taken_for_missing),
                cmocka_unit_test(names_above_their_bound_are_not_remembered),
                cmocka_unit_test(question_is_asked_or_denied_whatever_its_depth),
                cmocka_unit_test(request_with_a_double_is_refused),
                cmocka_unit_test(line_with_a_double_that_is_read_is_a_notice),
                cmocka_unit_test(line_makes_1024_events_and_says_that_more_were_left_out),
                cmocka_unit_test(parent_is_left_out_where_it_is_longer_than_an_id),
                cmocka_unit_test(counts_of_bad_lines_are_saved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
