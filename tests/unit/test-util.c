/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>
#include <systemd/sd-bus.h>

#include "common/buffer.h"
#include "common/ident.h"

/* ---- buffer ---- */

static void test_buffer_appends(void **state) {
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(buffer_append(&b, NULL, 0), 0);
        assert_string_equal(b.data, "");
        assert_int_equal(buffer_append_str(&b, "ab"), 0);
        assert_int_equal(buffer_append(&b, "c\0d", 3), 0);
        assert_int_equal(buffer_printf(&b, "%d-%s", 12, "x"), 0);
        assert_int_equal(b.size, 9);
        assert_memory_equal(b.data, "abc\0d12-x", 10);
        for (int i = 0; i < 10000; i++)
                assert_int_equal(buffer_append(&b, "0123456789", 10), 0);
        assert_int_equal(b.size, 100009);
        assert_memory_equal(b.data + b.size - 10, "0123456789", 11);
}

static void test_buffer_consume(void **state) {
        _cleanup_buffer_ Buffer b = {};

        buffer_consume(&b, 0);
        assert_int_equal(buffer_append_str(&b, "hello world"), 0);
        buffer_consume(&b, 6);
        assert_string_equal(b.data, "world");
        buffer_consume(&b, 5);
        assert_string_equal(b.data, "");
        assert_int_equal(b.size, 0);
}

static void test_buffer_clear_keeps_little(void **state) {
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(buffer_append_str(&b, "x"), 0);
        buffer_clear(&b, 4096);
        assert_non_null(b.data);
        assert_int_equal(b.size, 0);
        assert_string_equal(b.data, "");
        assert_int_equal(buffer_reserve(&b, 10000), 0);
        buffer_clear(&b, 4096);
        assert_null(b.data);
        assert_int_equal(b.allocated, 0);
}

static void test_buffer_steal(void **state) {
        _cleanup_buffer_ Buffer b = {};
        _cleanup_free_ char *empty = NULL, *text = NULL;

        empty = buffer_steal(&b);
        assert_string_equal(empty, "");
        assert_int_equal(buffer_append_str(&b, "text"), 0);
        text = buffer_steal(&b);
        assert_string_equal(text, "text");
        assert_null(b.data);
        assert_int_equal(b.size, 0);
}

static void test_buffer_failure_sticks(void **state) {
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(buffer_append_str(&b, "ab"), 0);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX), -ENOMEM);
        assert_true(b.failed);
        assert_int_equal(buffer_append_str(&b, "c"), -ENOMEM);
        assert_int_equal(buffer_printf(&b, "%d", 1), -ENOMEM);
        assert_int_equal(buffer_append_json_str(&b, "d"), -ENOMEM);
        assert_int_equal(b.size, 2);
        assert_null(buffer_steal(&b));
        assert_false(b.failed);
        assert_int_equal(buffer_append_str(&b, "new"), 0);
}

static void expect_json(const char *s, size_t size, const char *json) {
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(buffer_append_json(&b, s, size), 0);
        assert_string_equal(b.data, json);
}

static void test_buffer_json_strings(void **state) {
        expect_json("", 0, "\"\"");
        expect_json("plain", 5, "\"plain\"");
        expect_json("\"\\/", 3, "\"\\\"\\\\/\"");
        expect_json("a\nb\tc\rd", 7, "\"a\\nb\\tc\\u000dd\"");
        expect_json("\0\x1f\x7f", 3, "\"\\u0000\\u001f\\u007f\"");
        expect_json("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
        expect_json("x\xffy", 3, "\"x\xef\xbf\xbdy\"");
        /* A sequence cut off at the end, one that is too long, a surrogate. */
        expect_json("\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
        expect_json("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
        expect_json("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

/* Against a decoder written from the definition: every sequence of up to three bytes. */
static size_t slow_sequence(const unsigned char *s, size_t size) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;

        if (n == 0 || n > size)
                return 0;
        if (n == 1)
                return 1;
        uint32_t c = s[0] & (0x7fU >> n);
        for (size_t i = 1; i < n; i++) {
                if (s[i] >> 6 != 2)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

static void test_utf8_against_the_definition(void **state) {
        for (uint32_t i = 0; i < 1U << 24; i++) {
                unsigned char s[] = { (unsigned char) (i >> 16),
                                      (unsigned char) (i >> 8),
                                      (unsigned char) i };

                /* The third byte matters to few first ones; one value of each of its classes is enough there. */
                if (s[0] < 0xe0 && s[2] != 0)
                        continue;
                if (utf8_sequence((const char *) s, 3) != slow_sequence(s, 3))
                        fail_msg("%02x %02x %02x", s[0], s[1], s[2]);
        }
        for (uint32_t i = 0; i < 1U << 16; i++) {
                unsigned char s[] = {
                        (unsigned char) (0xf0 + (i >> 12)), (unsigned char) (i >> 4), 0x80, 0xbf
                };

                s[2] = (i & 1) ? 0x80 : 0xc0;
                s[3] = (i & 2) ? 0xbf : 0x7f;
                assert_int_equal(utf8_sequence((const char *) s, 4), slow_sequence(s, 4));
        }
        assert_int_equal(utf8_sequence("a", 0), 0);
        assert_true(utf8_is_valid("", 0));
        assert_true(utf8_is_valid("a\0\xc3\xa4", 4));
        assert_false(utf8_is_valid("a\xc3", 2));
}

/* Against sd-bus, with every character there is. */
static void test_utf8_for_bus(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus *bus = NULL;
        int pair[2];

        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), errno);
        assert_return_code(sd_bus_new(&bus), 0);
        assert_return_code(sd_bus_set_fd(bus, pair[0], pair[0]), 0);
        assert_return_code(sd_bus_start(bus), 0);
        for (uint32_t c = 1; c <= 0x110000; c++) {
                char s[] = { 'a', 0, 0, 0, 0, 0 }, *p = s + 1;

                if ((c & 0x3ff) == 1) {
                        m = sd_bus_message_unref(m);
                        assert_return_code(
                                sd_bus_message_new_method_call(bus, &m, "a.b", "/", "a.b", "C"), 0);
                }
                if (c < 0x80)
                        *p = (char) c;
                else if (c < 0x800)
                        *p++ = (char) (0xc0 | c >> 6);
                else if (c < 0x10000) {
                        *p++ = (char) (0xe0 | c >> 12);
                        *p++ = (char) (0x80 | (c >> 6 & 0x3f));
                } else {
                        *p++ = (char) (0xf0 | c >> 18);
                        *p++ = (char) (0x80 | (c >> 12 & 0x3f));
                        *p++ = (char) (0x80 | (c >> 6 & 0x3f));
                }
                if (c >= 0x80)
                        *p = (char) (0x80 | (c & 0x3f));
                if ((sd_bus_message_append_basic(m, 's', s) >= 0) != utf8_is_for_bus(s))
                        fail_msg("U+%04X", c);
        }
        sd_bus_close(bus);
        sd_bus_unref(bus);
        safe_close(pair[1]);
        assert_true(utf8_is_for_bus(""));
        assert_false(utf8_is_for_bus("a\xc3"));
}

/* ---- ident ---- */

static void test_utf8_cut(void **state) {
        assert_int_equal(utf8_cut("", 4), 0);
        assert_int_equal(utf8_cut("abcd", 4), 4);
        assert_int_equal(utf8_cut("abcde", 4), 4);
        /* a, and two characters of two and three bytes */
        static const int lengths[] = { 0, 1, 1, 3, 3, 3, 6 };
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++)
                assert_int_equal(utf8_cut("a\xc3\xa4\xe2\x82\xac", i), lengths[i]);
        assert_int_equal(utf8_cut("\xf0\x9f\x98\x80", 3), 0);
        assert_int_equal(utf8_cut("\xf0\x9f\x98\x80", 100), 4);
}

static void test_ident(void **state) {
        static const char *const good[] = {
                "a",     "0",  "Z-9_x.y", "c-42",
                "a.b.c", "a-", "a.",      "0123456789012345678901234567890123456789012345678901234567890123"
        };
        static const char *const bad[] = {
                "",         ".",
                "..",       "a..b",
                "-a",       "_a",
                ".a",       "a/b",
                "a b",      "a\n",
                "\xc3\xa4", "a\x7f",
                "a:b",      "01234567890123456789012345678901234567890123456789012345678901234"
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                if (!ident_is_valid(good[i]))
                        fail_msg("refused: %s", good[i]);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (ident_is_valid(bad[i]))
                        fail_msg("accepted: %s", bad[i]);
        assert_false(ident_is_valid(NULL));
}

static void test_sha256(void **state) {
        char hex[SHA256_HEX_SIZE], key[WORKSPACE_KEY_SIZE];

        /* FIPS 180-4's own example. */
        sha256_hex("abc", 3, hex);
        assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        sha256_hex("", 0, hex);
        assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        workspace_key("abc", key);
        assert_string_equal(key, "ba7816bf8f01cfea");
}

static void test_uuid(void **state) {
        char a[UUID_SIZE], b[UUID_SIZE];

        for (int i = 0; i < 1000; i++) {
                uuid_make(a);
                assert_int_equal(strlen(a), UUID_SIZE - 1);
                assert_true(uuid_is_valid(a));
                assert_int_equal(a[14], '4');
                assert_non_null(strchr("89ab", a[19]));
        }
        uuid_make(b);
        assert_string_not_equal(a, b);
        assert_true(uuid_is_valid("00000000-0000-0000-0000-00000000000A"));
        assert_false(uuid_is_valid("00000000-0000-0000-0000-00000000000"));
        assert_false(uuid_is_valid("00000000-0000-0000-0000-0000000000000"));
        assert_false(uuid_is_valid("00000000_0000-0000-0000-000000000000"));
        assert_false(uuid_is_valid("0000000g-0000-0000-0000-000000000000"));
        assert_false(uuid_is_valid(""));
        assert_false(uuid_is_valid(NULL));
}

/* ---- util ---- */

static void test_strings(void **state) {
        _cleanup_free_ char *s = NULL, *t = NULL;

        assert_true(endswith("a.json", ".json"));
        assert_true(endswith("", ""));
        assert_false(endswith("json", ".json"));
        assert_string_equal(startswith("a=b", "a="), "b");
        assert_null(startswith("a", "a="));
        assert_true(streq_ptr(NULL, NULL) && !streq_ptr("a", NULL) && streq_ptr("a", "a"));
        assert_true(isempty(NULL) && isempty("") && !isempty("x"));
        assert_int_equal(free_and_strdup(&s, "one"), 0);
        assert_int_equal(free_and_strdup(&s, "two"), 0);
        assert_string_equal(s, "two");
        assert_int_equal(free_and_strdup(&s, NULL), 0);
        assert_null(s);
        t = xasprintf("%s-%05d", "x", 42);
        assert_string_equal(t, "x-00042");
}

static void test_string_vectors(void **state) {
        _cleanup_strv_free_ char **v = NULL, **copy = NULL, **none = NULL;
        int n = 0;

        assert_int_equal(strv_length(NULL), 0);
        assert_false(strv_contains(NULL, "a"));
        assert_int_equal(strv_extend(&v, "a"), 0);
        assert_int_equal(strv_consume(&v, strdup("b")), 0);
        assert_int_equal(strv_consume(&v, NULL), -ENOMEM);
        assert_int_equal(strv_length(v), 2);
        copy = strv_copy(v);
        assert_int_equal(strv_length(copy), 2);
        assert_ptr_not_equal(copy[0], v[0]);
        assert_true(strv_contains(copy, "b") && !strv_contains(copy, "c"));
        STRV_FOREACH(s, copy)
                n += **s;
        assert_int_equal(n, 'a' + 'b');
        none = strv_copy(NULL);
        assert_non_null(none);
        assert_null(none[0]);
}

static void test_take(void **state) {
        char *p = strdup("x"), *q;
        int fd = 5;

        q = TAKE_PTR(p);
        assert_null(p);
        free(q);
        assert_int_equal(TAKE_FD(fd), 5);
        assert_int_equal(fd, -EBADF);
}

static void test_safe_close(void **state) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        errno = EXDEV;
        assert_int_equal(safe_close(fd), -EBADF);
        assert_int_equal(errno, EXDEV);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        errno = EXDEV;
        assert_int_equal(safe_close(-EBADF), -EBADF);
        assert_int_equal(errno, EXDEV);
}

static void test_atou64(void **state) {
        static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "0x1", "1.0", "a", "1a" };
        uint64_t n = 7;

        assert_int_equal(safe_atou64("0", &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(safe_atou64("007", &n), 0);
        assert_int_equal(n, 7);
        assert_int_equal(safe_atou64("18446744073709551615", &n), 0);
        assert_true(n == UINT64_MAX);
        n = 7;
        assert_int_equal(safe_atou64("18446744073709551616", &n), -ERANGE);
        assert_int_equal(safe_atou64("99999999999999999999999", &n), -ERANGE);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(safe_atou64(bad[i], &n), -EINVAL);
        assert_int_equal(safe_atou64(NULL, &n), -EINVAL);
        assert_int_equal(n, 7);
}

static void test_time(void **state) {
        char s[TIMESTAMP_MAX];

        assert_string_equal(format_timestamp(0, s), "1970-01-01T00:00:00.000Z");
        assert_string_equal(format_timestamp(UINT64_C(1795359845123999), s), "2026-11-22T15:04:05.123Z");
        assert_string_equal(format_timestamp(UINT64_C(1709210096000000), s), "2024-02-29T12:34:56.000Z");
        (void) format_timestamp(UINT64_MAX, s);
        assert_true(strlen(s) < TIMESTAMP_MAX);
        uint64_t a = now_usec(CLOCK_MONOTONIC), b = now_usec(CLOCK_MONOTONIC);
        assert_true(a > 0 && b >= a);
        assert_true(now_usec(CLOCK_REALTIME) > UINT64_C(1600000000) * USEC_PER_SEC);
}

static void test_random(void **state) {
        assert_true(random_u64() != random_u64());
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_buffer_appends),
                cmocka_unit_test(test_buffer_consume),
                cmocka_unit_test(test_buffer_clear_keeps_little),
                cmocka_unit_test(test_buffer_steal),
                cmocka_unit_test(test_buffer_failure_sticks),
                cmocka_unit_test(test_buffer_json_strings),
                cmocka_unit_test(test_utf8_against_the_definition),
                cmocka_unit_test(test_utf8_for_bus),
                cmocka_unit_test(test_utf8_cut),
                cmocka_unit_test(test_ident),
                cmocka_unit_test(test_sha256),
                cmocka_unit_test(test_uuid),
                cmocka_unit_test(test_strings),
                cmocka_unit_test(test_string_vectors),
                cmocka_unit_test(test_take),
                cmocka_unit_test(test_safe_close),
                cmocka_unit_test(test_atou64),
                cmocka_unit_test(test_time),
                cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
