/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runner/link/registration.h"
#include "runner/link/rpc.h"

#define ATTEMPTS_MAX 24
#define FOREVER -1

static uint64_t no_jitter(uint64_t max, void *userdata) {
        return 0;
}

static uint64_t full_jitter(uint64_t max, void *userdata) {
        return max;
}

static const RegistrationFailure network = { .error = -ECONNREFUSED };
static const RegistrationFailure unreadable = { .error = -EBADMSG, .status = 200 };
static const RegistrationFailure http_400 = { .status = 400 }, http_401 = { .status = 401 },
                                 http_403 = { .status = 403 };
static const RegistrationFailure http_404 = { .status = 404 }, http_408 = { .status = 408 },
                                 http_425 = { .status = 425 };
static const RegistrationFailure http_500 = { .status = 500 }, http_503 = { .status = 503 },
                                 http_302 = { .status = 302 };
static const RegistrationFailure http_429 = { .status = 429, .retry_after_usec = 90 * USEC_PER_SEC };
static const RegistrationFailure for_a_day = { .status = 503, .retry_after_usec = 86400 * USEC_PER_SEC };
static const RegistrationFailure stale = { .status = 200, .rpc_code = RPC_STALE_STORE };
static const RegistrationFailure bad_params = { .status = 200, .rpc_code = RPC_INVALID_PARAMS };
static const RegistrationFailure busy = { .status = 200, .rpc_code = -32003 };

/* Every attempt fails, with the causes in turn, the last one for ever after. Expected: the seconds of the attempts, and
 * the exit code (FOREVER: it went on for as long as the test looks). */
typedef struct Case {
        const char *name;
        RetryStrategy strategy;
        uint64_t interval, duration;
        bool registered, has_work;
        const RegistrationFailure *causes[4];
        int attempts[ATTEMPTS_MAX]; /* ends with -1 */
        int exit_code;
        LinkState state; /* while it waits */
} Case;

/* In macros, since the formatter falls over a table of lists. */
#define ROW(...) \
        { __VA_ARGS__ }
#define LIST(...) \
        { __VA_ARGS__ }

static const Case cases[] = {
        ROW("none: one attempt", RETRY_NONE, 60, 900, false, false, LIST(&network), LIST(0, -1), 1),
        ROW("none: 503", RETRY_NONE, 60, 900, false, false, LIST(&http_503), LIST(0, -1), 1),
        ROW("none: 401", RETRY_NONE, 60, 900, false, false, LIST(&http_401), LIST(0, -1), 77),
        ROW("interval",
            RETRY_INTERVAL,
            60,
            900,
            false,
            false,
            LIST(&network),
            LIST(0, 60, 120, 180, 240, -1),
            FOREVER),
        ROW("interval: own value",
            RETRY_INTERVAL,
            5,
            900,
            false,
            false,
            LIST(&http_500),
            LIST(0, 5, 10, 15, -1),
            FOREVER),
        ROW("interval: outlives the duration",
            RETRY_INTERVAL,
            500,
            900,
            false,
            false,
            LIST(&http_408),
            LIST(0, 500, 1000, 1500, -1),
            FOREVER),
        ROW("interval: Retry-After",
            RETRY_INTERVAL,
            60,
            900,
            false,
            false,
            LIST(&http_429, &network),
            LIST(0, 90, 150, 210, -1),
            FOREVER),
        ROW("interval: Retry-After has a limit",
            RETRY_INTERVAL,
            60,
            900,
            false,
            false,
            LIST(&for_a_day, &network),
            LIST(0, 900, 960, -1),
            FOREVER),
        ROW("interval: ends by 404",
            RETRY_INTERVAL,
            60,
            900,
            false,
            false,
            LIST(&network, &http_425, &http_404),
            LIST(0, 60, 120, -1),
            1),
        ROW("interval: ends by 400", RETRY_INTERVAL, 60, 900, false, false, LIST(&http_400), LIST(0, -1), 1),
        ROW("interval: ends by a redirection",
            RETRY_INTERVAL,
            60,
            900,
            false,
            false,
            LIST(&http_302),
            LIST(0, -1),
            1),
        ROW("interval: ends by 403",
            RETRY_INTERVAL,
            60,
            900,
            false,
            false,
            LIST(&network, &http_403),
            LIST(0, 60, -1),
            77),
        ROW("interval: unreadable answers",
            RETRY_INTERVAL,
            60,
            900,
            false,
            false,
            LIST(&unreadable, &busy),
            LIST(0, 60, 120, -1),
            FOREVER),
        ROW("interval: refused params",
            RETRY_INTERVAL,
            60,
            900,
            false,
            false,
            LIST(&bad_params),
            LIST(0, -1),
            1),
        ROW("exponential",
            RETRY_EXPONENTIAL,
            60,
            900,
            false,
            false,
            LIST(&network),
            LIST(0, 8, 24, 56, 120, 248, 504, 900, -1),
            1),
        ROW("exponential: short",
            RETRY_EXPONENTIAL,
            60,
            30,
            false,
            false,
            LIST(&http_503),
            LIST(0, 8, 24, 30, -1),
            1),
        ROW("exponential: shorter than the first step",
            RETRY_EXPONENTIAL,
            60,
            5,
            false,
            false,
            LIST(&network),
            LIST(0, 5, -1),
            1),
        ROW("exponential: no time at all",
            RETRY_EXPONENTIAL,
            60,
            0,
            false,
            false,
            LIST(&network),
            LIST(0, -1),
            1),
        ROW("exponential: Retry-After",
            RETRY_EXPONENTIAL,
            60,
            300,
            false,
            false,
            LIST(&http_429, &network),
            LIST(0, 90, 106, 138, 202, 300, -1),
            1),
        ROW("exponential: Retry-After beyond the limit",
            RETRY_EXPONENTIAL,
            60,
            60,
            false,
            false,
            LIST(&http_429),
            LIST(0, 60, -1),
            1),
        ROW("exponential: 401",
            RETRY_EXPONENTIAL,
            60,
            900,
            false,
            false,
            LIST(&network, &network, &http_401),
            LIST(0, 8, 24, -1),
            77),
        ROW("registered: for ever, whatever the strategy",
            RETRY_NONE,
            60,
            900,
            true,
            false,
            LIST(&network),
            LIST(0, 1, 3, 7, 15, 31, 63, 123, 183, -1),
            FOREVER,
            LINK_OFFLINE),
        ROW("registered: 404 and 400 too",
            RETRY_EXPONENTIAL,
            60,
            30,
            true,
            false,
            LIST(&http_404, &http_400, &http_404, &bad_params),
            LIST(0, 1, 3, 7, 15, 31, 63, 123, -1),
            FOREVER,
            LINK_OFFLINE),
        ROW("registered: Retry-After, 60 s at most",
            RETRY_NONE,
            60,
            900,
            true,
            false,
            LIST(&http_429, &network),
            LIST(0, 60, 62, 66, -1),
            FOREVER,
            LINK_OFFLINE),
        ROW("registered: refused",
            RETRY_NONE,
            60,
            900,
            true,
            false,
            LIST(&http_401),
            LIST(0, 60, 120, 180, -1),
            FOREVER,
            LINK_REFUSED),
        ROW("registered: stale",
            RETRY_INTERVAL,
            60,
            900,
            true,
            true,
            LIST(&network, &stale),
            LIST(0, 1, -1),
            1,
            LINK_OFFLINE),
        ROW("stale", RETRY_INTERVAL, 60, 900, false, false, LIST(&stale), LIST(0, -1), 1),
        ROW("live work: for ever",
            RETRY_NONE,
            60,
            900,
            false,
            true,
            LIST(&network),
            LIST(0, 1, 3, 7, 15, -1),
            FOREVER,
            LINK_OFFLINE),
        ROW("live work: refused",
            RETRY_NONE,
            60,
            900,
            false,
            true,
            LIST(&http_403),
            LIST(0, 60, 120, -1),
            FOREVER,
            LINK_REFUSED),
};
static Registration make(const Case *c, JitterFunc jitter) {
        return (Registration){
                .strategy = c->strategy,
                .interval_usec = c->interval * USEC_PER_SEC,
                .duration_usec = c->duration * USEC_PER_SEC,
                .retry_min_usec = USEC_PER_SEC,
                .retry_max_usec = 60 * USEC_PER_SEC,
                .registered = c->registered,
                .jitter = jitter,
        };
}

static void test_table(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Case *c = cases + i;
                uint64_t begin = 1000 * USEC_PER_SEC, now = begin;
                Registration g = make(c, no_jitter);
                const RegistrationFailure *cause = NULL;
                LinkState state_expected = c->state ? c->state : LINK_REGISTERING;

                registration_begin(&g, now);
                for (size_t k = 0;; k++) {
                        RegistrationVerdict v;

                        if (c->attempts[k] < 0 && c->exit_code == FOREVER)
                                break;
                        if (c->attempts[k] < 0 || (now - begin) / USEC_PER_SEC != (uint64_t) c->attempts[k])
                                fail_msg(
                                        "%s: attempt %zu at %u s, not %d s",
                                        c->name,
                                        k,
                                        (unsigned) ((now - begin) / USEC_PER_SEC),
                                        c->attempts[k]);
                        if (k < ELEMENTSOF(c->causes) && c->causes[k])
                                cause = c->causes[k];
                        v = registration_failed(&g, cause, c->has_work, now);
                        if (v.give_up) {
                                if (c->attempts[k + 1] >= 0 || c->exit_code != v.exit_code)
                                        fail_msg("%s: exit %d after attempt %zu", c->name, v.exit_code, k);
                                break;
                        }
                        if (v.state != state_expected)
                                fail_msg("%s: state %d", c->name, (int) v.state);
                        now += v.delay_usec;
                }
        }
}

static void test_jitter(void **state) {
        Case c = { .strategy = RETRY_EXPONENTIAL, .interval = 60, .duration = 900 };
        Registration g = make(&c, full_jitter);
        RegistrationVerdict v;

        /* Added on top, a tenth at most; but never beyond the limit. */
        registration_begin(&g, 0);
        v = registration_failed(&g, &network, false, 0);
        assert_int_equal(v.delay_usec, 8800000);
        v = registration_failed(&g, &network, false, 895 * USEC_PER_SEC);
        assert_int_equal(v.delay_usec, 5 * USEC_PER_SEC);
        v = registration_failed(&g, &network, false, 900 * USEC_PER_SEC);
        assert_true(v.give_up);

        /* Taken off where there is a limit between attempts, and never below what the other side asked for. */
        assert_int_equal(backoff_delay(1, 8, 100, 0, full_jitter, NULL), 6);
        assert_int_equal(backoff_delay(40, 8, 100, 0, full_jitter, NULL), 75);
        assert_int_equal(backoff_delay(1, 8, 100, 90, full_jitter, NULL), 90);
        assert_int_equal(backoff_delay(1, 8, 100, 900, full_jitter, NULL), 100);
        assert_int_equal(backoff_delay(0, 8, 100, 0, no_jitter, NULL), 8);
        for (int i = 0; i < 100; i++)
                assert_true(jitter_random(3, NULL) <= 3);
        assert_int_equal(jitter_random(0, NULL), 0);
}

static void test_turns(void **state) {
        Case c = { .strategy = RETRY_NONE };
        Registration g = make(&c, no_jitter);

        /* Live work that ended leaves the first rule in force … */
        registration_begin(&g, 0);
        assert_false(registration_failed(&g, &network, true, 0).give_up);
        assert_true(registration_failed(&g, &network, false, 0).give_up);
        /* … and one success ends it; the back-off begins anew. */
        registration_succeeded(&g);
        assert_true(g.registered);
        assert_int_equal(registration_failed(&g, &network, false, 0).delay_usec, USEC_PER_SEC);
        assert_int_equal(registration_failed(&g, &network, false, 0).delay_usec, 2 * USEC_PER_SEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_jitter),
                cmocka_unit_test(test_turns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
