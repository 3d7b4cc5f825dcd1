/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "common/ident.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-input.h"
#include "runner/store/transaction.h"
#include "store-test.h"
#include "tests/unit/own-event.h"

/* ---- conversations and runs ---- */

static void test_conversation_row_round_trip(void **state) {
        Fixture *f = *state;
        ConversationRow in = {
                .id = (char *) "c-1",
                .workspace = (char *) "w",
                .task = (char *) "t",
                .agent = (char *) "claude",
                .origin = (char *) "local",
                .params = (char *) "{\"a\":1}",
                .session = (char *) "s",
                .state = CONVERSATION_ENDED,
                .reason = END_COMPLETED,
                .detail = (char *) "{\"d\":2}",
                .directory = (char *) "/d",
                .branch = (char *) "b",
                .run = 7,
                .created_usec = 11,
                .ended_usec = UINT64_MAX,
                .delivered = true,
        };
        ConversationRow out = {};

        open_store(f);
        assert_int_equal(store_put_conversation(f->store, &in), 0);
        reopen_store(f);
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 1);
        assert_string_equal(out.id, in.id);
        assert_string_equal(out.workspace, in.workspace);
        assert_string_equal(out.task, in.task);
        assert_string_equal(out.agent, in.agent);
        assert_string_equal(out.origin, in.origin);
        assert_string_equal(out.params, in.params);
        assert_string_equal(out.session, in.session);
        assert_int_equal(out.state, in.state);
        assert_int_equal(out.reason, in.reason);
        assert_null(out.unknown);
        assert_string_equal(out.detail, in.detail);
        assert_string_equal(out.directory, in.directory);
        assert_string_equal(out.branch, in.branch);
        assert_int_equal(out.run, 7);
        assert_int_equal(out.created_usec, 11);
        assert_true(out.ended_usec == UINT64_MAX);
        assert_true(out.delivered);
        conversation_row_done(&out);
        assert_int_equal(store_get_conversation(f->store, "c-2", &out), 0);

        in = conversation("c-1");
        assert_int_equal(store_put_conversation(f->store, &in), 0);
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 1);
        assert_null(out.session);
        assert_int_equal(out.reason, END_NONE);
        assert_int_equal(out.state, CONVERSATION_LIVE);
        assert_false(out.delivered);
        conversation_row_done(&out);
}

/* Whoever does not hold them in memory any more stores the rest. */
static void test_parameters_that_are_not_at_hand_stay_as_they_are(void **state) {
        Fixture *f = *state;
        ConversationRow in = conversation("c-1"), out = {};

        in.params = (char *) "{\"a\":1}";
        open_store(f);
        assert_int_equal(store_put_conversation(f->store, &in), 0);
        in.params = NULL;
        in.state = CONVERSATION_ENDED;
        assert_int_equal(store_put_conversation(f->store, &in), 0);
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 1);
        assert_string_equal(out.params, "{\"a\":1}");
        assert_int_equal(out.state, CONVERSATION_ENDED);
        conversation_row_done(&out);
        in.params = (char *) "{}";
        assert_int_equal(store_put_conversation(f->store, &in), 0);
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 1);
        assert_string_equal(out.params, "{}");
        conversation_row_done(&out);
}

static int see_conversation(const ConversationRow *r, void *userdata) {
        Seen *s = userdata;
        size_t n = strlen(s->text);

        (void) snprintf(s->text + n, sizeof(s->text) - n, "%s ", r->id);
        return ++s->n == s->stop_at ? 7 : 0;
}

static void test_list_conversations(void **state) {
        Fixture *f = *state;
        Seen all = {}, live = {}, stopped = { .stop_at = 1 }, ended = {}, newest = {};

        open_store(f);
        const char *ids[] = { "z", "y", "x", "w" };
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                ConversationRow row = conversation(ids[i]);
                assert_int_equal(store_put_conversation(f->store, &row), 0);
        }
        ConversationRow row = conversation("y");
        row.state = CONVERSATION_ENDED;
        assert_int_equal(store_put_conversation(f->store, &row), 0);
        row.id = (char *) "x";
        row.delivered = true;
        assert_int_equal(store_put_conversation(f->store, &row), 0);
        assert_int_equal(store_list_conversations(f->store, false, see_conversation, &all), 0);
        assert_string_equal(all.text, "z y x w ");
        assert_int_equal(store_list_conversations(f->store, true, see_conversation, &live), 0);
        assert_string_equal(live.text, "z y w ");
        assert_int_equal(store_list_conversations(f->store, false, see_conversation, &stopped), 7);

        /* The newest first; y is not delivered. */
        row.id = (char *) "w";
        assert_int_equal(store_put_conversation(f->store, &row), 0);
        assert_int_equal(store_list_ended(f->store, 9, see_conversation, &ended), 0);
        assert_string_equal(ended.text, "w x ");
        assert_int_equal(store_list_ended(f->store, 1, see_conversation, &newest), 0);
        assert_string_equal(newest.text, "w ");
}

static void test_run_row_round_trip(void **state) {
        Fixture *f = *state;
        RunRow in = {
                .conversation = (char *) "c-1",
                .run = 2,
                .run_id = "0123456789abcdef",
                .state = RUN_LIVE,
                .unit = (char *) "u.scope",
                .invocation = (char *) "abc",
                .spec = (char *) "{\"v\":1}",
                .driven = 100,
                .driven_state = (char *) "{\"p\":1}",
                .acked = 50,
                .acked_state = (char *) "{\"p\":0}",
                .acked_own = 3,
                .out_bytes = UINT64_MAX,
                .started_usec = 4,
                .ended_usec = 0,
        };
        RunRow out = {};

        open_store(f);
        assert_int_equal(store_put_run(f->store, &in), 0);
        assert_int_equal(store_get_run(f->store, "c-1", 1, &out), 0);
        assert_int_equal(store_get_run(f->store, "c-1", 2, &out), 1);
        assert_string_equal(out.conversation, "c-1");
        assert_int_equal(out.run, 2);
        assert_string_equal(out.run_id, in.run_id);
        assert_int_equal(out.state, in.state);
        assert_string_equal(out.unit, in.unit);
        assert_string_equal(out.invocation, in.invocation);
        assert_string_equal(out.spec, in.spec);
        assert_int_equal(out.driven, 100);
        assert_string_equal(out.driven_state, in.driven_state);
        assert_int_equal(out.acked, 50);
        assert_string_equal(out.acked_state, in.acked_state);
        assert_int_equal(out.acked_own, 3);
        assert_true(out.out_bytes == UINT64_MAX);
        assert_int_equal(out.started_usec, 4);
        assert_false(out.delivered);
        run_row_done(&out);

        assert_int_equal(store_set_driven(f->store, "c-1", 2, 300, "{\"p\":2}"), 0);
        assert_int_equal(store_set_acked(f->store, "c-1", 2, 200, 9, NULL, true), 0);
        assert_int_equal(store_set_acked(f->store, "c-1", 3, 200, 9, NULL, true), -ENOENT);
        assert_int_equal(store_count_conclusion_crash(f->store, "c-1", 2), 0);
        assert_int_equal(store_count_conclusion_crash(f->store, "c-1", 2), 0);
        assert_int_equal(store_count_conclusion_crash(f->store, "c-1", 3), -ENOENT);
        /* To put the row again changes nothing about that: whoever has the row has it as it was once. */
        in.state = RUN_ENDED;
        assert_int_equal(store_put_run(f->store, &in), 0);
        reopen_store(f);
        assert_int_equal(store_get_run(f->store, "c-1", 2, &out), 1);
        assert_int_equal(out.driven, 300);
        assert_string_equal(out.driven_state, "{\"p\":2}");
        assert_int_equal(out.acked, 200);
        assert_null(out.acked_state);
        assert_int_equal(out.acked_own, 9);
        assert_true(out.delivered);
        assert_int_equal(out.conclusion_crashes, 2);
        assert_int_equal(out.state, RUN_ENDED);
        assert_string_equal(out.spec, in.spec);
        run_row_done(&out);
}

static int count_input(uint64_t offset, const void *data, size_t size, void *userdata) {
        ++*(int *) userdata;
        return 0;
}

static void test_delete_conversation_takes_all(void **state) {
        Fixture *f = *state;
        ConversationRow row, out = {};
        InboundMessage m = message("m-1", "c-1"), response = {};
        RunRow run = {};
        OwnEvent event = {};
        uint64_t total;
        int lines = 0;
        static const char *const keys[] = { "stop:c-1:1", "limits:c-1:1", "runtime:c-1:12" },
                                 *const others[] = { "stop:c-1.a:1", "stop:c-12:1", "stop:c-2:1", "c-1:1" };

        open_store(f);
        const char *ids[] = { "c-1", "c-2" };
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                assert_int_equal(store_set(f->store, keys[i], "x"), 0);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                assert_int_equal(store_set(f->store, others[i], "x"), 0);
        for (size_t i = 0; i < 2; i++) {
                row = conversation(ids[i]);
                assert_int_equal(store_put_conversation(f->store, &row), 0);
                put_run(f->store, ids[i], 1);
                assert_int_equal(store_render(f->store, ids[i], 1, "x\n", 2, 0, NULL), 0);
                assert_int_equal(add_own_event(f->store, ids[i], 1, 0, NULL, "m", "", NULL), 0);
        }
        m.request_id = (char *) "1";
        m.response = (char *) "\"late\"";
        assert_int_equal(store_accept(f->store, &m, NULL, false, NULL), 1);
        (void) accept_message(f->store, "m-2", "c-2");
        assert_int_equal(add_own_event(f->store, "", 0, 0, NULL, "m", "", NULL), 0);

        assert_int_equal(store_delete_conversation(f->store, ""), -EINVAL);
        assert_int_equal(store_delete_conversation(f->store, "c-1"), 0);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_free_ char *value = NULL;
                assert_int_equal(store_get(f->store, keys[i], &value), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                _cleanup_free_ char *value = NULL;
                assert_int_equal(store_get(f->store, others[i], &value), 1);
        }
        assert_int_equal(store_get_conversation(f->store, "c-1", &out), 0);
        assert_int_equal(store_get_run(f->store, "c-1", 1, &run), 0);
        assert_int_equal(store_unwritten_input(f->store, "c-1", 1, count_input, &lines), 0);
        assert_int_equal(lines, 0);
        assert_int_equal(store_input_size(f->store, "c-1", 1, &total, NULL), 0);
        assert_int_equal(total, 0);
        assert_int_equal(store_next_own_event(f->store, "c-1", 1, 0, &event), 0);
        assert_int_equal(store_count_pending(f->store, "c-1"), 0);
        assert_int_equal(store_count_pending(f->store, NULL), 1);
        /* A late duplicate stays one, and its answer is still sent. */
        assert_int_equal(store_is_accepted(f->store, "m-1"), 1);
        assert_int_equal(store_next_response(f->store, 0, &response), 1);
        inbound_message_done(&response);

        assert_int_equal(store_get_conversation(f->store, "c-2", &out), 1);
        conversation_row_done(&out);
        assert_int_equal(store_next_own_event(f->store, "c-2", 1, 0, &event), 1);
        own_event_done(&event);
        assert_int_equal(store_next_own_event(f->store, "", 0, 0, &event), 1);
        own_event_done(&event);
        assert_int_equal(store_unwritten_input(f->store, "c-2", 1, count_input, &lines), 0);
        assert_int_equal(lines, 1);
}

/* ---- input ---- */

typedef struct Input {
        Buffer text;
        uint64_t first;
        int n;
} Input;

static int collect_input(uint64_t offset, const void *data, size_t size, void *userdata) {
        Input *i = userdata;

        if (i->n++ == 0)
                i->first = offset;
        assert_int_equal(offset, i->first + i->text.size);
        assert_int_equal(buffer_append(&i->text, data, size), 0);
        return 0;
}

static void expect_input(Store *s, uint64_t first, const char *text, int n) {
        Input i = {};

        assert_int_equal(buffer_append_str(&i.text, ""), 0);
        assert_int_equal(store_unwritten_input(s, "c-1", 1, collect_input, &i), 0);
        assert_int_equal(i.n, n);
        if (n > 0)
                assert_int_equal(i.first, first);
        assert_string_equal(i.text.data, text);
        buffer_done(&i.text);
}

static void expect_size(Store *s, uint64_t total, uint64_t written) {
        uint64_t a = 77, b = 77;

        assert_int_equal(store_input_size(s, "c-1", 1, &a, &b), 0);
        assert_int_equal(a, total);
        assert_int_equal(b, written);
}

static void test_render_offsets(void **state) {
        Fixture *f = *state;
        uint64_t offset = 77;
        int64_t seq;

        open_store(f);
        expect_size(f->store, 0, 0);
        seq = accept_message(f->store, "m-1", "c-1");
        assert_int_equal(store_render(f->store, "c-1", 1, "begin\n", 6, 0, &offset), 0);
        assert_int_equal(offset, 0);
        assert_int_equal(store_render(f->store, "c-1", 1, "hi\n", 3, seq, &offset), 0);
        assert_int_equal(offset, 6);
        assert_int_equal(store_count_pending(f->store, "c-1"), 0);
        /* Another run has its own file. */
        assert_int_equal(store_render(f->store, "c-1", 2, "two\n", 4, 0, &offset), 0);
        assert_int_equal(offset, 0);
        assert_int_equal(store_render(f->store, "c-1", 1, "", 0, 0, &offset), 0);
        assert_int_equal(offset, 9);
        assert_int_equal(store_render(f->store, "c-1", 1, "bye\n", 4, 0, &offset), 0);
        assert_int_equal(offset, 9);
        reopen_store(f);
        expect_size(f->store, 13, 0);
        expect_input(f->store, 0, "begin\nhi\nbye\n", 3);
}

static void test_written_input_is_dropped(void **state) {
        Fixture *f = *state;
        uint64_t offset;

        open_store(f);
        assert_int_equal(store_render(f->store, "c-1", 1, "one\n", 4, 0, NULL), 0);
        assert_int_equal(store_render(f->store, "c-1", 1, "two\n", 4, 0, NULL), 0);
        assert_int_equal(store_render(f->store, "c-1", 1, "three\n", 6, 0, NULL), 0);
        assert_int_equal(store_input_written(f->store, "c-1", 1, 4), 0);
        expect_size(f->store, 14, 4);
        expect_input(f->store, 4, "two\nthree\n", 2);
        /* Half a row: it stays, and would be written again at its place. */
        assert_int_equal(store_input_written(f->store, "c-1", 1, 10), 0);
        expect_size(f->store, 14, 8);
        expect_input(f->store, 8, "three\n", 1);
        assert_int_equal(store_input_written(f->store, "c-1", 1, 2), 0);
        expect_size(f->store, 14, 8);
        assert_int_equal(store_input_written(f->store, "c-1", 1, 15), -ERANGE);
        assert_int_equal(store_input_written(f->store, "c-1", 1, 14), 0);
        expect_size(f->store, 14, 14);
        expect_input(f->store, 0, "", 0);
        reopen_store(f);
        assert_int_equal(store_render(f->store, "c-1", 1, "x\n", 2, 0, &offset), 0);
        assert_int_equal(offset, 14);
        expect_size(f->store, 16, 14);
}

static void test_render_is_one_transaction(void **state) {
        Fixture *f = *state;

        open_store(f);
        assert_int_equal(store_render(f->store, "c-1", 1, "x\n", 2, 999, NULL), -ENOENT);
        expect_size(f->store, 0, 0);
        expect_input(f->store, 0, "", 0);
}

static void test_render_binary(void **state) {
        Fixture *f = *state;
        static const char data[] = { 'a', 0, '\xff', '\n' };
        Input i = {};

        open_store(f);
        assert_int_equal(store_render(f->store, "c-1", 1, data, sizeof(data), 0, NULL), 0);
        assert_int_equal(store_unwritten_input(f->store, "c-1", 1, collect_input, &i), 0);
        assert_int_equal(i.text.size, sizeof(data));
        assert_memory_equal(i.text.data, data, sizeof(data));
        buffer_done(&i.text);
}

/* ---- own events, events set aside ---- */

static void expect_event(Store *s, const char *conversation, unsigned run, int64_t *after, const char *id) {
        OwnEvent e = {};

        assert_int_equal(store_next_own_event(s, conversation, run, *after, &e), 1);
        assert_true(e.seq > *after);
        assert_string_equal(e.message_id, id);
        *after = e.seq;
        own_event_done(&e);
}

static void test_own_events(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *store_id = NULL, *third = NULL, *fourth = NULL;
        int64_t a, b, c, d, after = 0;
        OwnEvent e = {};

        open_store(f);
        put_run(f->store, "c-1", 1);
        assert_int_equal(store_get(f->store, "storeId", &store_id), 1);
        assert_int_equal(
                add_own_event(f->store, "c-1", 1, 7, "x:end", "conversation.ended", "\"a\":1", &a), 0);
        assert_int_equal(
                add_own_event(f->store, "c-1", 1, UINT64_MAX, NULL, "conversation.state", NULL, &b), 0);
        assert_int_equal(add_own_event(f->store, "", 0, 0, NULL, "error.report", "", &c), 0);
        assert_int_equal(add_own_event(f->store, "c-9", 4, 0, NULL, "error.report", "", &d), 0);
        assert_true(a < b && b < c && c < d);
        reopen_store(f);

        assert_int_equal(store_next_own_event(f->store, "c-1", 1, 0, &e), 1);
        assert_int_equal(e.seq, a);
        assert_int_equal(e.at_offset, 7);
        assert_string_equal(e.method, "conversation.ended");
        assert_string_equal(e.members, "\"a\":1");
        own_event_done(&e);
        assert_int_equal(store_next_own_event(f->store, "c-1", 1, a, &e), 1);
        assert_true(e.at_offset == UINT64_MAX);
        assert_string_equal(e.members, "");
        own_event_done(&e);

        expect_event(f->store, "c-1", 1, &after, "x:end");
        char second[64];
        (void) snprintf(second, sizeof(second), "0123456789abcdef:e%lld", (long long) b);
        expect_event(f->store, "c-1", 1, &after, second);
        assert_int_equal(store_next_own_event(f->store, "c-1", 1, after, &e), 0);
        assert_int_equal(store_next_own_event(f->store, "c-1", 2, 0, &e), 0);
        third = xasprintf("%s:e%lld", store_id, (long long) c);
        fourth = xasprintf("%s:e%lld", store_id, (long long) d);
        after = 0;
        expect_event(f->store, "", 0, &after, third);
        after = 0;
        expect_event(f->store, "c-9", 4, &after, fourth);
}

static void test_own_events_deleted_numbers_never_return(void **state) {
        Fixture *f = *state;
        int64_t a, b, c;
        OwnEvent e = {};

        open_store(f);
        assert_int_equal(add_own_event(f->store, "", 0, 0, NULL, "m", "", &a), 0);
        assert_int_equal(add_own_event(f->store, "", 0, 0, NULL, "m", "", &b), 0);
        assert_int_equal(store_delete_own_events(f->store, "", 0, a), 0);
        assert_int_equal(store_next_own_event(f->store, "", 0, 0, &e), 1);
        assert_int_equal(e.seq, b);
        own_event_done(&e);
        assert_int_equal(store_delete_own_events(f->store, "", 0, b), 0);
        assert_int_equal(store_next_own_event(f->store, "", 0, 0, &e), 0);
        reopen_store(f);
        assert_int_equal(add_own_event(f->store, "", 0, 0, NULL, "m", "", &c), 0);
        assert_true(c > b);
}

static void test_acked_events_stay_readable(void **state) {
        Fixture *f = *state;
        int64_t seq, after = 0;

        open_store(f);
        put_run(f->store, "c-1", 1);
        assert_int_equal(add_own_event(f->store, "c-1", 1, 0, "a", "m", "", &seq), 0);
        assert_int_equal(store_set_acked(f->store, "c-1", 1, 0, seq, "{}", true), 0);
        expect_event(f->store, "c-1", 1, &after, "a");
}

static int see_aside(const SetAside *e, void *userdata) {
        Seen *s = userdata;
        size_t n = strlen(s->text);

        if (s->n++ < 3)
                (void) snprintf(
                        s->text + n,
                        sizeof(s->text) - n,
                        "%s:%s:%s:%s ",
                        e->message_id,
                        strempty(e->conversation),
                        e->json,
                        strempty(e->why));
        assert_true(e->when_usec > 0);
        return 0;
}

static void test_set_aside(void **state) {
        Fixture *f = *state;
        Seen seen = {}, after = {};

        open_store(f);
        assert_int_equal(store_set_aside(f->store, "a", "c-1", "{}xx", 2, "HTTP 422"), 0);
        assert_int_equal(store_set_aside(f->store, "b", NULL, "[1]", 3, NULL), 0);
        assert_int_equal(store_count_set_aside(f->store), 2);
        reopen_store(f);
        assert_int_equal(store_list_set_aside(f->store, see_aside, &seen), 0);
        assert_string_equal(seen.text, "a:c-1:{}:HTTP 422 b::[1]: ");
        assert_int_equal(store_delete_set_aside(f->store, 1), 0);
        assert_int_equal(store_delete_set_aside(f->store, 1), -ENOENT);
        assert_int_equal(store_count_set_aside(f->store), 1);
        assert_int_equal(store_list_set_aside(f->store, see_aside, &after), 0);
        assert_string_equal(after.text, "b::[1]: ");
}

static void test_set_aside_is_bounded(void **state) {
        _cleanup_(transaction_done) Transaction t = {};
        Fixture *f = *state;
        Seen seen = {};
        char id[16];

        open_store(f);
        assert_int_equal(transaction_begin(f->store, &t), 0);
        for (int i = 1; i <= STORE_SET_ASIDE_MAX + 2; i++) {
                (void) snprintf(id, sizeof(id), "e%d", i);
                assert_int_equal(store_set_aside(f->store, id, NULL, "0", 1, NULL), 0);
        }
        assert_int_equal(transaction_finish(&t, 0), 0);
        assert_int_equal(store_list_set_aside(f->store, see_aside, &seen), 0);
        assert_int_equal(seen.n, STORE_SET_ASIDE_MAX);
        assert_true(startswith(seen.text, "e3:") != NULL);
}

/* ---- queries that must not grow with the store ---- */

static void test_indices_are_used(void **state) {
        static const char *const queries[] = {
                "SELECT count(*) FROM inbound WHERE done = 0",
                "SELECT count(*) FROM inbound WHERE conversation = 'x' AND done = 0",
                "SELECT seq FROM inbound m WHERE done = 0 ORDER BY seq",
                "SELECT seq FROM inbound m WHERE conversation = 'x' AND done = 0 ORDER BY seq",
                "SELECT id FROM conversations WHERE state <> 'ended' OR delivered = 0 ORDER BY seq",
                "SELECT seq FROM own_events WHERE conversation = 'x' AND run = 1 AND seq > 5 ORDER BY seq LIMIT 1",
                "UPDATE inbound SET done = 1 WHERE conversation = 'x'",
        };
        Fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/store.db", f->path);
        sqlite3 *db;

        open_store(f);
        f->store = store_close(f->store);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        for (size_t i = 0; i < ELEMENTSOF(queries); i++) {
                _cleanup_free_ char *sql = xasprintf("EXPLAIN QUERY PLAN %s", queries[i]);
                sqlite3_stmt *stmt;
                bool index = false;

                assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
                while (sqlite3_step(stmt) == SQLITE_ROW) {
                        const char *detail = (const char *) sqlite3_column_text(stmt, 3);

                        if (strstr(detail, "TEMP B-TREE") ||
                            (startswith(detail, "SCAN") && !strstr(detail, "INDEX")))
                                fail_msg("%s: %s", queries[i], detail);
                        index = index || strstr(detail, "INDEX");
                }
                assert_true(index);
                (void) sqlite3_finalize(stmt);
        }
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_conversation_row_round_trip),
                CASE(test_parameters_that_are_not_at_hand_stay_as_they_are),
                CASE(test_list_conversations),
                CASE(test_run_row_round_trip),
                CASE(test_delete_conversation_takes_all),
                CASE(test_render_offsets),
                CASE(test_written_input_is_dropped),
                CASE(test_render_is_one_transaction),
                CASE(test_render_binary),
                CASE(test_own_events),
                CASE(test_own_events_deleted_numbers_never_return),
                CASE(test_acked_events_stay_readable),
                CASE(test_set_aside),
                CASE(test_set_aside_is_bounded),
                CASE(test_indices_are_used),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
