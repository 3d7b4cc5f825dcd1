/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run-test.h"
#include "runner/run/run-effects.h"
#include "runner/run/run-state.h"
#include "runner/store/store-inbound.h"

/* What a run makes of its agent's output. */

static void test_a_line_that_changes_the_phase_has_effects_once(void **state) {
        live("shell");
        say(SHELL_STARTED);
        spin();
        expect_calls("effects(idle); driven(true)");
        assert_int_equal(world.n_parts, 0);
        assert_stored_up_to(strlen(SHELL_STARTED), 1);
        /* However many lines there are. */
        say(TURN_START OUTPUT OUTPUT);
        spin();
        expect_calls("effects(running); driven(true)");
        assert_stored_up_to(strlen(SHELL_STARTED TURN_START OUTPUT OUTPUT), 4);
        assert_int_equal(run_lines(world.r), 4);
        assert_false(run_is_behind(world.r));
}

static void test_effects_are_stored_at_once_or_not_at_all(void **state) {
        static const char text[] = INIT("s") REQUEST("a");

        world.storing = ROLLS_BACK;
        live("claude");
        say(text);
        spin();
        expect_calls("effects(running, session s, lines); store_failed(5)");
        assert_int_equal(stored_input_size(), 0);
        assert_stored_up_to(0, 0);
        /* As the runner does it: from what is stored. */
        world.r = run_free(world.r);
        world.storing = STORES;
        make_run(&(Setup){ .spec = "{\"protocol\":\"claude\"}" });
        assert_return_code(run_open_directory(world.r), 0);
        run_drive(world.r);
        expect_calls("effects(running, session s, lines); driven(true)");
        assert_int_equal(world.n_parts, 1);
        assert_non_null(strstr(world.lines.data, "\"request_id\":\"a\""));
        assert_int_equal(stored_input_size(), world.lines.size);
        assert_stored_up_to(strlen(text), 2);
}

static int64_t accept(const char *id) {
        InboundMessage m = { .envelope_id = (char *) id,
                             .conversation = (char *) ID,
                             .method = (char *) "message.user",
                             .params = (char *) "{}",
                             .received_usec = 1 };
        int64_t seq;

        assert_int_equal(store_accept(world.ctx.store, &m, NULL, false, &seq), 1);
        return seq;
}

static void test_effects_are_of_the_messages_they_name(void **state) {
        _cleanup_(run_effects_done) RunEffects e = {};
        int64_t a = accept("a"), b = accept("b");

        (void) accept("c");
        live("shell");
        e.run = world.r;
        assert_return_code(buffer_append_str(&e.lines, "one\n"), 0);
        assert_return_code(run_effects_add(&e, a, 0), 0);
        assert_return_code(run_effects_add(&e, b, 4), 0); /* it has none */
        assert_return_code(buffer_append_str(&e.lines, "of none\n"), 0);
        assert_return_code(run_effects_add(&e, 0, 4), 0);
        assert_int_equal(e.parts[0].size, 4);
        assert_int_equal(e.parts[1].size, 0);
        assert_int_equal(e.parts[2].size, 8);
        assert_return_code(run_store_effects(&e), 0);
        assert_int_equal(store_count_pending(world.ctx.store, ID), 1);
        assert_int_equal(stored_input_size(), 12);
        assert_int_equal(run_write_input(world.r), 1);
        while (e.n_parts < RUN_INPUT_PARTS_MAX)
                assert_return_code(run_effects_add(&e, 0, 12), 0);
        assert_int_equal(run_effects_add(&e, 0, 12), -ENOBUFS);
}

static void test_output_that_steers_nothing_is_stored_later(void **state) {
        const uint64_t before = strlen(SHELL_STARTED TURN_START),
                       after = strlen(SHELL_STARTED TURN_START OUTPUT);

        live("shell");
        say(SHELL_STARTED TURN_START);
        spin();
        expect_calls("effects(running); driven(true)");
        say(OUTPUT);
        spin();
        expect_calls("driven(true)");
        assert_true(run_is_behind(world.r));
        assert_stored_up_to(before, 2);
        assert_return_code(run_store_driven(world.r), 0);
        assert_false(run_is_behind(world.r));
        assert_stored_up_to(after, 3);
        /* What was taken back is stored again. */
        run_store_undone(world.r);
        assert_true(run_is_behind(world.r));
}

static void test_half_a_line_is_no_progress(void **state) {
        live("shell");
        say("{\"type\":\"started\"");
        spin();
        expect_calls("driven(false)");
        say("}\n");
        spin();
        expect_calls("effects(idle); driven(true)");
}

static void test_a_session_is_an_effect_while_it_is_new(void **state) {
        live("claude");
        say(INIT("s-1"));
        spin();
        expect_calls("effects(running, session s-1); driven(true)");
        say(RESULT);
        spin();
        expect_calls("effects(idle); driven(true)");
        say(INIT("s-2"));
        spin();
        expect_calls("effects(running, session s-2); driven(true)");
        say(INIT("s-2"));
        spin();
        expect_calls("driven(true)");
        /* Also where nothing else changes. */
        say(INIT("s-3"));
        spin();
        expect_calls("effects(running, session s-3); driven(true)");
}

static void test_what_the_agent_says_of_its_failure_is_an_effect(void **state) {
        live("claude");
        assert_null(run_failure(world.r));
        say("{\"type\":\"result\",\"is_error\":true,\"errors\":[\"No conversation found\"]}\n");
        spin();
        expect_calls("effects(starting); driven(true)");
        assert_non_null(strstr(run_failure(world.r), "No conversation found"));
}

static void test_effects_that_fail_end_the_turn(void **state) {
        live("shell");
        world.storing = STORES_NOTHING;
        world.populated = false;
        write_file("outcome.json", "{\"outBytes\":19}");
        say(SHELL_STARTED);
        spin();
        /* It is over, which is not found out in that turn, nor is there another one. */
        expect_calls("effects(idle); store_failed(5)");
        assert_false(run_has_ended(world.r));
}

static void test_nothing_moves_while_the_store_is_broken(void **state) {
        live("shell");
        world.ctx.broken = true;
        say(SHELL_STARTED);
        spin();
        expect_calls("");
        world.ctx.broken = false;
        run_drive(world.r);
        expect_calls("effects(idle); driven(true)");
}

static void test_a_flood_is_read_in_pieces(void **state) {
        live("shell");
        say(SHELL_STARTED);
        spin();
        expect_calls("effects(idle); driven(true)");
        say_much(2500 * 1024);
        run_drive(world.r);
        expect_calls("driven(true)");
        spin();
        expect_calls("driven(true); driven(true); driven(false)");
}

static void test_a_replay_has_effects_once_whatever_its_size(void **state) {
        live("claude");
        say(INIT("s-1") REQUEST("a"));
        say_much(2500 * 1024);
        say(RESULT);
        assert_return_code(run_replay(world.r), 0);
        expect_calls("effects(idle, session s-1, replayed)");
        assert_int_equal(stored_input_size(), 0);
        assert_false(run_is_behind(world.r));
        spin();
        expect_calls("driven(false)");
}

static void test_a_replay_of_nothing_has_no_effects(void **state) {
        live("claude");
        assert_return_code(run_replay(world.r), 0);
        expect_calls("");
}

static void test_a_replay_that_cannot_be_stored_says_so(void **state) {
        live("claude");
        world.storing = STORES_NOTHING;
        say(INIT("s-1"));
        assert_int_equal(run_replay(world.r), -EIO);
        expect_calls("effects(running, session s-1, replayed)");
}

#define N_REQUESTS 2000

static void assert_all_are_answered(void) {
        const char *p = world.lines.data;

        for (unsigned i = 0; i < N_REQUESTS; i++) {
                _cleanup_free_ char *id = xasprintf("\"request_id\":\"r%u\"", i);

                p = strstr(p, "\"request_id\":");
                assert_non_null(p);
                assert_non_null(startswith(p, id));
                p++;
        }
        assert_null(strstr(p, "\"request_id\":"));
}

static void test_a_piece_ends_where_its_answers_are_many(void **state) {
        _cleanup_buffer_ Buffer b = {};
        size_t first;

        live("claude");
        for (unsigned i = 0; i < N_REQUESTS; i++)
                assert_return_code(
                        buffer_printf(
                                &b,
                                "{\"type\":\"control_request\",\"request_id\":\"r%u\","
                                "\"request\":{\"subtype\":\"x\"}}\n",
                                i),
                        0);
        say(b.data);
        run_drive(world.r);
        expect_calls("effects(starting, lines); driven(true)");
        first = world.lines.size;
        assert_in_range(first, RUN_EFFECTS_BYTES_MAX, RUN_EFFECTS_BYTES_MAX + 512);
        assert_true(run_lines(world.r) < N_REQUESTS);
        assert_stored_up_to(run_row(world.r)->driven, run_lines(world.r));
        /* It resumes by itself. */
        spin();
        assert_in_range(world.most, RUN_EFFECTS_BYTES_MAX, RUN_EFFECTS_BYTES_MAX + 512);
        assert_true(world.lines.size > 2 * first);
        assert_all_are_answered();
        assert_int_equal(stored_input_size(), world.lines.size);
        assert_stored_up_to(b.size, N_REQUESTS);
}

static void test_a_run_that_cannot_be_read_has_failed_and_lives(void **state) {
        make_run(&(Setup){ .spec = "{" });
        assert_non_null(run_failure(world.r));
        open_folder();
        say(SHELL_STARTED);
        run_drive(world.r);
        expect_calls("effects(idle); driven(true)");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_line_that_changes_the_phase_has_effects_once),
                TEST(effects_are_stored_at_once_or_not_at_all),
                TEST(effects_are_of_the_messages_they_name),
                TEST(output_that_steers_nothing_is_stored_later),
                TEST(half_a_line_is_no_progress),
                TEST(a_session_is_an_effect_while_it_is_new),
                TEST(what_the_agent_says_of_its_failure_is_an_effect),
                TEST(effects_that_fail_end_the_turn),
                TEST(nothing_moves_while_the_store_is_broken),
                TEST(a_flood_is_read_in_pieces),
                TEST(a_replay_has_effects_once_whatever_its_size),
                TEST(a_replay_of_nothing_has_no_effects),
                TEST(a_replay_that_cannot_be_stored_says_so),
                TEST(a_piece_ends_where_its_answers_are_many),
                TEST(a_run_that_cannot_be_read_has_failed_and_lives),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
