/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/json.h"

static Json *parse(const char *text) {
        Json *o = NULL;

        assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
        return o;
}

static void expect_bad(const char *text, size_t size, const char *words) {
        _cleanup_free_ char *error = NULL;
        Json *o = NULL;

        if (json_parse(text, size, &o, &error) != -EBADMSG)
                fail_msg("accepted: %s", text);
        assert_null(o);
        assert_non_null(error);
        if (!strstr(error, words))
                fail_msg("\"%s\" is not in: %s", words, error);
        assert_int_equal(json_parse(text, size, &o, NULL), -EBADMSG);
}

static void test_parse_values(void **state) {
        static const char *const texts[] = { "null",  "true",     "false", "0",   "-1", "12.5",
                                             "\"x\"", "[]",       "{}",    "[1]", " 1", "1 \n",
                                             " {} ",  "\t[]\r\n", "null ", "\"\"" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_json_ Json *o = parse(texts[i]);
                if (!strstr(texts[i], "null"))
                        assert_non_null(o);
        }
        _cleanup_json_ Json *o = parse("{\"a\":[1,{\"b\":null}],\"c\":\"\\u00e4\\n\"}");
        assert_string_equal(json_text(o), "{\"a\":[1,{\"b\":null}],\"c\":\"\xc3\xa4\\n\"}");
}

/* json-c 0.18 refuses what is not ASCII where it is told to be strict. */
static void test_parse_unicode(void **state) {
        static const char text[] = "{\"\xc3\xa9\":\"\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xba\\n\xe2\x80\x94\"}";
        _cleanup_json_ Json *o = parse(text), *deep = NULL, *numbers = NULL;
        char nested[129];

        assert_string_equal(json_text(o), text);
        memset(nested, '[', 64);
        memset(nested + 64, ']', 64);
        nested[128] = 0;
        deep = parse(nested);
        assert_string_equal(json_text(deep), nested);
        numbers = parse("[-0,1e5,1E-3,0.5,123456789012345678901234567890,-9223372036854775808]");
        assert_int_equal(json_object_array_length(numbers), 6);
}

static void test_parse_errors(void **state) {
        static const char *const texts[] = {
                "",       " ",     "{",   "[",       "[1,", "{\"a\"",   "{\"a\":}", "{a:1}",         "'x'",
                "[1,]",   "{} {}", "1 2", "nul",     "tru", "nulll",    "\"abc",    "\"a\nb\"",      "NaN",
                "//x\n1", "1x",    "{}x", "\"\\x\"", "[1}", "Infinity", "True",     "\xef\xbb\xbf{}"
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                expect_bad(texts[i], strlen(texts[i]), "not valid JSON at byte ");
        expect_bad("{}x", 3, "byte 2: ");
        expect_bad("[1,", 3, "unexpected end");
        expect_bad("\"\xff\"", 3, "not valid JSON");
        expect_bad("\"\xc3\"", 3, "not valid JSON");
        expect_bad("1\0", 2, "not valid JSON");
        expect_bad("{\"a\":1}\0{}", 10, "not valid JSON");
}

static void test_parse_depth(void **state) {
        _cleanup_buffer_ Buffer b = {};
        Json *o = NULL;

        for (int i = 0; i < 40; i++)
                assert_int_equal(buffer_append_str(&b, "["), 0);
        for (int i = 0; i < 40; i++)
                assert_int_equal(buffer_append_str(&b, "]"), 0);
        o = parse(b.data);
        json_object_put(o);
        buffer_clear(&b, SIZE_MAX);
        for (int i = 0; i < 100000; i++)
                assert_int_equal(buffer_append_str(&b, "["), 0);
        expect_bad(b.data, b.size, "not valid JSON");
}

/* Text with so many values, counting its array, in so many bytes. */
static void make_values(Buffer *b, size_t values, size_t bytes) {
        buffer_clear(b, SIZE_MAX);
        (void) buffer_append_str(b, "[{}");
        for (size_t i = 2; i < values; i++)
                (void) buffer_append_str(b, ",{}");
        while (b->size + 1 < bytes)
                (void) buffer_append_str(b, " ");
        assert_int_equal(buffer_append_str(b, "]"), 0);
}

static void test_each_source_has_its_bound(void **state) {
        static const struct {
                JsonSource source;
                size_t values;
        } sources[] = {
                { JSON_OF_AGENT, 4096 },          { JSON_OF_REPOSITORY, 4096 },
                { JSON_OF_ORCHESTRATOR, 65536 },  { JSON_OF_CALLER, 65536 },
                { JSON_OF_STORE, 131072 },        { JSON_OF_EVENT, 65536 },
                { JSON_OF_ADMINISTRATOR, 65536 },
        };
        _cleanup_buffer_ Buffer b = {};

        for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                _cleanup_json_ Json *o = NULL, *none = NULL;
                _cleanup_free_ char *error = NULL;

                assert_int_equal(json_bound(sources[i].source)->values, sources[i].values);
                make_values(&b, sources[i].values, 0);
                assert_int_equal(json_parse_from(sources[i].source, b.data, b.size, &o, NULL), 0);
                assert_int_equal(json_object_array_length(o), sources[i].values - 1);
                make_values(&b, sources[i].values + 1, 0);
                assert_int_equal(
                        json_parse_from(sources[i].source, b.data, b.size, &none, &error), -EBADMSG);
                assert_null(none);
                assert_non_null(strstr(error, "more values than may be read"));
        }
}

static void test_agent_text_of_64_kib_is_parsed_and_a_byte_more_is_not(void **state) {
        _cleanup_buffer_ Buffer b = {};
        _cleanup_json_ Json *o = NULL, *none = NULL;
        _cleanup_free_ char *error = NULL;

        make_values(&b, 4, 65536);
        assert_int_equal(b.size, 65536);
        assert_int_equal(json_parse_from(JSON_OF_AGENT, b.data, b.size, &o, NULL), 0);
        make_values(&b, 4, 65537);
        assert_int_equal(json_parse_from(JSON_OF_AGENT, b.data, b.size, &none, &error), -EBADMSG);
        assert_non_null(strstr(error, "longer than may be read"));
}

static void test_agent_text_of_64_levels_is_parsed_and_one_more_is_not(void **state) {
        char text[131];

        for (size_t depth = 64; depth <= 65; depth++) {
                _cleanup_json_ Json *o = NULL;

                memset(text, '[', depth);
                memset(text + depth, ']', depth);
                assert_int_equal(
                        json_parse_from(JSON_OF_AGENT, text, 2 * depth, &o, NULL),
                        depth == 64 ? 0 : -EBADMSG);
        }
}

static void test_parse_reads_no_byte_too_many(void **state) {
        static const char text[] = "{\"a\":[1,2.5e3,\"x\\u00e4\",true,null]}";

        for (size_t n = 0; n < strlen(text); n++) {
                char *copy = malloc(n ?: 1);
                Json *o = NULL;

                memcpy(copy, text, n);
                assert_int_equal(json_parse(copy, n, &o, NULL), -EBADMSG);
                assert_null(o);
                free(copy);
        }
}

static void test_get(void **state) {
        _cleanup_json_ Json *o = parse(
                "{\"s\":\"x\",\"z\":\"a\\u0000b\",\"n\":null,\"i\":5,\"o\":{\"p\":1}}");

        assert_string_equal(json_get_string(o, "s"), "x");
        assert_null(json_get_string(o, "z"));
        assert_null(json_get_string(o, "i"));
        assert_null(json_get_string(o, "missing"));
        assert_null(json_get(o, "n"));
        assert_null(json_get(o, "missing"));
        assert_null(json_get(NULL, "x"));
        assert_null(json_get(json_get(o, "s"), "x"));
        assert_non_null(json_get(json_get(o, "o"), "p"));
}

static void test_get_numbers(void **state) {
        _cleanup_json_ Json *o = parse(
                "{\"a\":0,\"b\":9223372036854775807,\"c\":18446744073709551615,\"d\":-1,\"e\":1.0,\"f\":\"1\","
                "\"g\":true,\"h\":false,\"i\":null}");
        uint64_t n = 77;
        bool b = false;

        assert_int_equal(json_get_u64(o, "a", &n), 1);
        assert_int_equal(n, 0);
        assert_int_equal(json_get_u64(o, "b", &n), 1);
        assert_true(n == INT64_MAX);
        assert_int_equal(json_get_u64(o, "c", &n), 1);
        assert_true(n == UINT64_MAX);
        n = 77;
        static const char *const bad[] = { "d", "e", "f", "g" };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(json_get_u64(o, bad[i], &n), -EINVAL);
        assert_int_equal(json_get_u64(o, "i", &n), 0);
        assert_int_equal(json_get_u64(o, "missing", &n), 0);
        assert_int_equal(n, 77);
        assert_int_equal(json_get_bool(o, "g", &b), 1);
        assert_true(b);
        assert_int_equal(json_get_bool(o, "missing", &b), 0);
        assert_int_equal(json_get_bool(o, "a", &b), -EINVAL);
        assert_true(b);
        assert_int_equal(json_get_bool(o, "h", &b), 1);
        assert_false(b);
}

static void test_get_strv(void **state) {
        _cleanup_json_ Json *o = parse(
                "{\"a\":[\"x\",\"y\"],\"b\":[],\"c\":[1],\"d\":\"x\",\"e\":[\"a\\u0000b\"],\"f\":[null]}");
        _cleanup_strv_free_ char **v = NULL, **empty = NULL, **none = NULL;

        assert_int_equal(json_get_strv(o, "a", &v), 1);
        assert_int_equal(strv_length(v), 2);
        assert_string_equal(v[1], "y");
        assert_int_equal(json_get_strv(o, "b", &empty), 1);
        assert_non_null(empty);
        assert_int_equal(strv_length(empty), 0);
        assert_int_equal(json_get_strv(o, "missing", &none), 0);
        assert_int_equal(json_get_strv(o, "c", &none), -EINVAL);
        assert_int_equal(json_get_strv(o, "d", &none), -EINVAL);
        assert_int_equal(json_get_strv(o, "e", &none), -EINVAL);
        assert_int_equal(json_get_strv(o, "f", &none), -EINVAL);
        assert_null(none);
}

static void test_set(void **state) {
        _cleanup_json_ Json *o = json_object_new_object();

        assert_int_equal(json_set_string(o, "s", "a/b\"c"), 0);
        assert_int_equal(json_set_string(o, "none", NULL), 0);
        assert_int_equal(json_set_u64(o, "n", UINT64_MAX), 0);
        assert_int_equal(json_set_bool(o, "b", true), 0);
        assert_int_equal(json_set(o, "x", NULL), -ENOMEM);
        assert_int_equal(json_set_bool(o, "b", false), 0);
        assert_string_equal(json_text(o), "{\"s\":\"a/b\\\"c\",\"n\":18446744073709551615,\"b\":false}");
}

static void test_text_of_others_becomes_utf8(void **state) {
        static const char *const texts[][2] = {
                { "plain", "{\"t\":\"plain\"}" },
                { "", "{\"t\":\"\"}" },
                { "\xc3\xa4 \"q\" \\ /\n", "{\"t\":\"\xc3\xa4 \\\"q\\\" \\\\ /\\n\"}" },
                { "a\xff", "{\"t\":\"a\xef\xbf\xbd\"}" },
                { "\xc3(\xe2\x82", "{\"t\":\"\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\"}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_json_ Json *o = json_object_new_object(), *again = NULL;

                assert_int_equal(json_set_text(o, "t", texts[i][0]), 0);
                assert_string_equal(json_text(o), texts[i][1]);
                assert_int_equal(json_parse(json_text(o), strlen(json_text(o)), &again, NULL), 0);
        }
        _cleanup_json_ Json *none = json_object_new_object();
        assert_int_equal(json_set_text(none, "t", NULL), 0);
        assert_string_equal(json_text(none), "{}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse_values),
                cmocka_unit_test(test_parse_unicode),
                cmocka_unit_test(test_parse_errors),
                cmocka_unit_test(test_parse_depth),
                cmocka_unit_test(test_each_source_has_its_bound),
                cmocka_unit_test(test_agent_text_of_64_kib_is_parsed_and_a_byte_more_is_not),
                cmocka_unit_test(test_agent_text_of_64_levels_is_parsed_and_one_more_is_not),
                cmocka_unit_test(test_parse_reads_no_byte_too_many),
                cmocka_unit_test(test_get),
                cmocka_unit_test(test_get_numbers),
                cmocka_unit_test(test_get_strv),
                cmocka_unit_test(test_text_of_others_becomes_utf8),
                cmocka_unit_test(test_set),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
