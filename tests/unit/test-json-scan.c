/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/json-scan.h"

static Slice slice(const char *s) {
        return (Slice){ s, strlen(s) };
}

/* Text in memory of exactly its size, so that a sanitizer sees each byte read beyond. */
static bool valid(const char *text, size_t size) {
        char *copy = malloc(size ?: 1);

        assert_non_null(copy);
        memcpy(copy, text, size);
        bool r = json_scan_valid(copy, size);
        free(copy);
        return r;
}

static void assert_valid(const char *text, bool expected) {
        if (valid(text, strlen(text)) != expected)
                fail_msg("%s: expected %s", text, expected ? "valid" : "invalid");
}

static void test_valid_values(void **state) {
        static const char *const good[] = {
                "{}",
                "[]",
                "\"\"",
                "0",
                "-0",
                "1",
                "-1",
                "10",
                "1.5",
                "-0.25",
                "1e5",
                "1E+5",
                "1.25e-7",
                "true",
                "false",
                "null",
                " \t\r\n{ } \n",
                "[1,2,3]",
                "[ 1 , 2 ]",
                "{\"a\":1}",
                "{ \"a\" : { \"b\" : [ ] } , \"c\" : null }",
                "[[],{},[{}]]",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                "\"\\u0000\"",
                "\"\\uD83D\\uDE00\"",
                "\"\\ud83d\"",
                "\"\\udc00x\"",
                "\"\x7f\"",
                "{\"\":\"\"}",
                "{\"a\":1,\"a\":2}",
                "123456789012345678901234567890",
                "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
                "\"\xef\xbb\xbf\"",
                "\"\xe2\x80\xa8\"",
        };
        static const char *const bad[] = {
                "",
                " ",
                "{",
                "}",
                "[",
                "]",
                "\"",
                "\"a",
                "{]",
                "[}",
                "[1",
                "[1,",
                "[1,]",
                "[,1]",
                "[1 2]",
                "{\"a\"}",
                "{\"a\":}",
                "{\"a\":1,}",
                "{,}",
                "{a:1}",
                "{1:1}",
                "{\"a\" 1}",
                "{\"a\":1 \"b\":2}",
                "{\"a\"::1}",
                "{}{}",
                "{} x",
                "1 2",
                "nul",
                "nulll",
                "tru",
                "True",
                "NaN",
                "Infinity",
                "-",
                "+1",
                "01",
                "-01",
                "1.",
                ".5",
                "1.e5",
                "1e",
                "1e+",
                "0x10",
                "1_000",
                "'a'",
                "\"\\\"",
                "\"\\x41\"",
                "\"\\u12\"",
                "\"\\u12g4\"",
                "\"\\U0041\"",
                "\"\n\"",
                "\"\t\"",
                "\"\x01\"",
                "\"\x1f\"",
                "// c\n1",
                "/**/1",
                "\xef\xbb\xbf{}",
                "\"\x80\"",
                "\"\xc3\"",
                "\"\xc0\x80\"",
                "\"\xe0\x80\x80\"",
                "\"\xed\xa0\x80\"",
                "\"\xf5\x80\x80\x80\"",
                "\"\xf4\x90\x80\x80\"",
                "\"\xff\"",
                "\xc3\xa9",
                "[1]]",
                "{}}",
                ":",
                ",",
                "\v1",
                "\f1",
                "1\v",
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_valid(good[i], true);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_valid(bad[i], false);
        assert_false(valid("\0", 1));
        assert_false(valid("1\0", 2));
        assert_false(valid("\"\0\"", 3));
}

/* No beginning of a text that needs its last byte is valid. */
static void test_valid_truncated(void **state) {
        static const char text[] =
                "{\"key\":[1,-2.5e+3,true,false,null,\"t\\u00e9\\\\xt \xe2\x82\xac\",{\"a\":{}}]}";

        assert_valid(text, true);
        for (size_t i = 0; i < sizeof(text) - 1; i++)
                assert_false(valid(text, i));
}

/* Each byte at each place within the fast loop's word, beside each possible neighbour. */
static void test_valid_each_byte(void **state) {
        for (unsigned before = 0; before < 20; before++)
                for (unsigned c = 0; c < 256; c++)
                        for (unsigned next = 0; next < 2; next++) {
                                char text[64];
                                size_t n = 0;

                                text[n++] = '"';
                                memset(text + n, 'x', before);
                                n += before;
                                text[n++] = (char) c;
                                text[n++] = next ? '!' : 'n';
                                memset(text + n, 'y', 9);
                                n += 9;
                                text[n++] = '"';
                                bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
                                assert_int_equal(valid(text, n), plain || (c == '\\' && !next));
                        }
}

static void test_valid_depth(void **state) {
        char text[1024];

        for (unsigned depth = 62; depth <= 66; depth++) {
                size_t n = 0;
                for (unsigned i = 0; i < depth; i++)
                        n += (size_t) sprintf(text + n, i % 2 ? "{\"a\":" : "[");
                text[n++] = '1';
                for (unsigned i = depth; i > 0; i--)
                        text[n++] = (i - 1) % 2 ? '}' : ']';
                assert_int_equal(valid(text, n), depth <= 64);
        }
        /* Empty ones count as well, and the place is free again behind them. */
        size_t n = 0;
        for (unsigned i = 0; i < 63; i++)
                text[n++] = '[';
        n += (size_t) sprintf(text + n, "[],{},[1]");
        for (unsigned i = 0; i < 63; i++)
                text[n++] = ']';
        assert_true(valid(text, n));
}

static void test_valid_deep_garbage(void **state) {
        size_t size = 1 << 20;
        _cleanup_free_ char *text = malloc(size);

        assert_non_null(text);
        memset(text, '[', size);
        assert_false(json_scan_valid(text, size));
        memset(text, ' ', size);
        assert_false(json_scan_valid(text, size));
        memset(text, '\\', size);
        text[0] = text[size - 1] = '"';
        assert_true(json_scan_valid(text, size));
        text[1] = 'x';
        assert_false(json_scan_valid(text, size));
}

static void test_check(void **state) {
        static const struct {
                const char *text, *wrong;
                size_t at;
        } cases[] = {
                { "", "unexpected end", 0 },
                { "[1,", "unexpected end", 3 },
                { "{\"a\":1", "unexpected end", 6 },
                { "{} x", "text after the end", 3 },
                { "[1,x]", "unexpected text", 3 },
                { "{\"a\" 1}", "unexpected text", 1 },
                { "[\"a\nb\"]", "unexpected text", 1 },
                { "[1}", "unexpected text", 2 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t at = 99;
                const char *wrong = json_scan_check(cases[i].text, strlen(cases[i].text), &at);

                assert_non_null(wrong);
                assert_string_equal(wrong, cases[i].wrong);
                assert_int_equal(at, cases[i].at);
        }
        assert_null(json_scan_check("{}", 2, NULL));
}

static void test_type(void **state) {
        assert_int_equal(json_scan_type(slice("{}")), SCAN_OBJECT);
        assert_int_equal(json_scan_type(slice("[]")), SCAN_ARRAY);
        assert_int_equal(json_scan_type(slice("\"a\"")), SCAN_STRING);
        assert_int_equal(json_scan_type(slice("-1")), SCAN_NUMBER);
        assert_int_equal(json_scan_type(slice("7")), SCAN_NUMBER);
        assert_int_equal(json_scan_type(slice("true")), SCAN_TRUE);
        assert_int_equal(json_scan_type(slice("false")), SCAN_FALSE);
        assert_int_equal(json_scan_type(slice("null")), SCAN_NULL);
        assert_int_equal(json_scan_type(slice("")), _SCAN_INVALID);
        assert_int_equal(json_scan_type(slice("x")), _SCAN_INVALID);
        assert_true(json_scan_is_true(slice("true")));
        assert_false(json_scan_is_true(slice("false")));
        assert_false(json_scan_is_true((Slice){}));
}

static void assert_slice(Slice v, const char *expected) {
        assert_int_equal(v.size, strlen(expected));
        assert_memory_equal(v.data, expected, v.size);
}

static void test_member(void **state) {
        Slice o = slice(
                " { \"a\" : 1 ,\"b\":\"x\\\"}\\\\\",\"c\":{\"d\":[1,{\"a\":9}],\"e\":null} , \"a\":2, \"k\\u0061\":3,"
                "\"\":4,\"last\" : true } ");
        Slice v;

        assert_true(json_scan_valid(o.data, o.size));
        assert_true(json_scan_member(o, "a", &v));
        assert_slice(v, "1");
        assert_true(json_scan_member(o, "b", &v));
        assert_slice(v, "\"x\\\"}\\\\\"");
        assert_true(json_scan_member(o, "c", &v));
        assert_slice(v, "{\"d\":[1,{\"a\":9}],\"e\":null}");
        assert_true(json_scan_member(o, "", &v));
        assert_slice(v, "4");
        assert_true(json_scan_member(o, "last", &v));
        assert_slice(v, "true");
        v = (Slice){};
        assert_false(json_scan_member(o, "ka", &v));
        assert_false(json_scan_member(o, "k\\u0061", &v));
        assert_false(json_scan_member(o, "d", &v));
        assert_false(json_scan_member(o, "las", &v));
        assert_false(json_scan_member(o, "lastt", &v));
        assert_null(v.data);
        assert_false(json_scan_member(slice("[\"a\",1]"), "a", &v));
        assert_false(json_scan_member(slice("\"a\""), "a", &v));
        assert_false(json_scan_member(slice("{}"), "a", &v));
        assert_false(json_scan_member((Slice){}, "a", &v));
}

static void test_ambiguous_where_a_member_that_is_read_has_a_double(void **state) {
        static const char *const names[] = { "type", "request", NULL };
        static const struct {
                const char *text;
                bool expected;
        } cases[] = {
                { "{}", false },
                { "{\"type\":1}", false },
                { "{\"type\":1,\"request\":2}", false },
                { "{\"type\":1,\"type\":1}", true },
                { "{\"request\":{},\"a\":{\"request\":1},\"type\":0,\"request\":{}}", true },
                /* Within a member of its own a name is another one. */
                { "{\"request\":{\"type\":1},\"type\":1}", false },
                { "[\"type\",\"type\"]", false },
                /* What is not read may be doubled. */
                { "{\"x\":1,\"x\":2,\"type\":1}", false },
                { "{\"Type\":1,\"type\":1,\"types\":1,\"typ\":1,\"\":1}", false },
                /* Names that only other readers see as one of these. */
                { "{\"type\":1,\"ty\\u0070e\":2}", true },
                { "{\"\\u0074\\u0079\\u0070\\u0065\":2}", true },
                { "{\"typ\\u0065\\u0000tail\":2}", true },
                { "{\"typ\\u0066\":2,\"t\\ny\":1,\"\\\"type\\\"\":1}", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (json_scan_is_ambiguous(slice(cases[i].text), names) != cases[i].expected)
                        fail_msg("%s", cases[i].text);
}

static void test_head_member_is_whole_or_not_there(void **state) {
        static const char text[] = "{\"type\":\"a\",\"n\":12,\"request\":{\"subtype\":\"b\"},\"z\":1}";
        Slice v;

        for (size_t n = 0; n <= strlen(text); n++) {
                Slice head = { text, n };

                /* A value is whole once anything stands behind it. */
                assert_int_equal(json_scan_head_member(head, "type", &v), n > 11);
                if (n > 11)
                        assert_true(json_scan_string_is(v, "a"));
                assert_int_equal(json_scan_head_member(head, "n", &v), n > 18);
                assert_int_equal(json_scan_head_member(head, "request", &v), n > 44);
                assert_false(json_scan_head_member(head, "missing", &v));
        }
}

static void test_path(void **state) {
        Slice o = slice("{\"a\":{\"b\":{\"c\":[1]}},\"n\":5}"), v;

        assert_true(json_scan_path(o, &v, "a", "b", "c", NULL));
        assert_slice(v, "[1]");
        assert_true(json_scan_path(o, &v, NULL));
        assert_slice(v, o.data);
        assert_false(json_scan_path(o, &v, "a", "x", "c", NULL));
        assert_false(json_scan_path(o, &v, "n", "b", NULL));
}

static void test_element(void **state) {
        Slice a = slice("[ 1 , \"a,]\" ,[2,3],{\"x\":[]} ,null ]"), v;
        static const char *const expected[] = { "1", "\"a,]\"", "[2,3]", "{\"x\":[]}", "null" };
        size_t iter = 0;

        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_true(json_scan_element(a, &iter, &v));
                assert_slice(v, expected[i]);
        }
        assert_false(json_scan_element(a, &iter, &v));
        assert_false(json_scan_element(a, &iter, &v));
        iter = 0;
        assert_false(json_scan_element(slice("[]"), &iter, &v));
        iter = 0;
        assert_false(json_scan_element(slice("[ ]"), &iter, &v));
        iter = 0;
        assert_false(json_scan_element(slice("{\"a\":1}"), &iter, &v));
        iter = 0;
        assert_false(json_scan_element((Slice){}, &iter, &v));
}

static void test_next_member(void **state) {
        Slice o = slice(" { \"a\" : 1 , \"b,}\":{\"c\":2},\"a\":[3] } "), name, v;
        static const char *const expected[][2] = { { "\"a\"", "1" },
                                                   { "\"b,}\"", "{\"c\":2}" },
                                                   { "\"a\"", "[3]" } };
        size_t iter = 0;

        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_true(json_scan_next_member(o, &iter, &name, &v));
                assert_slice(name, expected[i][0]);
                assert_slice(v, expected[i][1]);
        }
        assert_false(json_scan_next_member(o, &iter, &name, &v));
        assert_false(json_scan_next_member(o, &iter, &name, &v));
        iter = 0;
        assert_false(json_scan_next_member(slice("{}"), &iter, &name, &v));
        iter = 0;
        assert_false(json_scan_next_member(slice("[1]"), &iter, &name, &v));
}

static void assert_string(const char *value, const char *expected, size_t size) {
        _cleanup_free_ char *s = NULL;
        size_t n;

        assert_int_equal(json_scan_string(slice(value), &s, &n), 0);
        assert_int_equal(n, size);
        assert_memory_equal(s, expected, size + 1);
}

static void test_string(void **state) {
        _cleanup_free_ char *s = NULL;

        assert_string("\"\"", "", 0);
        assert_string("\"plain\"", "plain", 5);
        assert_string("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
        assert_string("\"a\\u0041\\u00e9\\u20aC\"", "aA\xc3\xa9\xe2\x82\xac", 7);
        assert_string("\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!", 5);
        assert_string("\"\\ud83d\"", "\xef\xbf\xbd", 3);
        assert_string("\"\\ude00\"", "\xef\xbf\xbd", 3);
        assert_string("\"\\ud83dx\"", "\xef\xbf\xbdx", 4);
        assert_string("\"\\ud83d\\n\"", "\xef\xbf\xbd\n", 4);
        assert_string(
                "\"\\ud83d\\u0041\"",
                "\xef\xbf\xbd"
                "A",
                4);
        assert_string("\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7);
        assert_string("\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", 4);
        assert_string("\"a\\u0000b\"", "a\0b", 3);
        assert_int_equal(json_scan_string(slice("\"a\\u0000b\""), &s, NULL), -EINVAL);
        assert_int_equal(json_scan_string(slice("5"), &s, NULL), -EINVAL);
        assert_int_equal(json_scan_string(slice("\""), &s, NULL), -EINVAL);
        assert_int_equal(json_scan_string(slice("\"\\u12\""), &s, NULL), -EINVAL);
        assert_int_equal(json_scan_string(slice("\"\\\""), &s, NULL), -EINVAL);
        assert_int_equal(json_scan_string((Slice){}, &s, NULL), -EINVAL);
        assert_null(s);
        assert_int_equal(json_scan_string(slice("\"ok\""), &s, NULL), 0);
        assert_string_equal(s, "ok");

        assert_true(json_scan_string_is(slice("\"user\""), "user"));
        assert_false(json_scan_string_is(slice("\"users\""), "user"));
        assert_false(json_scan_string_is(slice("\"use\""), "user"));
        assert_false(json_scan_string_is(slice("\"us\\u0065r\""), "user"));
        assert_false(json_scan_string_is(slice("user"), "user"));
        assert_false(json_scan_string_is((Slice){}, ""));
}

static void test_numbers(void **state) {
        uint64_t u = 7;
        double d = 7;

        assert_int_equal(json_scan_u64(slice("0"), &u), 0);
        assert_int_equal(u, 0);
        assert_int_equal(json_scan_u64(slice("18446744073709551615"), &u), 0);
        assert_true(u == UINT64_MAX);
        static const char *const bad[] = {
                "", "-1", "-0", "1.0", "1e3", "18446744073709551616", "01", "\"1\"", "null", "1 ",
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(json_scan_u64(slice(bad[i]), &u), -EINVAL);
        assert_true(u == UINT64_MAX);

        assert_int_equal(json_scan_double(slice("-1.25e2"), &d), 0);
        assert_true(d == -125.0);
        assert_int_equal(json_scan_double(slice("0.0008150000000000001"), &d), 0);
        assert_true(d == 0.0008150000000000001);
        static const char *const bad_double[] = {
                "", "1e999", "nan", "inf", "0x1p3", "\"1\"", "true", "1.", "1 ",
        };
        for (size_t i = 0; i < ELEMENTSOF(bad_double); i++)
                assert_int_equal(json_scan_double(slice(bad_double[i]), &d), -EINVAL);
        char digits[201];
        memset(digits, '1', 200);
        digits[1] = '.';
        digits[200] = 0;
        assert_int_equal(json_scan_double(slice(digits), &d), 0);
        assert_true(d > 1.11 && d < 1.12);
}

/* Whatever the buffer writes is valid, and comes back as it was. */
static void test_round_trip(void **state) {
        uint64_t seed = 42;

        for (unsigned round = 0; round < 2000; round++) {
                _cleanup_buffer_ Buffer b = {};
                _cleanup_free_ char *back = NULL;
                char bytes[64];
                size_t n, size;

                seed = seed * 6364136223846793005U + 1442695040888963407U;
                size = seed >> 58;
                for (size_t i = 0; i < size; i++) {
                        seed = seed * 6364136223846793005U + 1442695040888963407U;
                        bytes[i] = (char) (seed >> 56);
                }
                assert_int_equal(buffer_append_json(&b, bytes, size), 0);
                assert_true(valid(b.data, b.size));
                assert_int_equal(json_scan_string((Slice){ b.data, b.size }, &back, &n), 0);
                if (utf8_is_valid(bytes, size)) {
                        assert_int_equal(n, size);
                        assert_memory_equal(back, bytes, size);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid_values),
                cmocka_unit_test(test_valid_truncated),
                cmocka_unit_test(test_valid_each_byte),
                cmocka_unit_test(test_valid_depth),
                cmocka_unit_test(test_valid_deep_garbage),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_type),
                cmocka_unit_test(test_member),
                cmocka_unit_test(test_ambiguous_where_a_member_that_is_read_has_a_double),
                cmocka_unit_test(test_head_member_is_whole_or_not_there),
                cmocka_unit_test(test_path),
                cmocka_unit_test(test_next_member),
                cmocka_unit_test(test_element),
                cmocka_unit_test(test_string),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_round_trip),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
