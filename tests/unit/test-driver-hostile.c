/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "driver-test.h"

/* Nothing an agent writes breaks a driver: lines that are cut, bent, huge or no lines at all. The sink (driver-test.c)
 * looks at every event and every answer: valid JSON, one line. */

static const char *const versions[] = { "claude", "claude-2.1.330" };
static const char *const scenarios[] = {
        "2-tool-allowed", "3-tool-denied", "4-interrupt", "5-api-error", "6b-resume",
};

static const char *const strange[] = { "null", "true", "-1", "1e300",  "\"x\"",
                                       "\"\"", "[]",   "{}", "[[{}]]", "18446744073709551615" };

typedef struct Victim {
        Driver *d;
        Heard h;
        DriverSink sink;
        uint64_t offset;
} Victim;

static void victim_init(Victim *v, const char *protocol) {
        *v = (Victim){ .d = make(driver_find(protocol), NULL) };
        v->sink = heard_sink(&v->h, true, true);
}

static void victim_done(Victim *v) {
        /* Whatever it has come to can still be kept. */
        driver_free(reload(v->d, NULL));
        driver_free(v->d);
        heard_done(&v->h);
}

static void hit(Victim *v, const char *line, size_t size) {
        DriverQuestion questions[DRIVER_QUESTIONS_MAX];
        DriverUsage usage;

        buffer_clear(&v->h.events, 0);
        buffer_clear(&v->h.written, 0);
        feed(v->d, &v->sink, &v->h, line, size, &v->offset);
        assert_in_range(v->d->ops->phase(v->d), 0, _DRIVER_PHASE_MAX - 1);
        assert_in_range(v->d->ops->questions(v->d, questions), 0, DRIVER_QUESTIONS_MAX);
        v->d->ops->usage(v->d, &usage);
        (void) v->d->ops->session(v->d);
}

/* Puts every strange value in the place of every value of the line, and drops every member. */
static void bend(Victim *v, const Buffer *line, Slice value, unsigned *left) {
        Slice name, child;
        size_t iter = 0;

        for (size_t i = 0; i < ELEMENTSOF(strange) && *left > 0; i++) {
                _cleanup_buffer_ Buffer b = {};
                size_t before = (size_t) (value.data - line->data);

                (void) buffer_append(&b, line->data, before);
                (void) buffer_append_str(&b, strange[i]);
                (void) buffer_append(&b, value.data + value.size, line->size - before - value.size);
                assert_false(b.failed);
                assert_true(json_scan_valid(b.data, b.size));
                hit(v, b.data, b.size);
                (*left)--;
        }
        while (*left > 0 && json_scan_next_member(value, &iter, &name, &child)) {
                _cleanup_buffer_ Buffer b = {};
                size_t before = (size_t) (name.data - line->data) + 1;

                (void) buffer_append(&b, line->data, before);
                (void) buffer_append_str(&b, "no");
                (void) buffer_append(&b, line->data + before, line->size - before);
                assert_false(b.failed);
                hit(v, b.data, b.size);
                bend(v, line, child, left);
        }
        iter = 0;
        while (*left > 0 && json_scan_element(value, &iter, &child))
                bend(v, line, child, left);
}

static void load_transcript(Lines *l, size_t version, size_t scenario) {
        _cleanup_free_ char *path = xasprintf(
                "%s/%s/%s.jsonl", getenv("NF_TRANSCRIPTS"), versions[version], scenarios[scenario]);

        lines_load(l, path, "nf-init");
}

static void test_bent(void **state) {
        for (size_t v = 0; v < ELEMENTSOF(versions); v++)
                for (size_t s = 0; s < ELEMENTSOF(scenarios); s++) {
                        _cleanup_(lines_done) Lines lines = {};
                        _cleanup_(victim_done) Victim victim;

                        victim_init(&victim, "claude");
                        load_transcript(&lines, v, s);
                        for (size_t i = 0; i < lines.n; i++) {
                                const Buffer *b = &lines.list[i];
                                unsigned left = 1000;

                                bend(&victim, b, (Slice){ b->data, b->size }, &left);
                                hit(&victim, b->data, b->size);
                        }
                }
}

static void test_cut(void **state) {
        _cleanup_(lines_done) Lines lines = {};
        _cleanup_(victim_done) Victim victim;

        victim_init(&victim, "claude");
        load_transcript(&lines, 0, 0);
        for (size_t i = 1; i < lines.n; i++)
                for (size_t n = 1; n < lines.list[i].size; n++) {
                        hit(&victim, lines.list[i].data, n);
                        assert_int_equal(victim.h.n, 1); /* a notice */
                }
        assert_int_equal(victim.h.n_failed, 0);
}

static void test_shell_bent(void **state) {
        static const char *const lines[] = {
                "{\"type\":\"started\",\"version\":\"1\",\"cwd\":\"/\"}",
                "{\"type\":\"turn_start\",\"id\":\"1\"}",
                "{\"type\":\"output\",\"stream\":\"stdout\",\"text\":\"x\"}",
                "{\"type\":\"error\",\"text\":\"x\",\"id\":1}",
                "{\"type\":\"turn_end\",\"id\":\"m1\",\"exitCode\":0,\"signal\":1,\"interrupted\":false,\"durationMs\":12}",
        };
        _cleanup_(victim_done) Victim victim;

        victim_init(&victim, "shell");
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_buffer_ Buffer b = {};
                unsigned left = 1000;

                assert_int_equal(buffer_append_str(&b, lines[i]), 0);
                bend(&victim, &b, (Slice){ b.data, b.size }, &left);
                for (size_t n = 1; n < b.size; n++)
                        hit(&victim, b.data, n);
        }
}

static void test_garbage(void **state) {
        static const char *const protocols[] = { "claude", "shell" };
        size_t size = 1 << 20;
        _cleanup_free_ char *bytes = malloc(size);
        uint64_t seed = 7;

        assert_non_null(bytes);
        for (size_t i = 0; i < size; i++) {
                seed = seed * 6364136223846793005U + 1442695040888963407U;
                bytes[i] = (char) (seed >> 56) == '\n' ? 'n' : (char) (seed >> 56);
        }
        for (size_t p = 0; p < ELEMENTSOF(protocols); p++) {
                _cleanup_(victim_done) Victim victim;

                victim_init(&victim, protocols[p]);
                hit(&victim, bytes, size);
                assert_true(victim.h.events.size < 4096);
                for (size_t n = 0; n + 700 < 100000; n += 700)
                        hit(&victim, bytes + n, 700);
                memset(bytes, '{', 200000);
                hit(&victim, bytes, 200000);
                for (size_t i = 0; i < 200000; i++)
                        bytes[i] = "{\"a\":"[i % 5];
                hit(&victim, bytes, 200000);
                hit(&victim, "\0\0\0", 3);
                static const char half[] = "{\"type\":\"assistant\",\"message\":\"\xe2\x82";
                hit(&victim, half, sizeof(half) - 1);
                assert_int_equal(victim.h.n, 1);
        }
}

/* A line around a long text; the event is as long. */
static void big_of(Victim *v, size_t size, const char *before, const char *after) {
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_append_str(&b, before);
        assert_int_equal(buffer_reserve(&b, size + 1024), 0);
        memset(b.data + b.size, 'y', size);
        b.size += size;
        assert_int_equal(buffer_append_str(&b, after), 0);
        hit(v, b.data, b.size);
        assert_int_equal(v->h.n, 1);
        assert_true(v->h.events.size > size && v->h.events.size < size + 1024);
}

static void big(Victim *v, const char *before, const char *after) {
        big_of(v, 16 << 20, before, after);
}

static void test_big(void **state) {
        _cleanup_(victim_done) Victim claude, sh;

        victim_init(&claude, "claude");
        big(&claude,
            "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"",
            "\"}]}}");
        big(&claude,
            "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"",
            "\"}}}");
        big(&claude,
            "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"x\",\"content\":[{\"type\":\"text\",\"text\":\"",
            "\"}]}]}}");
        big_of(&claude,
               1000 << 10,
               "{\"type\":\"control_request\",\"request_id\":\"q\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"T\",\"input\":{\"a\":\"",
               "\"}}}");
        big(&claude, "{\"type\":\"result\",\"is_error\":false,\"result\":\"", "\"}");
        victim_init(&sh, "shell");
        big(&sh, "{\"type\":\"output\",\"text\":\"", "\"}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bent),       cmocka_unit_test(test_cut),
                cmocka_unit_test(test_shell_bent), cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_big),
        };

        if (!getenv("NF_TRANSCRIPTS"))
                return 77;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
