/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "runner/link/sse.h"

/* What a stream came to, as text: type|id|data, one event after the other. */
typedef struct Seen {
        Buffer text;
        int result; /* of the callback */
} Seen;

static int on_event(const SseEvent *e, void *userdata) {
        Seen *s = userdata;

        (void) buffer_printf(&s->text, "[%s|%s|", e->type, e->id);
        if (e->too_large)
                (void) buffer_append_str(&s->text, "TOO LARGE");
        else
                (void) buffer_append(&s->text, e->data, e->size);
        (void) buffer_append_str(&s->text, "]");
        assert_int_equal(strlen(e->data) <= e->size, 1);
        return s->result;
}

static SseParser *parser(Seen *s, size_t max) {
        SseParser *p = NULL;

        assert_int_equal(sse_parser_new(max, on_event, s, &p), 0);
        return p;
}

/* Feeds it whole, byte by byte, and cut at every place. */
static void check_sized(const char *stream, size_t size, const char *expected, const char *id, size_t max) {
        for (size_t cut = 0; cut <= size + 1; cut++) {
                Seen s = {};
                SseParser *p = parser(&s, max);

                sse_parser_reset(p);
                if (cut > size)
                        for (size_t i = 0; i < size; i++) {
                                char *one = malloc(1); /* so that a sanitizer sees every step beyond it */
                                assert_non_null(one);
                                *one = stream[i];
                                assert_int_equal(sse_parser_feed(p, one, 1), 0);
                                free(one);
                        }
                else {
                        assert_int_equal(sse_parser_feed(p, stream, cut), 0);
                        assert_int_equal(sse_parser_feed(p, stream + cut, size - cut), 0);
                }
                assert_string_equal(strempty(s.text.data), expected);
                assert_string_equal(sse_parser_last_id(p), id);
                sse_parser_free(p);
                buffer_done(&s.text);
        }
}

static void check(const char *stream, const char *expected, const char *id) {
        check_sized(stream, strlen(stream), expected, id, 1000);
}

/* The examples of the standard (HTML, 9.2.6). */
static void test_standard_examples(void **state) {
        check("data: This is the first message.\n\n"
              "data: This is the second message, it\n"
              "data: has two lines.\n\n"
              "data: This is the third message.\n\n",
              "[message||This is the first message.]"
              "[message||This is the second message, it\nhas two lines.]"
              "[message||This is the third message.]",
              "");
        check("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
              "[add||73857293][remove||2153][add||113411]",
              "");
        check("data: YHOO\ndata: +2\ndata: 10\n\n", "[message||YHOO\n+2\n10]", "");
        check(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
              "[message|1|first event][message||second event][message|| third event]",
              "");
        check("data\n\ndata\ndata\n\ndata:\n", "[message||][message||\n]", "");
        check("data:test\n\ndata: test\n\n", "[message||test][message||test]", "");
}

static void test_line_ends(void **state) {
        check("data: a\rdata: b\r\rdata: c\r\n\r\ndata: d\n\r\n",
              "[message||a\nb][message||c][message||d]",
              "");
        check("data: a\r\n\ndata: b\n\r", "[message||a][message||b]", "");
        /* A lone CR ends the event at once; the LF that may follow adds nothing. */
        Seen s = {};
        SseParser *p = parser(&s, 100);
        sse_parser_reset(p);
        assert_int_equal(sse_parser_feed(p, "data: x\r\r", 9), 0);
        assert_string_equal(s.text.data, "[message||x]");
        assert_int_equal(sse_parser_feed(p, "\ndata: y\n\n", 10), 0);
        assert_string_equal(s.text.data, "[message||x][message||y]");
        sse_parser_free(p);
        buffer_done(&s.text);
}

static void test_byte_order_mark(void **state) {
        check("\xef\xbb\xbf"
              "data: a\n\n",
              "[message||a]",
              "");
        check("\xef\xbb"
              "data: a\n\ndata: b\n\n",
              "[message||b]",
              ""); /* half of one: part of an unknown name */
        check("\xef\xbb\xbf\xef\xbb\xbf"
              "data: a\n\ndata: b\n\n",
              "[message||b]",
              "");
        check("data: a\n\n\xef\xbb\xbf"
              "data: b\n\n",
              "[message||a]",
              "");
        check("\xef\xbb\xbf\n\ndata: b\n\n", "[message||b]", "");
}

static void test_fields(void **state) {
        check("id: 7\n\n", "", "7");       /* an id alone moves on, and is no event */
        check("id: 7\ndata: x\n", "", ""); /* nothing before the blank line counts */
        check("id: 7\nid: 8\ndata: x\n\ndata: y\n\n", "[message|8|x][message|8|y]", "8");
        check("event: e\n\ndata: x\n\n", "[message||x]", ""); /* the type does not outlive its block */
        check("event: e\nevent:\ndata: x\n\n", "[message||x]", "");
        check("Data: x\ndata : y\n data: z\nunknown: u\nunknown\n\n", "", "");
        check(":\n:comment\ndata: x\n: data: no\n\n", "[message||x]", "");
        check("data: a:b: c\n\n", "[message||a:b: c]", "");
        check("data:\n\n", "[message||]", "");
        check("dataa: x\ndat: y\neventtype: z\n\n", "", "");
        check_sized("id: a\0b\ndata: x\n\n", 17, "[message||x]", "", 100);
        check_sized("event: message\0x\ndata: x\n\n", 26, "[?||x]", "", 100);
        check_sized("id: 1\n\nid: a\0b\ndata: x\n\n", 24, "[message|1|x]", "1", 100);
}

static int on_nul(const SseEvent *e, void *userdata) {
        assert_int_equal(e->size, 3);
        assert_memory_equal(e->data, "a\0b", 4);
        *(int *) userdata += 1;
        return 0;
}

static void test_nul_in_data(void **state) {
        SseParser *p = NULL;
        int n = 0;

        assert_int_equal(sse_parser_new(10, on_nul, &n, &p), 0);
        sse_parser_reset(p);
        assert_int_equal(sse_parser_feed(p, "data: a\0b\n\n", 11), 0);
        assert_int_equal(n, 1);
        sse_parser_free(p);
}

static void test_retry(void **state) {
        static const struct {
                const char *line;
                uint64_t expected;
        } cases[] = {
                { "retry: 1500\n", 1500 },
                { "retry:0\n", 0 },
                { "retry: 1500x\n", UINT64_MAX },
                { "retry: -1\n", UINT64_MAX },
                { "retry:\n", UINT64_MAX },
                { "retry\n", UINT64_MAX },
                { "retry: 99999999999999999999\n", UINT64_MAX },
                { "retry: 5\nretry: x\n", 5 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Seen s = {};
                SseParser *p = parser(&s, 10);

                sse_parser_reset(p);
                assert_int_equal(sse_parser_feed(p, cases[i].line, strlen(cases[i].line)), 0);
                assert_true(sse_parser_retry_msec(p) == cases[i].expected);
                sse_parser_free(p);
                buffer_done(&s.text);
        }
}

static void test_bounds(void **state) {
        char line[SSE_ID_MAX + 200], expected[SSE_ID_MAX + 200];

        /* Exactly as much as allowed, and one more; the stream goes on, the id counts. */
        check_sized("data: 12345678\n\n", 16, "[message||12345678]", "", 8);
        check_sized(
                "data: 123456789\nid: 3\n\ndata: x\n\n", 32, "[message|3|TOO LARGE][message|3|x]", "3", 8);
        check_sized(
                "data: 1234\ndata: 5678\ndata: 9\n\ndata: x\n\n",
                40,
                "[message||TOO LARGE][message||x]",
                "",
                8);
        check_sized("data: 1234\ndata: 567\n\n", 22, "[message||1234\n567]", "", 8);

        for (int over = 0; over < 2; over++) {
                char id[SSE_ID_MAX + 2];
                memset(id, 'i', SSE_ID_MAX + (size_t) over);
                id[SSE_ID_MAX + over] = 0;
                (void) snprintf(line, sizeof(line), "id: %s\ndata: x\n\n", id);
                (void) snprintf(expected, sizeof(expected), "[message|%s|x]", over ? "" : id);
                check(line, expected, over ? "" : id);
        }
        char type[SSE_TYPE_MAX + 2];
        memset(type, 't', sizeof(type) - 1);
        type[sizeof(type) - 1] = 0;
        (void) snprintf(line, sizeof(line), "event: %s\ndata: x\n\n", type);
        check(line, "[?||x]", "");
}

static void test_callback_stops(void **state) {
        Seen s = { .result = -ENOSPC };
        SseParser *p = parser(&s, 100);

        sse_parser_reset(p);
        assert_int_equal(sse_parser_feed(p, "data: a\n\ndata: b\n\n", 18), -ENOSPC);
        assert_string_equal(s.text.data, "[message||a]");
        s.result = 0;
        sse_parser_reset(p);
        assert_int_equal(sse_parser_feed(p, "data: c\n\n", 9), 0);
        assert_string_equal(s.text.data, "[message||a][message||c]");
        sse_parser_free(p);
        buffer_done(&s.text);
}

static void test_reset(void **state) {
        Seen s = {};
        SseParser *p = parser(&s, 100);

        sse_parser_reset(p);
        assert_int_equal(sse_parser_feed(p, "id: 1\nretry: 5\n\nevent: half\ndata: ha", 37), 0);
        sse_parser_reset(p);
        assert_string_equal(sse_parser_last_id(p), "");
        assert_true(sse_parser_retry_msec(p) == UINT64_MAX);
        assert_int_equal(sse_parser_feed(p, "data: b\n\n", 9), 0);
        assert_string_equal(s.text.data, "[message||b]");
        sse_parser_free(p);
        buffer_done(&s.text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_standard_examples),
                cmocka_unit_test(test_line_ends),
                cmocka_unit_test(test_byte_order_mark),
                cmocka_unit_test(test_fields),
                cmocka_unit_test(test_nul_in_data),
                cmocka_unit_test(test_retry),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_callback_stops),
                cmocka_unit_test(test_reset),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
