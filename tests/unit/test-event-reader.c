/* SPDX-License-Identifier: MIT */
/* Events are made again from out.log and the store: the same ones, with the same ids, from every point that was saved.
 * The driver here is a small one of the test's own, so that its state shows in every event. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/conversation/event-reader.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"
#include "tests/unit/own-event.h"

/* ---- a driver whose events count: line "two" makes two events, "none" none, "ask" the end of a question ---- */

typedef struct Counter {
        Driver driver;
        uint64_t lines;
} Counter;

static const DriverOps counter_ops;

static int counter_new(Json *spec, Driver **ret) {
        Counter *c = new0(Counter, 1);

        c->driver.ops = &counter_ops;
        *ret = &c->driver;
        return 0;
}

static int counter_load(Json *spec, Json *state, Driver **ret) {
        int r = counter_new(spec, ret);

        assert_int_equal(json_get_u64(state, "lines", &((Counter *) *ret)->lines), 1);
        return r;
}

static void counter_free(Driver *d) {
        free(d);
}

static int counter_save(Driver *d, Json **ret) {
        *ret = json_object_new_object();
        return json_set_u64(*ret, "lines", ((Counter *) d)->lines);
}

static int counter_feed(Driver *d, const char *line, size_t size, uint64_t offset, const DriverSink *sink) {
        Counter *c = (Counter *) d;
        unsigned n = size == 3 && memcmp(line, "two", 3) == 0 ? 2 :
                size == 4 && memcmp(line, "none", 4) == 0     ? 0 :
                                                                1;
        char members[128];

        assert_null(sink->write); /* a reader has no effects */
        c->lines++;
        for (unsigned i = 0; sink->event && i < n; i++) {
                if (size == 3 && memcmp(line, "ask", 3) == 0)
                        (void) snprintf(
                                members,
                                sizeof(members),
                                "\"event\":{\"type\":\"ask_gone\",\"requestId\":\"@7.1\"}");
                else
                        (void) snprintf(
                                members,
                                sizeof(members),
                                "\"event\":{\"type\":\"text\",\"delta\":\"%llu/%u\"}",
                                (unsigned long long) c->lines,
                                i);
                int r = sink->event(sink->userdata, "message.agent", members, strlen(members));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int counter_feed_oversize(
        Driver *d,
        const char *head,
        size_t head_size,
        uint64_t size,
        uint64_t offset,
        const DriverSink *sink) {
        Counter *c = (Counter *) d;
        char members[128];

        assert_int_equal(head_size, 4096);
        c->lines++;
        if (!sink->event)
                return 0;
        (void) snprintf(
                members,
                sizeof(members),
                "\"event\":{\"type\":\"oversize\",\"size\":%llu,\"lines\":%llu}",
                (unsigned long long) size,
                (unsigned long long) c->lines);
        return sink->event(sink->userdata, "message.agent", members, strlen(members));
}

static const DriverOps counter_ops = {
        .name = "counter",
        .new = counter_new,
        .load = counter_load,
        .free = counter_free,
        .save = counter_save,
        .feed = counter_feed,
        .feed_oversize = counter_feed_oversize,
};

/* ---- fixture ---- */

typedef struct Fixture {
        char path[64];
        int dirfd, outfd;
        Store *store;
        Json *spec;
        uint64_t size;
} Fixture;

static int setup(void **state) {
        Fixture *f = new0(Fixture, 1);
        _cleanup_free_ char *error = NULL;

        (void) snprintf(f->path, sizeof(f->path), "/tmp/test-event-reader-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(store_open(f->dirfd, f->path, &f->store, &error), 0);
        f->outfd = openat(f->dirfd, "out.log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(f->outfd >= 0);
        f->spec = json_object_new_object();
        assert_int_equal(
                store_put_conversation(
                        f->store,
                        &(ConversationRow){
                                .id = (char *) "c-1",
                                .workspace = (char *) "w",
                                .agent = (char *) "counter",
                                .origin = (char *) "orchestrator",
                                .params = (char *) "{}",
                                .state = CONVERSATION_LIVE,
                                .run = 1,
                        }),
                0);
        RunRow run = {
                .conversation = (char *) "c-1",
                .run = 1,
                .run_id = "00000000000000aa",
                .state = RUN_LIVE,
                .spec = (char *) "{}",
                .out_bytes = UINT64_MAX,
        };
        assert_int_equal(store_put_run(f->store, &run), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        store_close(f->store);
        safe_close(f->outfd);
        safe_close(f->dirfd);
        json_object_put(f->spec);
        assert_int_equal(remove_tree_at(AT_FDCWD, f->path), 0);
        free(f);
        return 0;
}

static void write_out(Fixture *f, const char *text) {
        assert_int_equal(pwrite_all(f->outfd, text, strlen(text), f->size), 0);
        f->size += strlen(text);
}

static void own(Fixture *f, uint64_t at, const char *id, const char *method) {
        int64_t seq;

        assert_int_equal(add_own_event(f->store, "c-1", 1, at, id, method, "\"x\":1", &seq), 0);
}

static EventReader *open_reader(Fixture *f, uint64_t offset, int64_t own_seq, const char *state, bool raw) {
        EventReader *r = NULL;

        assert_int_equal(
                event_reader_new(
                        &(EventReaderParams){
                                .store = f->store,
                                .driver = &counter_ops,
                                .spec = f->spec,
                                .conversation = "c-1",
                                .task = "t-1",
                                .run = 1,
                                .run_id = "00000000000000aa",
                                .forward_raw = raw,
                                .outfd = f->outfd,
                                .offset = offset,
                                .own_seq = own_seq,
                                .state = state,
                        },
                        &r),
                0);
        return r;
}

/* Collects events one under the other; at most max. */
typedef struct Sink {
        Buffer all, one;
        unsigned n, max;
} Sink;

static Buffer *sink_buffer(void *userdata) {
        return &((Sink *) userdata)->one;
}

static int sink_done(void *userdata, const char *message_id) {
        Sink *s = userdata;
        _cleanup_json_ Json *o = NULL;

        /* Whatever comes out is valid JSON, and carries the id it is said to have. */
        assert_int_equal(json_parse(s->one.data, s->one.size, &o, NULL), 0);
        assert_string_equal(json_get_string(json_get(o, "params"), "messageId"), message_id);
        assert_string_equal(json_get_string(json_get(o, "params"), "taskId"), "t-1");
        (void) buffer_append(&s->all, s->one.data, s->one.size);
        (void) buffer_append_str(&s->all, "\n");
        buffer_clear(&s->one, 0);
        s->n++;
        return 0;
}

static bool sink_full(void *userdata) {
        Sink *s = userdata;

        return s->n >= s->max;
}

static int read_some(EventReader *r, uint64_t limit, unsigned max, Buffer *all) {
        Sink s = { .all = *all, .max = max };
        const EventOut out = { .userdata = &s, .buffer = sink_buffer, .done = sink_done, .full = sink_full };
        int k = event_reader_read(r, limit, &out);

        assert_true(k >= 0);
        *all = s.all;
        buffer_done(&s.one);
        return k;
}

/* ---- cases ---- */

static void own_events_stand_where_they_belong(void **state) {
        Fixture *f = *state;
        _cleanup_buffer_ Buffer all = {};

        write_out(f, "one\ntwo\nthree\n");
        own(f, 0, NULL, "conversation.started");
        own(f, 4, NULL, "conversation.state");
        own(f, 14, "00000000000000aa:end", "conversation.ended");
        EventReader *r = open_reader(f, 0, 0, NULL, false);
        assert_int_equal(read_some(r, f->size, 100, &all), 0);
        event_reader_free(r);

        static const char *const order[] = {
                "conversation.started", "aa:0.0", "conversation.state", "aa:4.0", "aa:4.1", "aa:8.0",
                "conversation.ended",
        };
        const char *at = all.data;
        for (size_t i = 0; i < ELEMENTSOF(order); i++) {
                at = strstr(at, order[i]);
                assert_non_null(at);
        }
}

/* A reader that is told of own events asks the store no more, until it is told. */
static void an_own_event_that_was_told_of(void **state) {
        Fixture *f = *state;
        _cleanup_buffer_ Buffer all = {};
        EventReader *r = NULL;

        write_out(f, "one\n");
        assert_int_equal(
                event_reader_new(
                        &(EventReaderParams){
                                .store = f->store,
                                .driver = &counter_ops,
                                .spec = f->spec,
                                .conversation = "c-1",
                                .task = "t-1",
                                .run = 1,
                                .run_id = "00000000000000aa",
                                .notified_of_own = true,
                                .outfd = f->outfd,
                        },
                        &r),
                0);
        assert_int_equal(read_some(r, f->size, 100, &all), 0);
        assert_non_null(strstr(all.data, "aa:0.0"));
        own(f, 4, NULL, "conversation.state");
        event_reader_own_added(r);
        own(f, 4, NULL, "conversation.ended");
        event_reader_own_added(r);
        write_out(f, "two\n");
        assert_int_equal(read_some(r, f->size, 100, &all), 0);
        const char *first = strstr(all.data, "conversation.state"),
                   *second = strstr(all.data, "conversation.ended"), *line = strstr(all.data, "aa:4.0");
        assert_true(first && second && line && first < second && second < line);
        /* Each of them once. */
        assert_null(strstr(first + 1, "conversation.state"));
        event_reader_free(r);
}

/* Somebody has deleted it: the end is told none the less. */
static void lost_output_is_passed_over(void **state) {
        Fixture *f = *state;
        _cleanup_buffer_ Buffer all = {};
        _cleanup_free_ char *saved = NULL;

        write_out(f, "one\ntwo\nthree\n");
        own(f, 8, NULL, "conversation.state");
        own(f, 14, NULL, "conversation.ended");
        EventReader *r = open_reader(f, 0, 0, NULL, false);
        assert_int_equal(read_some(r, 4, 100, &all), 0);
        assert_int_equal(event_reader_save(r, &saved), 0);
        event_reader_free(r);
        f->outfd = safe_close(f->outfd);

        all.size = 0;
        r = open_reader(f, 4, 0, saved, false);
        assert_int_equal(read_some(r, 14, 100, &all), 0);
        assert_int_equal(all.size, 0); /* it may still come */
        event_reader_set_ended(r, true);
        assert_int_equal(read_some(r, 14, 100, &all), 0);
        assert_int_equal(event_reader_offset(r), 14);
        const char *at = strstr(all.data, "conversation.state");
        assert_true(at && strstr(at, "conversation.ended") && !strstr(all.data, "aa:4"));
        event_reader_free(r);
}

static void nothing_beyond_the_limit(void **state) {
        Fixture *f = *state;
        _cleanup_buffer_ Buffer all = {};

        write_out(f, "one\ntwo\nthree\n");
        EventReader *r = open_reader(f, 0, 0, NULL, false);
        assert_int_equal(read_some(r, 7, 100, &all), 0);
        assert_int_equal(event_reader_offset(r), 4);
        assert_null(strstr(all.data, "aa:4"));
        assert_int_equal(read_some(r, 8, 100, &all), 0);
        assert_non_null(strstr(all.data, "aa:4.1"));
        event_reader_free(r);
}

/* A line of n times x. */
static void write_long(Fixture *f, size_t n) {
        _cleanup_free_ char *text = malloc(n + 2);

        assert_non_null(text);
        memset(text, 'x', n);
        text[n] = '\n';
        text[n + 1] = 0;
        write_out(f, text);
}

/* The bound is the run's, and so every reader finds the same events under the same names, wherever it begins. */
static void lines_above_the_run_s_bound_are_oversize_from_every_point(void **state) {
        Fixture *f = *state;
        _cleanup_buffer_ Buffer whole = {};

        json_object_put(f->spec);
        assert_int_equal(json_parse("{\"lineMax\":65536}", 17, &f->spec, NULL), 0);
        write_out(f, "one\n");
        write_long(f, 65536);
        write_long(f, 65537);
        own(f, f->size, NULL, "conversation.state");
        write_long(f, 40 << 20);
        write_out(f, "two\n");
        EventReader *r = open_reader(f, 0, 0, NULL, false);
        /* That of 40 MiB is passed over in pieces. */
        unsigned pieces = 0;
        while (read_some(r, f->size, 100, &whole) > 0)
                pieces++;
        assert_int_equal(pieces, 2);
        event_reader_free(r);
        assert_null(strstr(whole.data, "\"messageId\":\"00000000000000aa:4.0\",\"oversize"));
        assert_non_null(strstr(whole.data, "aa:65541.0"));
        assert_non_null(strstr(whole.data, "\"type\":\"oversize\",\"size\":65537,\"lines\":3}"));
        assert_non_null(strstr(whole.data, "aa:131079.0"));
        assert_non_null(strstr(whole.data, "\"type\":\"oversize\",\"size\":41943040,\"lines\":4}"));
        assert_non_null(strstr(whole.data, "\"delta\":\"5/1\""));
        for (unsigned max = 1; max < 6; max++) {
                _cleanup_buffer_ Buffer all = {};
                _cleanup_free_ char *saved = NULL;
                uint64_t offset;
                int64_t seq;

                r = open_reader(f, 0, 0, NULL, false);
                (void) read_some(r, f->size, max, &all);
                assert_int_equal(event_reader_save(r, &saved), 0);
                offset = event_reader_offset(r);
                seq = event_reader_own_seq(r);
                event_reader_free(r);
                r = open_reader(f, offset, seq, max % 2 ? saved : NULL, false);
                while (read_some(r, f->size, 100, &all) > 0)
                        ;
                event_reader_free(r);
                assert_string_equal(all.data, whole.data);
        }
}

static void raw_line_goes_along_up_to_half_of_the_bound(void **state) {
        for (size_t n = 32768; n <= 32769; n++) {
                _cleanup_buffer_ Buffer all = {};
                _cleanup_free_ char *text = malloc(n + 2);
                Fixture *f = *state;
                uint64_t begin = f->size;

                json_object_put(f->spec);
                assert_int_equal(json_parse("{\"lineMax\":65536}", 17, &f->spec, NULL), 0);
                memset(text, 'x', n);
                text[0] = text[n - 1] = '"';
                text[n] = '\n';
                text[n + 1] = 0;
                write_out(f, text);
                EventReader *r = open_reader(
                        f, begin, 0, begin > 0 ? "{\"lines\":1,\"driver\":{\"lines\":1}}" : NULL, true);
                assert_int_equal(read_some(r, f->size, 100, &all), 0);
                event_reader_free(r);
                assert_int_equal(strstr(all.data, ",\"raw\":\"xxx") != NULL, n == 32768);
        }
}

/* The replay law: from every point where a batch may have ended, the rest is byte for byte the same. */
static void every_saved_point_gives_the_same_rest(void **state) {
        Fixture *f = *state;
        _cleanup_buffer_ Buffer whole = {};

        write_out(f, "one\nnone\ntwo\nask\n\nfive\ntwo\n");
        own(f, 0, NULL, "conversation.started");
        own(f, 9, NULL, "conversation.state");
        own(f, 9, NULL, "conversation.state");
        own(f, f->size, "00000000000000aa:end", "conversation.ended");
        EventReader *r = open_reader(f, 0, 0, NULL, false);
        assert_int_equal(read_some(r, f->size, 1000, &whole), 0);
        event_reader_free(r);

        for (unsigned max = 1; max < 12; max++) {
                _cleanup_buffer_ Buffer pieces = {};
                uint64_t offset = 0;
                int64_t own_seq = 0;
                _cleanup_free_ char *saved = NULL;
                int more;

                do {
                        r = open_reader(f, offset, own_seq, saved, false);
                        more = read_some(r, f->size, max, &pieces);
                        offset = event_reader_offset(r);
                        own_seq = event_reader_own_seq(r);
                        free(saved);
                        saved = NULL;
                        assert_int_equal(event_reader_save(r, &saved), 0);
                        event_reader_free(r);
                } while (more > 0);
                assert_string_equal(pieces.data, whole.data);

                /* And the same where no state was saved: it is made from the beginning. */
                _cleanup_buffer_ Buffer tail = {};
                r = open_reader(f, 9, 0, NULL, false);
                assert_int_equal(read_some(r, f->size, 1000, &tail), 0);
                assert_non_null(strstr(tail.data, "\"delta\":\"3/0\""));
                event_reader_free(r);
        }
}

static void a_question_gets_the_id_of_its_run(void **state) {
        Fixture *f = *state;
        _cleanup_buffer_ Buffer all = {};

        write_out(f, "ask\n");
        EventReader *r = open_reader(f, 0, 0, NULL, false);
        assert_int_equal(read_some(r, f->size, 100, &all), 0);
        event_reader_free(r);
        assert_non_null(strstr(all.data, "\"requestId\":\"00000000000000aa:7.1\""));
}

static void raw_lines_only_where_they_are_json(void **state) {
        Fixture *f = *state;
        _cleanup_buffer_ Buffer all = {};

        write_out(f, "{\"a\":[1,2]}\nno json\n");
        EventReader *r = open_reader(f, 0, 0, NULL, true);
        assert_int_equal(read_some(r, f->size, 100, &all), 0);
        event_reader_free(r);
        assert_non_null(strstr(all.data, "\"raw\":{\"a\":[1,2]}"));
        assert_null(strstr(all.data, "\"raw\":no"));
}

static void an_offset_inside_a_line_is_refused(void **state) {
        Fixture *f = *state;
        EventReader *r = NULL;

        write_out(f, "one\ntwo\n");
        assert_int_equal(
                event_reader_new(
                        &(EventReaderParams){
                                .store = f->store,
                                .driver = &counter_ops,
                                .spec = f->spec,
                                .conversation = "c-1",
                                .run = 1,
                                .run_id = "00000000000000aa",
                                .outfd = f->outfd,
                                .offset = 5,
                        },
                        &r),
                -EINVAL);
        assert_null(r);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(own_events_stand_where_they_belong, setup, teardown),
                cmocka_unit_test_setup_teardown(an_own_event_that_was_told_of, setup, teardown),
                cmocka_unit_test_setup_teardown(lost_output_is_passed_over, setup, teardown),
                cmocka_unit_test_setup_teardown(nothing_beyond_the_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        lines_above_the_run_s_bound_are_oversize_from_every_point, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        raw_line_goes_along_up_to_half_of_the_bound, setup, teardown),
                cmocka_unit_test_setup_teardown(every_saved_point_gives_the_same_rest, setup, teardown),
                cmocka_unit_test_setup_teardown(a_question_gets_the_id_of_its_run, setup, teardown),
                cmocka_unit_test_setup_teardown(raw_lines_only_where_they_are_json, setup, teardown),
                cmocka_unit_test_setup_teardown(an_offset_inside_a_line_is_refused, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
