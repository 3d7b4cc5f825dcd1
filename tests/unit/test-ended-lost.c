/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "ended-place.h"
#include "runner/conversation/conversation-life.h"
#include "runner/conversation/conversation-stream.h"
#include "runner/link/sender.h"
#include "runner/run/run-internal.h"
#include "runner/store/store-events.h"
#include "tests/unit/own-event.h"

/* Conversations that have ended, and of whose output there is less than the store knows of: after a loss of power the store is
 * whole, and the output is not. Or it is there, and what the store has to read it by is not. Whoever reads them comes to their
 * end. */

#define RUN_ID "00000000000000aa"
#define END "\"messageId\":\"" RUN_ID ":end\""

typedef struct Place {
        EndedPlace base;
        int outfd;
        Conversation *c;
        Buffer received;
        uint64_t begin[8], size;  /* of the lines of its output */
        const char *agent, *spec; /* NULL: "shell", "{}" */
} Place;

static bool no_memory;

int __real_free_and_strdup(char **p, const char *s);
int __wrap_free_and_strdup(char **p, const char *s);
int __wrap_free_and_strdup(char **p, const char *s) {
        return no_memory ? -ENOMEM : __real_free_and_strdup(p, s);
}

static void on_request(TestRequest *r, void *userdata) {
        Place *p = userdata;

        assert_return_code(buffer_append_str(&p->received, r->body), 0);
        test_reply(r, 204, NULL, NULL);
}

static void on_store_failed(int error, void *userdata) {
        fail_msg("the store failed: %s", strerror(-error));
}

static const ConversationHooks hooks = {
        .changed = ended_place_ignore,
        .events_available = ended_place_ignore,
        .acked = ended_place_ignore,
        .delivered = ended_place_ignore,
        .store_failed = on_store_failed,
};

static int setup(void **state) {
        Place *p = new0(Place, 1);

        assert_non_null(p);
        ended_place_open(&p->base, on_request, &hooks, p);
        assert_return_code(mkdirat(p->base.fd, "c-1", 0700), errno);
        assert_return_code(mkdirat(p->base.fd, "c-1/1", 0700), errno);
        p->outfd = openat(p->base.fd, "c-1/1/out.log", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(p->outfd >= 0);
        sender_set_enabled(p->base.ctx.sender, true);
        *state = p;
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;

        conversation_free(p->c);
        ended_place_close(&p->base);
        buffer_done(&p->received);
        safe_close(p->outfd);
        free(p);
        return 0;
}

/* What the shell agent says. */
static void write_lines(Place *p, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                _cleanup_free_ char *line = xasprintf(
                        "{\"type\":\"output\",\"stream\":\"stdout\",\"text\":\"line %u.\"}\n", i);

                p->begin[i] = p->size;
                assert_return_code(pwrite_all(p->outfd, line, strlen(line), (off_t) p->size), 0);
                p->size += strlen(line);
        }
}

/* One that has ended behind all of its lines, as the store has it after a restart. */
static void add(Place *p, unsigned lines) {
        _cleanup_free_ char *state = ended_place_state("shell", lines);
        ConversationRow row = {
                .id = strdup("c-1"),
                .workspace = strdup("w"),
                .agent = strdup(p->agent ? p->agent : "shell"),
                .origin = strdup("orchestrator"),
                .params = strdup("{}"),
                .state = CONVERSATION_ENDED,
                .reason = END_LOST,
                .run = 1,
                .created_usec = 1,
                .ended_usec = 2,
        };
        const RunRow run = {
                .conversation = (char *) "c-1",
                .run = 1,
                .run_id = RUN_ID,
                .state = RUN_ENDED,
                .unit = (char *) "northflare-conversation-c-1-1.scope",
                .spec = (char *) (p->spec ? p->spec : "{}"),
                .driven = p->size,
                .driven_state = state,
                .out_bytes = p->size,
        };

        p->c = ended_place_add(&p->base, &row, &run, RUN_ID ":end", "\"reason\":\"lost\"");
        /* As adoption does it. */
        assert_return_code(conversation_take_all(p->c), 0);
        conversation_rest(p->c);
}

static unsigned count(const char *text, const char *what) {
        unsigned n = 0;

        for (const char *at = text; at && (at = strstr(at, what)); at += strlen(what))
                n++;
        return n;
}

static void assert_events(const char *text, unsigned from, unsigned to, unsigned ends) {
        for (unsigned i = 0; i < 8; i++) {
                char line[16];

                (void) snprintf(line, sizeof(line), "line %u.", i);
                assert_int_equal(count(text, line), i >= from && i < to);
        }
        assert_int_equal(count(text, END), ends);
}

static void deliver(Place *p) {
        assert_return_code(conversation_send_open(p->c), 0);
        while (!p->c->row.delivered)
                if (sd_event_run(p->base.ctx.run.event, 4 * USEC_PER_SEC) == 0)
                        fail_msg("nothing goes on, and not all is delivered");
        assert_int_equal(conversation_queued_events(p->c), 0);
}

/* The same by ReadEvents. */
static char *read_events(Place *p, const char *cursor, char **ret_cursor) {
        _cleanup_strv_free_ char **events = NULL;
        _cleanup_free_ char *next = NULL;
        Buffer b = {};

        assert_return_code(conversation_read_events(p->c, cursor, 100, &events, &next), 0);
        assert_return_code(buffer_append_str(&b, ""), 0);
        STRV_FOREACH(e, events)
                assert_return_code(buffer_append_str(&b, *e), 0);
        if (ret_cursor)
                *ret_cursor = TAKE_PTR(next);
        return buffer_steal(&b);
}

static char *cursor_at(uint64_t offset) {
        return xasprintf("1:%llu:0", (unsigned long long) offset);
}

static void test_all_is_there(void **state) {
        Place *p = *state;
        _cleanup_free_ char *people = NULL;

        write_lines(p, 4);
        add(p, 4);
        people = read_events(p, "", NULL);
        assert_events(people, 0, 4, 1);
        deliver(p);
        assert_events(p->received.data, 0, 4, 1);
}

/* In the middle of a line, between two, and all of it. */
static void cut(Place *p, uint64_t size, unsigned whole) {
        _cleanup_free_ char *people = NULL, *rest = NULL, *none = NULL, *end = NULL;

        write_lines(p, 4);
        add(p, 4);
        assert_return_code(ftruncate(p->outfd, (off_t) size), errno);
        people = read_events(p, "", &end);
        assert_events(people, 0, whole, 1);
        none = read_events(p, end, NULL);
        assert_events(none, 0, 0, 0);
        if (whole > 1) {
                _cleanup_free_ char *cursor = cursor_at(p->begin[1]);

                rest = read_events(p, cursor, NULL);
                assert_events(rest, 1, whole, 1);
        }
        deliver(p);
        assert_events(p->received.data, 0, whole, 1);
}

static void test_cut_in_a_line(void **state) {
        Place *p = *state;

        cut(p, 200, 3);
        assert_in_range(200, p->begin[3] + 1, p->size - 2);
}

static void test_cut_between_lines(void **state) {
        cut(*state, 106, 2);
        assert_int_equal(((Place *) *state)->begin[2], 106);
}

static void test_empty(void **state) {
        cut(*state, 0, 0);
}

/* Some of it had been acknowledged before. */
static void test_cut_behind_what_was_acknowledged(void **state) {
        Place *p = *state;
        _cleanup_free_ char *acked = ended_place_state("shell", 2);

        write_lines(p, 4);
        add(p, 4);
        assert_return_code(
                store_set_acked(p->base.ctx.run.store, "c-1", 1, p->begin[2], 0, acked, false), 0);
        assert_return_code(ftruncate(p->outfd, (off_t) p->begin[3] + 5), errno);
        deliver(p);
        assert_events(p->received.data, 2, 3, 1);
}

static void test_cut_before_what_was_acknowledged(void **state) {
        Place *p = *state;
        _cleanup_free_ char *acked = ended_place_state("shell", 2);

        write_lines(p, 4);
        add(p, 4);
        assert_return_code(
                store_set_acked(p->base.ctx.run.store, "c-1", 1, p->begin[2], 0, acked, false), 0);
        assert_return_code(ftruncate(p->outfd, (off_t) p->begin[1] + 5), errno);
        deliver(p);
        assert_events(p->received.data, 0, 0, 1);
}

/* The size is there, what was written is not. */
static void test_zeros(void **state) {
        Place *p = *state;
        _cleanup_free_ char *people = NULL, *last = NULL, *end = NULL;

        write_lines(p, 4);
        add(p, 4);
        assert_return_code(ftruncate(p->outfd, (off_t) p->begin[2]), errno);
        assert_return_code(ftruncate(p->outfd, (off_t) p->size), errno);
        people = read_events(p, "", NULL);
        assert_events(people, 0, 2, 1);
        /* Its end is a place, though no line ends there now. */
        last = cursor_at(p->size);
        end = read_events(p, last, NULL);
        assert_events(end, 0, 0, 1);
        deliver(p);
        assert_events(p->received.data, 0, 2, 1);
}

/* What comes behind an event of the runner's own is read where it stands. */
static void test_a_hole(void **state) {
        static const char nothing[64];
        Place *p = *state;
        _cleanup_free_ char *people = NULL;
        int64_t seq;

        write_lines(p, 4);
        assert_return_code(
                add_own_event(
                        p->base.ctx.run.store,
                        "c-1",
                        1,
                        p->begin[3],
                        NULL,
                        "conversation.state",
                        "\"state\":\"idle\"",
                        &seq),
                0);
        add(p, 4);
        assert_return_code(
                pwrite_all(p->outfd, nothing, (size_t) (p->begin[3] - p->begin[2]), (off_t) p->begin[2]), 0);
        people = read_events(p, "", NULL);
        assert_int_equal(count(people, "line 3."), 1);
        deliver(p);
        assert_int_equal(count(p->received.data, "line 3."), 1);
        assert_int_equal(count(p->received.data, "line 2."), 0);
        assert_int_equal(count(p->received.data, "\"state\":\"idle\""), 1);
        assert_int_equal(count(p->received.data, END), 1);
}

/* Whoever has read further than there is goes on behind it; what is no place is none. */
static void test_cursors_behind_the_cut(void **state) {
        Place *p = *state;
        _cleanup_free_ char *lost = NULL, *last = NULL, *inside = NULL, *behind = NULL, *a = NULL, *b = NULL;
        char **events = NULL, *next = NULL;

        write_lines(p, 4);
        add(p, 4);
        lost = cursor_at(p->begin[3]);
        last = cursor_at(p->size);
        inside = cursor_at(p->begin[1] + 1);
        behind = cursor_at(p->size + 1);
        assert_int_equal(conversation_read_events(p->c, behind, 1, &events, &next), -EINVAL);
        assert_return_code(ftruncate(p->outfd, (off_t) p->begin[2] + 5), errno);
        a = read_events(p, lost, NULL);
        assert_events(a, 0, 0, 1);
        b = read_events(p, last, NULL);
        assert_events(b, 0, 0, 1);
        assert_int_equal(conversation_read_events(p->c, inside, 1, &events, &next), -EINVAL);
        assert_int_equal(conversation_read_events(p->c, behind, 1, &events, &next), -EINVAL);
        /* Nor is there less to say where it has gone altogether. */
        assert_return_code(unlinkat(p->base.fd, "c-1/1/out.log", 0), errno);
        conversation_read_rest(p->c);
        free(b);
        b = read_events(p, last, NULL);
        assert_events(b, 0, 0, 1);
}

static void test_a_stream_comes_to_its_end(void **state) {
        Place *p = *state;
        _cleanup_close_ int fd = -EBADF;
        char text[4096] = "";
        size_t n = 0;
        ssize_t k;

        write_lines(p, 4);
        add(p, 4);
        assert_return_code(ftruncate(p->outfd, (off_t) p->begin[2] + 5), errno);
        assert_return_code(conversation_open_events(p->c, "", &fd), 0);
        assert_null(p->c->streams);
        while ((k = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
                n += (size_t) k;
        assert_int_equal(k, 0);
        assert_events(text, 0, 2, 1);
}

/* What has not ended is waited for: it is on its way. */
static void test_one_that_lives_waits(void **state) {
        Place *p = *state;
        _cleanup_free_ char *people = NULL;

        write_lines(p, 4);
        add(p, 4);
        assert_return_code(conversation_take_all(p->c), 0);
        p->c->row.state = CONVERSATION_LIVE;
        p->c->run->row.state = RUN_LIVE;
        assert_return_code(ftruncate(p->outfd, (off_t) p->begin[2] + 5), errno);
        people = read_events(p, "", NULL);
        assert_events(people, 0, 2, 0);
}

/* When the next try is; 0: there is none, or it is due. */
static uint64_t again_at(Place *p) {
        uint64_t at = 0;

        if (p->c->send.again)
                assert_true(sd_event_source_get_time(p->c->send.again, &at) >= 0);
        return at;
}

/* Nobody can say what it meant, until its agent is in the configuration again. */
static void test_an_agent_that_is_not_known(void **state) {
        Place *p = *state;
        _cleanup_free_ char *people = NULL;

        p->agent = "gone";
        write_lines(p, 4);
        add(p, 4);
        people = read_events(p, "", NULL);
        assert_events(people, 0, 0, 1);
        assert_return_code(conversation_send_open(p->c), 0);
        RUN_UNTIL(p->base.ctx.run.event, again_at(p) > 0);
        assert_int_equal(p->received.size, 0);
        assert_true(p->c->send.rests);
        assert_return_code(json_parse("{\"protocol\":\"shell\"}", 20, &p->c->agent_config, NULL), 0);
        assert_true(sd_event_source_set_time(p->c->send.again, 0) >= 0);
        RUN_UNTIL(p->base.ctx.run.event, p->c->row.delivered);
        assert_events(p->received.data, 0, 4, 1);
}

/* It was ended because nobody knew: that stays, whatever is configured later. */
static void test_a_run_that_was_ended_since_its_agent_is_not_known(void **state) {
        Place *p = *state;

        p->agent = "gone";
        p->spec = "{\"protocol\":\"none\"}";
        write_lines(p, 4);
        add(p, 4);
        deliver(p);
        assert_events(p->received.data, 0, 0, 1);
}

static void test_an_agent_whose_protocol_is_known(void **state) {
        Place *p = *state;
        _cleanup_free_ char *people = NULL;

        p->agent = "gone";
        p->spec = "{\"protocol\":\"shell\"}";
        write_lines(p, 4);
        add(p, 4);
        people = read_events(p, "", NULL);
        assert_events(people, 0, 4, 1);
        deliver(p);
        assert_events(p->received.data, 0, 4, 1);
}

static void test_a_spec_that_cannot_be_read(void **state) {
        Place *p = *state;
        _cleanup_free_ char *people = NULL;

        p->spec = "{";
        write_lines(p, 4);
        add(p, 4);
        people = read_events(p, "", NULL);
        assert_events(people, 0, 4, 1);
        deliver(p);
        assert_events(p->received.data, 0, 4, 1);
}

/* It is made anew from the output. */
static void acked_by_another(Place *p, uint64_t size, unsigned whole) {
        static const char other[] = "{\"lines\":2,\"driver\":{}}";

        write_lines(p, 4);
        add(p, 4);
        assert_return_code(
                store_set_acked(p->base.ctx.run.store, "c-1", 1, p->begin[2], 0, other, false), 0);
        assert_return_code(ftruncate(p->outfd, (off_t) size), errno);
        deliver(p);
        assert_events(p->received.data, 2, whole, 1);
}

static void test_a_state_that_cannot_be_read(void **state) {
        acked_by_another(*state, 212, 4);
        assert_int_equal(((Place *) *state)->size, 212);
}

static void test_a_state_that_cannot_be_read_nor_made(void **state) {
        acked_by_another(*state, 60, 0);
}

/* ---- what cannot be read ---- */

/* Whoever reads on gets the next one, whatever there was no memory for: from where he says that he is. */
static void test_people_miss_nothing_without_memory(void **state) {
        Place *p = *state;
        char *cursor = strdup("");

        write_lines(p, 4);
        add(p, 4);
        for (unsigned i = 0, tries = 0; i < 4; tries++) {
                char line[16], **events = NULL, *next = NULL;
                int r;

                assert_in_range(tries, 0, 8);
                no_memory = i == 2 && tries == 2;
                r = conversation_read_events(p->c, cursor, 1, &events, &next);
                no_memory = false;
                if (r == -ENOMEM)
                        continue;
                assert_return_code(r, 0);
                assert_int_equal(strv_length(events), 1);
                (void) snprintf(line, sizeof(line), "line %u.", i++);
                assert_non_null(strstr(events[0], line));
                strv_free(events);
                free(cursor);
                cursor = next;
        }
        free(cursor);
}

/* It is tried again, in times that grow. */
static void test_what_cannot_be_read_is_tried_more_and_more_seldom(void **state) {
        static const unsigned secs[] = { 5, 10, 20, 40, 80, 160, 300, 300 };
        Place *p = *state;

        write_lines(p, 4);
        add(p, 4);
        assert_return_code(renameat(p->base.fd, "c-1/1/out.log", p->base.fd, "c-1/1/there"), errno);
        assert_return_code(symlinkat("there", p->base.fd, "c-1/1/out.log"), errno);
        for (size_t i = 0; i < ELEMENTSOF(secs); i++) {
                uint64_t from = now_usec(CLOCK_MONOTONIC);

                if (i == 0)
                        assert_return_code(conversation_send_open(p->c), 0);
                else
                        /* The time has come. */
                        assert_true(sd_event_source_set_time(p->c->send.again, 0) >= 0);
                RUN_UNTIL(p->base.ctx.run.event, again_at(p) > 0);
                /* Seen from before this try and from after it. */
                assert_in_range(again_at(p) - secs[i] * USEC_PER_SEC, from, now_usec(CLOCK_MONOTONIC));
                /* Nothing of it is held meanwhile. */
                assert_true(p->c->send.rests);
                assert_null(p->c->send.row.spec);
        }
        assert_return_code(renameat(p->base.fd, "c-1/1/there", p->base.fd, "c-1/1/out.log"), errno);
        assert_true(sd_event_source_set_time(p->c->send.again, 0) >= 0);
        while (!p->c->row.delivered)
                if (sd_event_run(p->base.ctx.run.event, 4 * USEC_PER_SEC) == 0)
                        fail_msg("nothing goes on, and not all is delivered");
        assert_events(p->received.data, 0, 4, 1);
        /* The next trouble is a new one. */
        assert_int_equal(p->c->send.again_usec, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(all_is_there),
                TEST(cut_in_a_line),
                TEST(cut_between_lines),
                TEST(empty),
                TEST(cut_behind_what_was_acknowledged),
                TEST(cut_before_what_was_acknowledged),
                TEST(zeros),
                TEST(a_hole),
                TEST(cursors_behind_the_cut),
                TEST(a_stream_comes_to_its_end),
                TEST(one_that_lives_waits),
                TEST(an_agent_that_is_not_known),
                TEST(a_run_that_was_ended_since_its_agent_is_not_known),
                TEST(an_agent_whose_protocol_is_known),
                TEST(a_spec_that_cannot_be_read),
                TEST(a_state_that_cannot_be_read),
                TEST(a_state_that_cannot_be_read_nor_made),
                TEST(people_miss_nothing_without_memory),
                TEST(what_cannot_be_read_is_tried_more_and_more_seldom),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
