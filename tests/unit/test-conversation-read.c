/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/conversation/conversation-adopt.h"
#include "runner/conversation/conversation-describe.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-life.h"
#include "runner/conversation/event-cut.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"
#include "tests/unit/own-event.h"

/* ReadEvents() and ReadEvent() of a conversation with a store and an output: whatever is in the cache, the events are the same,
 * whole and in order, and no reply is larger than its bound. */

typedef struct Place {
        char path[64];
        int fd;
        RunnerConfig config;
        ConversationContext ctx;
        Conversation *c;
        Buffer out;
} Place;

/* A line that makes so many events; two of many are ten times as long as the others. */
static void assistant(Buffer *b, unsigned blocks, size_t size) {
        (void) buffer_append_str(
                b, "{\"type\":\"assistant\",\"session_id\":\"s\",\"message\":{\"id\":\"m\",\"content\":[");
        for (unsigned i = 0; i < blocks; i++) {
                (void) buffer_printf(b, "%s{\"type\":\"text\",\"text\":\"%u \xc3\xa4 ", i > 0 ? "," : "", i);
                for (size_t k = 0; k < (i == 200 || i == 201 ? 10 * size : size); k++)
                        (void) buffer_append(b, "y", 1);
                (void) buffer_append_str(b, "\"}");
        }
        assert_return_code(buffer_append_str(b, "]}}\n"), 0);
}

static int setup(void **state) {
        _cleanup_free_ char *error = NULL;
        Place *p = new0(Place, 1);

        assert_non_null(p);
        (void) snprintf(p->path, sizeof(p->path), "/tmp/nf-read-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->fd >= 0);
        assert_return_code(mkdirat(p->fd, "c", 0700), errno);
        assert_return_code(mkdirat(p->fd, "c/1", 0700), errno);
        assert_return_code(store_open(p->fd, p->path, &p->ctx.run.store, &error), 0);
        assert_return_code(sd_event_new(&p->ctx.run.event), 0);
        p->ctx.run.conversations_fd = p->fd;
        p->ctx.run.config = &p->config;
        *state = p;
        return 0;
}

/* What was written into p->out is the output of the conversation's run. */
static void begin(Place *p) {
        ConversationRow row = {
                .id = strdup("c"),
                .workspace = strdup("w"),
                .agent = strdup("claude"),
                .origin = strdup("local"),
                .params = strdup("{}"),
                .state = CONVERSATION_LIVE,
                .run = 1,
                .created_usec = 1,
        };
        RunRow run = {
                .conversation = (char *) "c",
                .run = 1,
                .run_id = "0123456789abcdef",
                .state = RUN_ENDED,
                .spec = (char *) "{}",
                .out_bytes = p->out.size,
        };

        int folder = openat(p->fd, "c/1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(folder >= 0);
        assert_return_code(write_file_atomic_at(folder, "out.log", p->out.data, p->out.size, 0600), 0);
        safe_close(folder);
        assert_return_code(store_put_conversation(p->ctx.run.store, &row), 0);
        assert_return_code(store_put_run(p->ctx.run.store, &run), 0);
        assert_return_code(conversation_new(&p->ctx, &row, &p->c), 0);
}

static int teardown(void **state) {
        Place *p = *state;

        conversation_free(p->c);
        event_cache_free(p->ctx.event_cache);
        store_close(p->ctx.run.store);
        sd_event_unref(p->ctx.run.event);
        buffer_done(&p->out);
        safe_close(p->fd);
        (void) remove_tree_at(AT_FDCWD, p->path);
        free(p);
        return 0;
}

static char *cursor_of(const char *event) {
        char *cursor = NULL;
        Slice v;

        if (json_scan_path((Slice){ event, strlen(event) }, &v, "params", "cut", "cursor", NULL))
                assert_return_code(json_scan_string(v, &cursor, NULL), 0);
        return cursor;
}

/* All of it in pieces; forget: nothing stays in the cache between two. */
static char *pieces(Place *p, const char *cursor, bool forget) {
        Buffer b = {};
        uint64_t size;

        do {
                _cleanup_free_ char *piece = NULL;

                if (forget)
                        event_cache_drop(p->ctx.event_cache, NULL);
                assert_return_code(conversation_read_event(p->c, cursor, b.size, &piece, &size), 0);
                assert_in_range(strlen(piece), 1, EVENT_PIECE_MAX);
                assert_return_code(buffer_append_str(&b, piece), 0);
        } while (b.size < size);
        assert_int_equal(b.size, size);
        return buffer_steal(&b);
}

/* The events from the beginning, one a line, those that are cut put together. */
static char *all(Place *p, unsigned max, bool forget) {
        _cleanup_free_ char *cursor = strdup("");
        Buffer b = {};

        for (;;) {
                _cleanup_strv_free_ char **events = NULL;
                char *next = NULL;
                size_t bytes = 0;

                if (forget)
                        event_cache_drop(p->ctx.event_cache, NULL);
                assert_return_code(conversation_read_events(p->c, cursor, max, &events, &next), 0);
                free(cursor);
                cursor = next;
                if (!*events)
                        break;
                assert_in_range(strv_length(events), 1, max);
                STRV_FOREACH(e, events) {
                        _cleanup_free_ char *at = cursor_of(*e), *whole = at ? pieces(p, at, forget) : NULL;

                        /* It is the last one of its list. */
                        assert_true(!at || !e[1]);
                        bytes += at ? 0 : strlen(*e);
                        assert_in_range(strlen(*e), 1, at ? 2 * EVENT_INLINE_MAX + 512 : EVENT_INLINE_MAX);
                        assert_true(!whole || strlen(whole) > EVENT_INLINE_MAX);
                        (void) buffer_append_str(&b, whole ? whole : *e);
                        assert_return_code(buffer_append_str(&b, "\n"), 0);
                }
                assert_in_range(bytes, 0, EVENT_LIST_MAX);
        }
        return buffer_steal(&b);
}

static unsigned count(const char *text, const char *what) {
        unsigned n = 0;

        for (const char *s = text; (s = strstr(s, what)); s += strlen(what))
                n++;
        return n;
}

static void test_a_line_of_many_events_is_read_in_several_lists(void **state) {
        static const unsigned maxima[] = { 1000, 7, 1 };
        _cleanup_free_ char *first = NULL;
        Place *p = *state;

        assistant(&p->out, 1, 10);
        assistant(&p->out, 300, 10000);
        assistant(&p->out, 2, 10);
        begin(p);
        for (size_t i = 0; i < ELEMENTSOF(maxima); i++)
                for (int forget = 0; forget < (maxima[i] > 1 ? 2 : 1); forget++) {
                        _cleanup_free_ char *text = all(p, maxima[i], forget);

                        assert_int_equal(count(text, "\"text\":"), 303);
                        assert_int_equal(count(text, "\"messageId\":"), count(text, "\n"));
                        if (!first)
                                first = TAKE_PTR(text);
                        else
                                assert_string_equal(text, first);
                }
}

static void test_an_event_at_the_bound_and_one_byte_past_it(void **state) {
        _cleanup_free_ char *text = NULL, *again = NULL, *small = NULL, *cursor = NULL;
        _cleanup_strv_free_ char **events = NULL;
        Place *p = *state;
        size_t n;

        /* How much there is around a text: the line at the same offset, but short. */
        assistant(&p->out, 1, 0);
        begin(p);
        small = all(p, 1, false);
        n = EVENT_INLINE_MAX - (strlen(small) - 1);
        conversation_free(TAKE_PTR(p->c));
        buffer_clear(&p->out, 0);
        assistant(&p->out, 1, n);
        assert_int_equal(count(small, "\n"), 1);
        begin(p);
        assert_return_code(conversation_read_events(p->c, "", 10, &events, &cursor), 0);
        assert_int_equal(strlen(events[0]), EVENT_INLINE_MAX);
        assert_null(cursor_of(events[0]));

        conversation_free(TAKE_PTR(p->c));
        buffer_clear(&p->out, 0);
        assistant(&p->out, 1, n + 1);
        begin(p);
        events = strv_free(events);
        free(TAKE_PTR(cursor));
        assert_return_code(conversation_read_events(p->c, "", 10, &events, &cursor), 0);
        assert_non_null(
                strstr(events[0], "\"cut\":{\"type\":\"message\",\"cursor\":\"1:0:0\",\"size\":65537,"));
        text = all(p, 10, false);
        again = all(p, 10, true);
        assert_int_equal(strlen(text), EVENT_INLINE_MAX + 2);
        assert_string_equal(text, again);
}

static void test_a_long_event_of_the_runners_own(void **state) {
        _cleanup_free_ char *members = NULL, *text = NULL, *again = NULL;
        _cleanup_buffer_ Buffer b = {};
        Place *p = *state;
        int64_t seq;

        assistant(&p->out, 1, 100);
        begin(p);
        (void) buffer_append_str(&b, "\"text\":\"");
        for (unsigned i = 0; i < 400000; i++)
                (void) buffer_append_str(&b, "\xe2\x82\xac");
        (void) buffer_append_str(&b, "\"");
        members = buffer_steal(&b);
        assert_non_null(members);
        assert_return_code(
                add_own_event(p->ctx.run.store, "c", 1, 0, NULL, "conversation.ended", members, &seq), 0);
        text = all(p, 10, false);
        again = all(p, 10, true);
        assert_string_equal(text, again);
        assert_int_equal(count(text, "\n"), 2);
        assert_non_null(strstr(text, members));
}

static void test_what_is_no_cursor(void **state) {
        static const char *const bad[] = {
                "1", "1:2", "0:0:0", "2:0:0", "1:0:-1", "1:0:0+", "1:0:0+x", "1:0:0+1x", "1:0:0 ", "x",
        };
        _cleanup_strv_free_ char **events = NULL;
        _cleanup_free_ char *next = NULL, *piece = NULL;
        Place *p = *state;
        uint64_t size;

        assistant(&p->out, 1, 100);
        begin(p);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(conversation_read_events(p->c, bad[i], 1, &events, &next), -EINVAL);
                assert_int_equal(conversation_read_event(p->c, bad[i], 0, &piece, &size), -EINVAL);
        }
        assert_int_equal(conversation_read_event(p->c, "1:0:0+1", 0, &piece, &size), -ENOENT);
        assert_return_code(conversation_read_event(p->c, "1:0:0", 0, &piece, &size), 0);
        assert_int_equal(conversation_read_event(p->c, "1:0:0", size + 1, &next, &size), -ERANGE);
}

static char *nested(unsigned depth) {
        Buffer b = {};

        for (unsigned i = 0; i < depth; i++)
                (void) buffer_append_str(&b, "[");
        for (unsigned i = 0; i < depth; i++)
                (void) buffer_append_str(&b, "]");
        return buffer_steal(&b);
}

static Json *described(Place *p) {
        _cleanup_free_ char *text = NULL;
        Json *o = NULL;

        assert_return_code(conversation_describe(p->c, &text), 0);
        assert_in_range(strlen(text), 1, DESCRIPTION_MAX);
        assert_return_code(json_parse(text, strlen(text), &o, NULL), 0);
        return o;
}

static void test_a_member_of_a_description_at_the_bound_and_one_byte_past_it(void **state) {
        Place *p = *state;

        assistant(&p->out, 1, 100);
        begin(p);
        for (size_t past = 0; past < 2; past++) {
                /* With its quotes. */
                size_t size = DESCRIPTION_MEMBER_MAX - 2 + past;
                _cleanup_json_ Json *o = NULL;
                uint64_t told = 0;

                free(p->c->row.directory);
                p->c->row.directory = new0(char, size + 1);
                assert_non_null(p->c->row.directory);
                memset(p->c->row.directory, 'd', size);
                free(p->c->row.detail);
                /* A reader of ours goes 64 levels deep, some of which are the description's. */
                p->c->row.detail = nested(JSON_DEPTH_MAX - 16 + (unsigned) past);
                o = described(p);
                Json *cut = json_get(o, "cut");
                if (past == 0) {
                        assert_null(cut);
                        assert_string_equal(json_get_string(o, "directory"), p->c->row.directory);
                        assert_non_null(json_get(o, "result"));
                        continue;
                }
                assert_null(json_get(o, "directory"));
                assert_null(json_get(o, "result"));
                assert_true(json_get_u64(json_get(cut, "directory"), "size", &told) > 0);
                assert_int_equal(told, size + 2);
                assert_int_equal(
                        strlen(json_get_string(json_get(cut, "directory"), "begins")),
                        DESCRIPTION_MEMBER_MAX);
                assert_string_equal(json_get_string(json_get(cut, "result"), "begins"), p->c->row.detail);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_a_line_of_many_events_is_read_in_several_lists, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_an_event_at_the_bound_and_one_byte_past_it, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_long_event_of_the_runners_own, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_is_no_cursor, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_member_of_a_description_at_the_bound_and_one_byte_past_it, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
