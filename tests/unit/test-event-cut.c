/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/json-scan.h"
#include "runner/conversation/event-cache.h"
#include "runner/conversation/event-cut.h"

/* Without its end. */
static void put(char *to, const char *s) {
        while (*s)
                *to++ = *s++;
}

static char *filled(const char *head, size_t size) {
        char *s = new0(char, size + 1);

        assert_non_null(s);
        memset(s, 'x', size);
        put(s, head);
        return s;
}

static void test_pieces_are_the_text(void **state) {
        static const char *const heads[] = {
                "", "\xf0\x9f\x98\x80", "a\xf0\x9f\x98\x80", "ab\xf0\x9f\x98\x80", "abc\xf0\x9f\x98\x80"
        };
        const size_t sizes[] = {
                0, 1, EVENT_PIECE_MAX - 1, EVENT_PIECE_MAX, EVENT_PIECE_MAX + 1, 2 * EVENT_PIECE_MAX + 3
        };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                for (size_t h = 0; h < ELEMENTSOF(heads); h++) {
                        size_t size = MAX(sizes[i], strlen(heads[h])), at = 0;
                        _cleanup_free_ char *text = filled(heads[h], size);
                        ssize_t n;

                        /* A character of four bytes across the end of the first piece. */
                        if (size > EVENT_PIECE_MAX + 2)
                                put(text + EVENT_PIECE_MAX - 1 - h % 3, "\xf0\x9f\x98\x80");
                        while ((n = event_piece(text, size, at)) > 0) {
                                assert_in_range(n, 1, EVENT_PIECE_MAX);
                                assert_true(utf8_is_valid(text + at, (size_t) n));
                                at += (size_t) n;
                        }
                        assert_int_equal(n, 0);
                        assert_int_equal(at, size);
                        assert_int_equal(event_piece(text, size, size + 1), -ERANGE);
                        assert_int_equal(event_piece(text, size, UINT64_MAX), -ERANGE);
                }
        assert_int_equal(event_piece("\xc3\xa4", 2, 1), -ERANGE);
}

static void test_a_cut_text_says_its_size(void **state) {
        static const struct {
                size_t max;
                const char *text, *expected;
        } cases[] = {
                { 3, "abc", "{\"size\":3,\"begins\":\"abc\"}" },
                { 3, "abcd", "{\"size\":4,\"begins\":\"abc\"}" },
                { 3, "ab\xc3\xa4", "{\"size\":4,\"begins\":\"ab\"}" },
                { 0, "abcd", "{\"size\":4,\"begins\":\"\"}" },
                { 3, "\"\\\"", "{\"size\":3,\"begins\":\"\\\"\\\\\\\"\"}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buffer_ Buffer b = {};

                assert_return_code(cut_append(&b, cases[i].text, cases[i].max, NULL), 0);
                assert_string_equal(b.data, cases[i].expected);
        }
}

static void test_a_cut_event_is_small_and_named(void **state) {
        static const char head[] =
                "{\"jsonrpc\":\"2.0\",\"method\":\"message.agent\",\"params\":{\"messageId\":\"r:1.0\","
                "\"event\":{\"type\":\"text\",\"delta\":\"";
        _cleanup_free_ char *text = filled(head, 2 * EVENT_INLINE_MAX), *cut = NULL, *begins = NULL;
        Slice whole, v;

        /* What takes two bytes in a string of JSON text. */
        memset(text + strlen(head), '\\', EVENT_INLINE_MAX);
        put(text + 2 * EVENT_INLINE_MAX - 4, "\"}}}");
        cut = event_cut(text, "r:1.0", "\"conversationId\":\"c\",\"run\":1", "1:2:3+4");
        assert_non_null(cut);
        whole = (Slice){ cut, strlen(cut) };
        assert_in_range(whole.size, EVENT_INLINE_MAX, 2 * EVENT_INLINE_MAX + 512);
        assert_true(json_scan_valid(cut, whole.size));
        assert_true(
                json_scan_path(whole, &v, "params", "messageId", NULL) && json_scan_string_is(v, "r:1.0"));
        assert_true(json_scan_path(whole, &v, "method", NULL) && json_scan_string_is(v, "message.agent"));
        assert_true(
                json_scan_path(whole, &v, "params", "cut", "cursor", NULL) &&
                json_scan_string_is(v, "1:2:3+4"));
        assert_true(
                json_scan_path(whole, &v, "params", "cut", "type", NULL) && json_scan_string_is(v, "text"));
        assert_true(json_scan_path(whole, &v, "params", "cut", "begins", NULL));
        assert_return_code(json_scan_string(v, &begins, NULL), 0);
        assert_int_equal(strlen(begins), EVENT_INLINE_MAX);
        assert_memory_equal(begins, text, EVENT_INLINE_MAX);
}

static void test_the_cache_has_what_fits(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        EventCache *cache = NULL;
        const EventPlace at = { 1, 100, 7 }, next = { 1, 200, 7 };
        EventPlace behind;

        assert_return_code(sd_event_new(&event), 0);
        assert_null(event_cache_get(NULL, "c", at, 0));
        assert_return_code(event_cache_begin(&cache, event, "c", at), 0);
        assert_null(event_cache_get(cache, "c", at, 0));
        /* The first has room whatever its size, then those that fit the bound, and nothing behind one that did not. */
        assert_return_code(event_cache_add(cache, 3, filled("3", EVENT_CACHE_MAX - 10)), 0);
        assert_return_code(event_cache_add(cache, 4, filled("4", 10)), 0);
        assert_return_code(event_cache_add(cache, 5, filled("5", 1)), 0);
        assert_return_code(event_cache_add(cache, 6, filled("6", 1)), 0);
        event_cache_end(cache, 7, next);
        assert_null(event_cache_get(cache, "c", at, 2));
        assert_string_equal(event_cache_get(cache, "c", at, 4), "4xxxxxxxxx");
        assert_null(event_cache_get(cache, "c", at, 5));
        assert_null(event_cache_get(cache, "c", at, 6));
        assert_null(event_cache_get(cache, "d", at, 4));
        assert_null(event_cache_get(cache, "c", next, 4));
        assert_false(event_cache_is_last(cache, 4, &behind));
        assert_true(event_cache_is_last(cache, 6, &behind));
        assert_int_equal(behind.offset, 200);

        assert_return_code(event_cache_begin(&cache, event, "c", next), 0);
        assert_null(event_cache_get(cache, "c", at, 4));
        assert_return_code(event_cache_add(cache, 0, filled("0", EVENT_CACHE_MAX + 1)), 0);
        assert_return_code(event_cache_add(cache, 1, filled("1", 1)), 0);
        assert_non_null(event_cache_get(cache, "c", next, 0));
        assert_null(event_cache_get(cache, "c", next, 1));
        event_cache_drop(cache, "d");
        assert_non_null(event_cache_get(cache, "c", next, 0));
        event_cache_drop(cache, "c");
        assert_null(event_cache_get(cache, "c", next, 0));
        event_cache_free(cache);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pieces_are_the_text),
                cmocka_unit_test(test_a_cut_text_says_its_size),
                cmocka_unit_test(test_a_cut_event_is_small_and_named),
                cmocka_unit_test(test_the_cache_has_what_fits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
