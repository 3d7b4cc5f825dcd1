/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "runner/run/timeouts.h"

static int parse(const char *text, Timeouts *t, char **ret_error) {
        _cleanup_json_ Json *o = NULL;

        assert_return_code(json_parse(text, strlen(text), &o, NULL), 0);
        return timeouts_parse(o, t, ret_error);
}

static void test_parse(void **state) {
        static const struct {
                const char *text, *error;
        } bad[] = {
                { "{\"silenceSec\":0}", "timeouts.silenceSec is not a whole number of seconds from 1" },
                { "{\"answerSec\":-1}", "timeouts.answerSec is not a whole number of seconds from 1" },
                { "{\"answerSec\":\"5\"}", "timeouts.answerSec is not a whole number of seconds from 1" },
                { "{\"answerSec\":1.5}", "timeouts.answerSec is not a whole number of seconds from 1" },
                { "{\"silenceSec\":31536001}",
                  "timeouts.silenceSec is not a whole number of seconds from 1" },
                { "{\"answerSec\":3,\"no\":1}",
                  "timeouts.no is not known: there are silenceSec and answerSec" },
        };
        _cleanup_free_ char *error = NULL;
        Timeouts t = { .silence_usec = 7, .answer_usec = 9 };

        assert_return_code(timeouts_parse(NULL, &t, &error), 0);
        assert_return_code(parse("{}", &t, &error), 0);
        assert_int_equal(t.silence_usec, 7);
        assert_return_code(parse("{\"answerSec\":31536000}", &t, &error), 0);
        assert_int_equal(t.silence_usec, 7);
        assert_int_equal(t.answer_usec, UINT64_C(31536000) * USEC_PER_SEC);
        assert_return_code(parse("{\"silenceSec\":1}", &t, &error), 0);
        assert_int_equal(t.silence_usec, USEC_PER_SEC);
        assert_null(error);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(parse(bad[i].text, &t, &text), -EINVAL);
                assert_string_equal(text, bad[i].error);
        }
}

static void test_silence(void **state) {
        _cleanup_(watchdog_freep) Watchdog *w = NULL;

        assert_return_code(watchdog_new(&(Timeouts){ .silence_usec = 100 }, 1000, &w), 0);
        /* Between turns nobody has to say anything. */
        assert_int_equal(watchdog_next(w), USEC_INFINITY);
        assert_return_code(watchdog_update(w, DRIVER_IDLE, NULL, 0, 1050), 0);
        assert_false(watchdog_is_silent(w, 100000));
        assert_return_code(watchdog_update(w, DRIVER_RUNNING, NULL, 0, 2000), 0);
        assert_int_equal(watchdog_next(w), 2100);
        /* A turn that goes on does not begin anew. */
        assert_return_code(watchdog_update(w, DRIVER_RUNNING, NULL, 0, 2050), 0);
        assert_int_equal(watchdog_next(w), 2100);
        watchdog_heard(w, 2090);
        assert_int_equal(watchdog_next(w), 2190);
        assert_false(watchdog_is_silent(w, 2189));
        assert_true(watchdog_is_silent(w, 2190));
        /* It waits for us, not we for it. */
        assert_return_code(watchdog_update(w, DRIVER_WAITING_PERMISSION, NULL, 0, 2150), 0);
        assert_false(watchdog_is_silent(w, 9000));
        assert_int_equal(watchdog_next(w), USEC_INFINITY);
        assert_return_code(watchdog_update(w, DRIVER_RUNNING, NULL, 0, 9000), 0);
        assert_int_equal(watchdog_next(w), 9100);
        /* Frozen for longer than it takes. */
        watchdog_freeze(w, true, 9060);
        watchdog_freeze(w, true, 9070);
        assert_int_equal(watchdog_next(w), USEC_INFINITY);
        assert_false(watchdog_is_silent(w, 50000));
        watchdog_freeze(w, false, 50000);
        watchdog_freeze(w, false, 50010);
        assert_int_equal(watchdog_next(w), 50040);
        assert_true(watchdog_is_silent(w, 50040));
}

static void update(Watchdog *w, const char *questions, uint64_t now) {
        _cleanup_json_ Json *list = NULL;
        DriverQuestion q[DRIVER_QUESTIONS_MAX] = {};
        size_t size;

        assert_return_code(json_parse(questions, strlen(questions), &list, NULL), 0);
        size = json_object_array_length(list);
        for (size_t i = 0; i < size; i++) {
                Json *o = json_object_array_get_idx(list, i);

                q[i].offset = json_object_get_uint64(json_get(o, "offset"));
                q[i].n = (unsigned) json_object_get_uint64(json_get(o, "n"));
        }
        assert_return_code(watchdog_update(w, DRIVER_WAITING_PERMISSION, q, size, now), 0);
}

static void test_questions(void **state) {
        _cleanup_(watchdog_freep) Watchdog *w = NULL;
        uint64_t offset = 0;
        unsigned n = 0;

        assert_return_code(watchdog_new(&(Timeouts){ .answer_usec = 100 }, 0, &w), 0);
        update(w, "[{\"offset\":10,\"n\":0}]", 1000);
        update(w, "[{\"offset\":10,\"n\":0},{\"offset\":10,\"n\":1}]", 1050);
        assert_int_equal(watchdog_next(w), 1100);
        assert_false(watchdog_take_expired(w, 1099, &offset, &n));
        watchdog_freeze(w, true, 1099);
        assert_false(watchdog_take_expired(w, 5000, &offset, &n));
        watchdog_freeze(w, false, 5099);
        assert_int_equal(watchdog_next(w), 5100);
        assert_true(watchdog_take_expired(w, 5100, &offset, &n));
        assert_int_equal(offset, 10);
        assert_int_equal(n, 0);
        /* Once, also where it stays open. */
        assert_false(watchdog_take_expired(w, 5100, &offset, &n));
        update(w, "[{\"offset\":10,\"n\":0},{\"offset\":10,\"n\":1}]", 5101);
        assert_false(watchdog_take_expired(w, 5149, &offset, &n));
        assert_int_equal(watchdog_next(w), 5150);
        assert_true(watchdog_take_expired(w, 5150, &offset, &n));
        assert_int_equal(n, 1);
        assert_int_equal(watchdog_next(w), USEC_INFINITY);
        /* Answered, and another one that was asked since. */
        update(w, "[{\"offset\":70,\"n\":0}]", 6000);
        assert_int_equal(watchdog_next(w), 6100);
        assert_return_code(watchdog_update(w, DRIVER_IDLE, NULL, 0, 6010), 0);
        assert_int_equal(watchdog_next(w), USEC_INFINITY);
}

static void test_none(void **state) {
        _cleanup_(watchdog_freep) Watchdog *w = NULL;
        uint64_t offset;
        unsigned n;

        assert_return_code(watchdog_new(&(Timeouts){ .silence_usec = 100 }, 0, &w), 0);
        update(w, "[{\"offset\":10,\"n\":0}]", 1000);
        assert_false(watchdog_take_expired(w, UINT64_MAX, &offset, &n));
        assert_int_equal(watchdog_next(w), USEC_INFINITY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_silence),
                cmocka_unit_test(test_questions),
                cmocka_unit_test(test_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
