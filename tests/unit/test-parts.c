/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/log.h"
#include "link-test.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/runner-admission.h"
#include "runner/runner-announce.h"
#include "runner/runner-disk.h"
#include "runner/runner-drain.h"
#include "runner/runner-recover.h"
#include "runner/runner-registry.h"
#include "runner/runner-shutdown.h"

/* The parts of the runner, each with what it is made with, and no runner. */

typedef struct Place {
        char path[64];
        RunnerConfig config;
        RunContext ctx;
        Registry *conversations;
        Announcer *announcer;
        Shutdown *shutdown;
        Drain *drain;
        Disk *disk;
        unsigned n_updates, n_changed, n_rooms;
        bool still_no_room;
} Place;

static void on_update(void *userdata) {
        Place *p = userdata;

        p->n_updates++;
}

static void on_disk_changed(void *userdata) {
        Place *p = userdata;

        announcer_changed(p->announcer);
}

static void on_room(void *userdata) {
        Place *p = userdata;

        p->n_rooms++;
        if (p->still_no_room)
                disk_wait(p->disk);
}

static int setup(void **state) {
        static const DiskOps ops = { .changed = on_disk_changed, .room = on_room };
        _cleanup_free_ char *error = NULL;
        Place *p = new0(Place, 1);

        log_set_max_level(LOG_EMERG);
        (void) snprintf(p->path, sizeof(p->path), "/tmp/nf-parts-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->config = (RunnerConfig){ .max_conversations = 2, .data_dir = p->path };
        p->ctx = (RunContext){ .config = &p->config, .conversations_fd = -EBADF };
        assert_return_code(sd_event_new(&p->ctx.event), 0);
        p->ctx.state_fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_return_code(store_open(p->ctx.state_fd, p->path, &p->ctx.store, &error), 0);
        assert_return_code(registry_new(&p->conversations), 0);
        assert_return_code(announcer_new(p->ctx.event, on_update, p, &p->announcer), 0);
        assert_return_code(disk_new(&p->ctx, &ops, p, &p->disk), 0);
        assert_return_code(shutdown_new(&p->ctx, p->conversations, p->announcer, &p->shutdown), 0);
        assert_return_code(drain_new(&p->ctx, p->conversations, p->shutdown, p->announcer, &p->drain), 0);
        while (sd_event_run(p->ctx.event, 0) > 0)
                ;
        p->n_updates = 0;
        *state = p;
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;

        drain_free(p->drain);
        shutdown_free(p->shutdown);
        disk_free(p->disk);
        announcer_free(p->announcer);
        registry_free(p->conversations);
        store_close(p->ctx.store);
        safe_close(p->ctx.state_fd);
        sd_event_unref(p->ctx.event);
        (void) remove_tree_at(AT_FDCWD, p->path);
        free(p);
        return 0;
}

static void run_until_quiet(Place *p) {
        while (sd_event_run(p->ctx.event, 0) > 0)
                ;
}

/* ---- registry ---- */

static void test_conversations_are_kept_in_their_order(void **state) {
        Place *p = *state;
        Registry *g = p->conversations;
        Conversation list[4] = {};
        const size_t expected[] = { 0, 2, 3 };
        char ids[4][2] = { "a", "b", "c", "d" };
        size_t n = 0;

        for (size_t i = 0; i < 4; i++) {
                list[i].row.id = ids[i];
                list[i].row.state = i < 3 ? CONVERSATION_LIVE : CONVERSATION_ENDED;
                registry_add(g, &list[i]);
        }
        assert_ptr_equal(registry_find(g, "c"), &list[2]);
        assert_null(registry_find(g, "e"));
        assert_int_equal(registry_count_live(g), 3);
        assert_int_equal(registry_count_ended(g), 1);
        registry_remove(g, &list[1]);
        for (Conversation *c = registry_next(g, NULL); c; c = registry_next(g, c))
                assert_ptr_equal(c, &list[expected[n++]]);
        assert_int_equal(n, 3);
        registry_remove(g, &list[0]);
        registry_remove(g, &list[3]);
        assert_ptr_equal(registry_next(g, NULL), &list[2]);
        assert_null(registry_find(g, "d"));
        assert_null(registry_next(g, &list[2]));
}

/* A resume whose transaction failed has changed the conversation and not the count. */
static void test_an_empty_list_counts_from_nothing(void **state) {
        Place *p = *state;
        Conversation c = { .row = { .id = (char *) "a", .state = CONVERSATION_ENDED } };

        registry_add(p->conversations, &c);
        c.row.state = CONVERSATION_NEW;
        registry_remove(p->conversations, &c);
        assert_int_equal(registry_count_live(p->conversations), 0);
        assert_int_equal(registry_count_ended(p->conversations), 0);
}

/* ---- announcer ---- */

static void on_runner(void *userdata) {
        Place *p = userdata;

        /* What follows from a change is known by then. */
        assert_int_equal(p->n_updates, p->n_changed + 1);
        p->n_changed++;
}

static void test_many_changes_are_announced_once(void **state) {
        static const RunnerObserver observer = { .runner_changed = on_runner };
        Place *p = *state;

        announcer_set_observer(p->announcer, &observer, p);
        for (unsigned i = 0; i < 10; i++)
                announcer_changed(p->announcer);
        assert_int_equal(p->n_changed, 0);
        run_until_quiet(p);
        assert_int_equal(p->n_changed, 1);
        announcer_changed(p->announcer);
        run_until_quiet(p);
        assert_int_equal(p->n_changed, 2);
        announcer_set_observer(p->announcer, NULL, NULL);
        announcer_changed(p->announcer);
        run_until_quiet(p);
        assert_int_equal(p->n_updates, 3);
        assert_int_equal(p->n_changed, 2);
}

/* ---- disk ---- */

static void test_a_floor_is_seen_and_told_once(void **state) {
        Place *p = *state;

        disk_check(p->disk);
        run_until_quiet(p);
        assert_int_equal(disk_get_state(p->disk), DISK_ENOUGH);
        assert_int_equal(p->n_updates, 0);
        p->config.min_free_disk_bytes = UINT64_MAX;
        disk_check(p->disk);
        disk_check(p->disk);
        run_until_quiet(p);
        assert_int_equal(disk_get_state(p->disk), DISK_LOW);
        assert_true(disk_is_low(p->disk));
        assert_int_equal(p->n_updates, 1);
        p->config.min_free_disk_bytes = 0;
        disk_check(p->disk);
        assert_false(disk_is_low(p->disk));
}

static void test_who_waits_for_room_is_called_until_it_is_enough(void **state) {
        Place *p = *state;

        disk_check(p->disk);
        assert_int_equal(p->n_rooms, 0);
        disk_wait(p->disk);
        p->still_no_room = true;
        disk_check(p->disk);
        disk_check(p->disk);
        assert_int_equal(p->n_rooms, 2);
        p->still_no_room = false;
        disk_check(p->disk);
        disk_check(p->disk);
        assert_int_equal(p->n_rooms, 3);
}

/* ---- drain ---- */

static void test_a_drain_goes_on_after_a_restart(void **state) {
        _cleanup_free_ char *until = NULL, *none = NULL;
        Place *p = *state;
        uint64_t at, now = now_usec(CLOCK_REALTIME);

        assert_return_code(drain_store(p->drain, true, 3600 * USEC_PER_SEC), 0);
        assert_false(drain_is_on(p->drain));
        assert_int_equal(store_get(p->ctx.store, "drainUntil", &until), 1);
        assert_return_code(safe_atou64(until, &at), 0);
        assert_in_range(at, now + 3600 * USEC_PER_SEC, now + 3610 * USEC_PER_SEC);
        drain_load(p->drain);
        assert_true(drain_is_on(p->drain));
        drain_resume(p->drain);
        assert_true(drain_is_on(p->drain));
        /* Without a deadline, and without a drain. */
        assert_return_code(drain_store(p->drain, true, USEC_INFINITY), 0);
        assert_int_equal(store_get(p->ctx.store, "drainUntil", &none), 0);
        assert_return_code(drain_store(p->drain, false, USEC_INFINITY), 0);
        drain_load(p->drain);
        assert_false(drain_is_on(p->drain));
}

/* ---- admission ---- */

static void assert_gate(AdmissionGate *g, const char *expected) {
        admission_gate_check(g);
        assert_string_equal(admission_to_string(admission_gate_get(g)), expected);
}

static void test_the_first_reason_counts(void **state) {
        Conversation list[2] = {
                { .row = { .id = (char *) "a", .state = CONVERSATION_LIVE } },
                { .row = { .id = (char *) "b", .state = CONVERSATION_LIVE } },
        };
        Place *p = *state;
        AdmissionGate *g;

        assert_return_code(
                admission_gate_new(&p->ctx, p->conversations, p->disk, p->drain, p->announcer, &g), 0);
        assert_gate(g, "");
        p->config.min_free_disk_bytes = UINT64_MAX;
        disk_check(p->disk);
        assert_gate(g, "disk");
        registry_add(p->conversations, &list[0]);
        registry_add(p->conversations, &list[1]);
        assert_gate(g, "capacity");
        drain_set(p->drain, true, USEC_INFINITY);
        assert_int_equal(drain_get_total(p->drain), 2);
        assert_gate(g, "draining");
        drain_set(p->drain, false, USEC_INFINITY);
        assert_gate(g, "capacity");
        p->ctx.shutting_down = true;
        assert_gate(g, "draining");
        admission_gate_free(g);
}

static int add_admission(Json *params, void *userdata) {
        Json *o = NULL;
        int r = admission_gate_json(userdata, &o);

        return r < 0 ? r : json_set(params, "admission", o);
}

/* The heartbeat that has the answer is the one that tells it: none is made while one is made. */
static void test_a_heartbeat_makes_no_other(void **state) {
        AdmissionGate *g;
        Place *p = *state;
        void *link_state = NULL;
        Fixture *f;

        assert_int_equal(link_test_set_up(&link_state), 0);
        f = link_state;
        assert_return_code(
                admission_gate_new(&p->ctx, p->conversations, p->disk, p->drain, p->announcer, &g), 0);
        admission_gate_set_link(g, f->link);
        f->heartbeat = add_admission;
        f->heartbeat_data = g;
        link_test_start(f);
        RUN_UNTIL(f->event, f->n_heartbeats == 1);
        p->config.max_conversations = 0;
        link_heartbeat(f->link);
        RUN_UNTIL(f->event, f->n_heartbeats == 2);
        assert_non_null(strstr(f->heartbeat_params, "\"reason\":\"capacity\""));
        /* And it is told. */
        admission_gate_check(g);
        for (unsigned i = 0; i < 20; i++)
                (void) sd_event_run(f->event, 10 * USEC_PER_MSEC);
        assert_int_equal(f->n_heartbeats, 2);
        /* Seen by somebody else, it is told at once. */
        p->config.max_conversations = 2;
        admission_gate_check(g);
        RUN_UNTIL(f->event, f->n_heartbeats == 3);
        assert_non_null(strstr(f->heartbeat_params, "\"admission\":{\"open\":true}"));
        admission_gate_free(g);
        assert_int_equal(link_test_tear_down(&link_state), 0);
}

/* ---- recovery ---- */

static void test_a_recovery_is_active_until_it_is_done(void **state) {
        static const char identity[] = "{\"storeId\":\"s-1\",\"generation\":7}";
        Place *p = *state;
        Recovery *v;

        assert_return_code(recovery_new(&p->ctx, &v), 0);
        assert_return_code(recovery_begin(v), 0);
        assert_false(recovery_is_active(v));
        assert_return_code(
                write_file_atomic_at(p->ctx.state_fd, STORE_RECOVER_FILE, identity, strlen(identity), 0600),
                0);
        assert_return_code(recovery_begin(v), 0);
        assert_true(recovery_is_active(v));
        recovery_done(v);
        assert_false(recovery_is_active(v));
        assert_return_code(recovery_begin(v), 0);
        assert_false(recovery_is_active(v));
        recovery_free(v);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_conversations_are_kept_in_their_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_empty_list_counts_from_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_changes_are_announced_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_floor_is_seen_and_told_once, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_who_waits_for_room_is_called_until_it_is_enough, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_drain_goes_on_after_a_restart, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_first_reason_counts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_heartbeat_makes_no_other, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_recovery_is_active_until_it_is_done, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
