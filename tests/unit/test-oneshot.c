/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/oneshot.h"
#include "common/util.h"

/* So far away that it elapses in no test. */
#define NEVER_USEC (3600 * USEC_PER_SEC)

typedef struct Fixture {
        sd_event *event;
        sd_event_source *timer;
        unsigned elapsed;
        uint64_t again_usec; /* armed once more from inside, after so long */
} Fixture;

static int set_up(void **state) {
        Fixture *f = new0(Fixture, 1);

        *state = f;
        return f && sd_event_new(&f->event) >= 0 ? 0 : -1;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        sd_event_source_disable_unref(f->timer);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Fixture *f = userdata;

        f->elapsed++;
        if (f->again_usec > 0)
                oneshot_arm(source, f->again_usec);
        f->again_usec = 0;
        return 0;
}

/* Until it elapses: sd-event waits for it, no longer. */
static void wait_for_it(Fixture *f) {
        unsigned before = f->elapsed;

        assert_true(oneshot_is_armed(f->timer));
        assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
        assert_int_equal(f->elapsed, before + 1);
}

static void nothing_elapses(Fixture *f) {
        unsigned before = f->elapsed;

        assert_int_equal(sd_event_run(f->event, 0), 0);
        assert_int_equal(f->elapsed, before);
}

static void test_a_new_one_is_off(void **state) {
        Fixture *f = *state;
        const char *name = NULL;

        assert_false(oneshot_is_armed(NULL));
        oneshot_disarm(NULL);
        assert_int_equal(oneshot_new(f->event, "a-name", on_timer, f, &f->timer), 0);
        assert_false(oneshot_is_armed(f->timer));
        assert_true(sd_event_source_get_description(f->timer, &name) >= 0);
        assert_string_equal(name, "a-name");
        oneshot_arm(f->timer, 1);
        wait_for_it(f);
        assert_false(oneshot_is_armed(f->timer));
        nothing_elapses(f);
}

static void test_the_first_start_makes_it(void **state) {
        sd_event_source *made;
        Fixture *f = *state;

        assert_int_equal(oneshot_start(&f->timer, f->event, 1, on_timer, f), 0);
        made = f->timer;
        wait_for_it(f);
        assert_false(oneshot_is_armed(f->timer));
        assert_int_equal(oneshot_start(&f->timer, f->event, 1, on_timer, f), 0);
        assert_ptr_equal(f->timer, made);
        wait_for_it(f);
}

static void test_the_later_start_counts(void **state) {
        Fixture *f = *state;

        assert_int_equal(oneshot_start(&f->timer, f->event, 1, on_timer, f), 0);
        assert_int_equal(oneshot_start(&f->timer, f->event, NEVER_USEC, on_timer, f), 0);
        assert_true(oneshot_is_armed(f->timer));
        nothing_elapses(f);
        oneshot_arm(f->timer, 1);
        wait_for_it(f);
}

static void test_times_of_the_clock(void **state) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        Fixture *f = *state;

        assert_true(oneshot_time(NULL) == USEC_INFINITY);
        assert_int_equal(oneshot_start_at(&f->timer, f->event, now, on_timer, f), 0);
        assert_true(oneshot_time(f->timer) == now);
        wait_for_it(f);
        assert_true(oneshot_time(f->timer) == USEC_INFINITY);
        assert_int_equal(oneshot_start_at(&f->timer, f->event, now + NEVER_USEC, on_timer, f), 0);
        assert_true(oneshot_time(f->timer) == now + NEVER_USEC);
        nothing_elapses(f);
        oneshot_arm_at(f->timer, now);
        wait_for_it(f);
}

static void test_one_that_is_disarmed_does_not_elapse(void **state) {
        Fixture *f = *state;

        assert_int_equal(oneshot_start(&f->timer, f->event, 0, on_timer, f), 0);
        oneshot_disarm(f->timer);
        assert_false(oneshot_is_armed(f->timer));
        nothing_elapses(f);
        assert_int_equal(oneshot_start(&f->timer, f->event, 0, on_timer, f), 0);
        wait_for_it(f);
}

static void test_it_may_be_armed_from_inside(void **state) {
        Fixture *f = *state;

        f->again_usec = 1;
        assert_int_equal(oneshot_start(&f->timer, f->event, 1, on_timer, f), 0);
        wait_for_it(f);
        wait_for_it(f);
        assert_false(oneshot_is_armed(f->timer));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_a_new_one_is_off),
                CASE(test_the_first_start_makes_it),
                CASE(test_the_later_start_counts),
                CASE(test_times_of_the_clock),
                CASE(test_one_that_is_disarmed_does_not_elapse),
                CASE(test_it_may_be_armed_from_inside),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
