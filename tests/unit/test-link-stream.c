/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/json.h"
#include "common/log.h"
#include "link-test.h"

/* ---- who is active ---- */

static void test_hand_over(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->n_processed == 1);
        send_envelope(f, "2", "u1", "", "runner.uid.changed", "{\"runnerUid\":\"ru-2\",\"cursor\":\"1\"}");
        RUN_UNTIL(f->event, link_get_state(f->link) == LINK_STANDBY);
        check_stored(f, "activeUid", "ru-2");
        assert_int_equal(f->n_streams, 1);
        /* Nothing new is claimed; what lives here is served to its end. */
        send_envelope(f, "3", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        send_envelope(
                f, "4", "m1", "\"conversationId\":\"c-1\",\"runnerUid\":\"ru-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_processed == 2);
        check_processed(f, 1, "m1@4");
        assert_int_equal(f->n_claims, 1);
        /* Back again, with a place to read from. */
        send_envelope(f, "5", "u2", "", "runner.uid.changed", "{\"runnerUid\":\"ru-1\",\"cursor\":\"2\"}");
        TestRequest *old = f->stream;
        RUN_UNTIL(f->event, f->stream != old && link_is_connected(f->link));
        assert_string_equal(f->stream_target, "/base/events?since=2");
        check_stored(f, "cursor", "2");
        assert_int_equal(link_get_state(f->link), LINK_ACTIVE);
        send_envelope(f, "3", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        send_envelope(
                f, "4", "m1", "\"conversationId\":\"c-1\",\"runnerUid\":\"ru-1\",", "message.user", "{}");
        send_envelope(f, "5", "u2", "", "runner.uid.changed", "{\"runnerUid\":\"ru-1\",\"cursor\":\"2\"}");
        ping(f, "6");
        RUN_UNTIL(f->event, streq(stored(f, "cursor"), "6"));
        assert_int_equal(f->n_processed, 3);
        check_processed(f, 2, "s2@3");
        assert_int_equal(f->n_streams, 2); /* u2 once more is no new hand-over */
        /* And who is active already stays where he is. */
        send_envelope(f, "7", "u3", "", "runner.uid.changed", "{\"runnerUid\":\"ru-1\",\"cursor\":\"2\"}");
        ping(f, "8");
        RUN_UNTIL(f->event, streq(stored(f, "cursor"), "8"));
        assert_int_equal(f->n_streams, 2);
}

static void test_standby_survives(void **state) {
        Fixture *f = *state;

        f->standby = true;
        link_test_start(f);
        assert_int_equal(link_get_state(f->link), LINK_STANDBY);
        check_stored(f, "activeUid", NULL);
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        send_envelope(f, "2", "u0", "", "runner.uid.changed", "{\"runnerUid\":7}");
        RUN_UNTIL(f->event, f->n_responded == 1);
        check_response(
                f,
                0,
                "{\"jsonrpc\":\"2.0\",\"id\":\"rq-u0\",\"error\":{\"code\":-32602,\"message\":\"runnerUid or cursor: "
                "missing or not valid\"},\"messageId\":\"rsp:u0\"}");
        assert_int_equal(f->n_processed, 0);
}

/* ---- streams that fail ---- */

static void test_silence(void **state) {
        Fixture *f = *state;

        f->link = link_free(f->link);
        f->timing.silence = 30 * USEC_PER_MSEC;
        f->timing.held = 5 * USEC_PER_MSEC;
        make_link(f);
        link_test_start(f);
        test_stream_text(f->stream, ": here\n");
        /* It may not be the first: to be silent for so long happens to a busy machine too. */
        TestRequest *old = f->stream;
        unsigned n = f->n_streams;
        RUN_UNTIL(f->event, f->n_streams > n);
        assert_null(old->connection);
}

static void test_outage(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        ping(f, "1");
        test_server_down(f->server);
        RUN_UNTIL(f->event, link_get_state(f->link) == LINK_OFFLINE);
        assert_false(link_is_connected(f->link));
        f->stream = NULL;
        test_server_up(f->server);
        RUN_UNTIL(f->event, link_get_state(f->link) == LINK_ACTIVE);
        assert_true(link_is_connected(f->link));
        assert_string_equal(f->stream_target, "/base/events?since=1");
        assert_int_equal(f->n_registers, 1); /* the registration holds */
}

static void test_no_stream(void **state) {
        Fixture *f = *state;

        f->known[f->n_known++] = strdup("c-1");
        f->stream_status = 404;
        f->stream_failures = 1;
        f->cursor = "0";
        f->pages[0] =
                "{\"messages\":[{\"id\":\"m1\",\"conversationId\":\"c-1\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"message.user\"}},"
                "{\"id\":\"s1\",\"conversationId\":\"c-2\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conversation.start\"}},"
                "{\"bad\":true},"
                "{\"id\":\"m2\",\"conversationId\":\"c-2\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"message.user\"}}],"
                "\"cursor\":\"p1\",\"more\":true}";
        f->pages[1] =
                "{\"messages\":[{\"id\":\"m3\",\"conversationId\":\"c-1\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"message.user\"}}],"
                "\"cursor\":\"p2\",\"more\":false}";
        start_no_stream(f);
        RUN_UNTIL(f->event, f->n_processed == 4);
        check_processed(f, 0, "m1@");
        check_processed(f, 1, "s1@");
        check_processed(f, 2, "m2@p1"); /* the page's cursor belongs to its last message */
        check_processed(f, 3, "m3@p2");
        assert_string_equal(f->page_targets[0], "/base/in?since=0&limit=100");
        assert_string_equal(f->page_targets[1], "/base/in?since=p1&limit=100");
        assert_int_equal(link_get_state(f->link), LINK_ACTIVE);
        assert_false(link_is_connected(f->link));
        RUN_UNTIL(f->event, f->n_pages >= 4); /* asked again and again */
        assert_string_equal(f->page_targets[2], "/base/in?since=p2&limit=100");
        RUN_UNTIL(f->event, streq(stored(f, "cursor"), "end"));
        assert_int_equal(f->n_streams, 1);
}

static void test_stream_comes_back(void **state) {
        Fixture *f = *state;

        f->link = link_free(f->link);
        f->timing.stream_again = USEC_PER_MSEC;
        make_link(f);
        f->stream_type = "text/html"; /* not what was asked for */
        start_no_stream(f);
        RUN_UNTIL(f->event, f->n_streams == 2);
        assert_int_equal(f->n_pages, 0); /* once may be somebody on the way */
        RUN_UNTIL(f->event, f->n_pages >= 2);
        assert_true(f->n_streams >= 3);
        f->stream_type = NULL;
        RUN_UNTIL(f->event, link_is_connected(f->link));
}

static void test_bad_page(void **state) {
        Fixture *f = *state;

        f->stream_status = 406;
        f->stream_failures = 100;
        f->pages[0] = "{\"messages\":5}";
        f->pages[1] = "nonsense";
        f->pages[2] = "{\"messages\":[],\"more\":true}";
        start_no_stream(f);
        RUN_UNTIL(f->event, f->n_pages == 3);
        assert_int_equal(link_get_state(f->link), LINK_OFFLINE);
        RUN_UNTIL(f->event, link_get_state(f->link) == LINK_ACTIVE);
}

static void test_large_page(void **state) {
        Fixture *f = *state;
        size_t size = 200 * 1024;
        char *page = malloc(size);

        memset(page, ' ', size);
        page[size - 1] = 0;
        f->pages[0] = page;
        f->stream_status = 405;
        f->stream_failures = 100;
        start_no_stream(f);
        RUN_UNTIL(f->event, f->n_pages == 3);
        assert_string_equal(f->page_targets[0], "/base/in?limit=100");
        assert_string_equal(f->page_targets[1], "/base/in?limit=1");
        assert_string_equal(f->page_targets[2], "/base/in?since=end&limit=100");
        free(page);
}

static void test_unheld(void **state) {
        Fixture *f = *state;

        /* Streams that break off at once: messages come by way of pages meanwhile. */
        f->known[f->n_known++] = strdup("c-1");
        f->stream_closes = true;
        f->pages[0] =
                "{\"messages\":[{\"id\":\"m1\",\"conversationId\":\"c-1\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"message.user\"}}],"
                "\"cursor\":\"p1\",\"more\":false}";
        start_no_stream(f);
        RUN_UNTIL(f->event, f->n_processed == 1);
        assert_int_equal(f->n_streams, 3);
        RUN_UNTIL(f->event, f->n_streams >= 4);
        assert_string_equal(f->stream_target, "/base/events?since=p1");
}

/* ---- refusals ---- */

static void test_refused_later(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        ping(f, "1");
        f->stream_status = 401;
        f->stream_failures = 1;
        f->register_status = 401;
        test_request_close(f->stream);
        f->stream = NULL;
        RUN_UNTIL(f->event, link_get_state(f->link) == LINK_REFUSED);
        assert_null(f->exit_text); /* never the end of a runner that was registered */
        assert_int_equal(link_refused_status(f->link), 401);
        /* A new token is tried at once. */
        f->register_status = 200;
        assert_int_equal(link_set_token(f->link, "new"), 0);
        RUN_UNTIL(f->event, f->stream && link_get_state(f->link) == LINK_ACTIVE);
        assert_string_equal(f->stream_authorization, "Bearer new");
        assert_int_equal(f->n_registers, 2);
}

/* What describe() says has changed: it is said at once, and costs a reconnect. */
static void test_described_again(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        ping(f, "1");
        f->stream = NULL;
        link_describe_again(f->link);
        assert_false(link_is_connected(f->link));
        RUN_UNTIL(f->event, f->stream && link_is_connected(f->link));
        assert_int_equal(f->n_registers, 2);
        assert_int_equal(link_get_state(f->link), LINK_ACTIVE);
        ping(f, "2");
}

static void test_registration_forgotten(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        ping(f, "1");
        f->stream_status = 409;
        f->stream_failures = 1;
        test_request_close(f->stream);
        f->stream = NULL;
        RUN_UNTIL(f->event, f->stream); /* after a new registration */
        assert_int_equal(f->n_registers, 2);
        assert_string_equal(f->stream_runner_id, "rn-2");
        assert_string_equal(f->stream_target, "/base/events?since=1");
}

static void test_new_token(void **state) {
        Fixture *f = *state;
        TestRequest *old;

        link_test_start(f);
        old = f->stream;
        assert_int_equal(link_set_token(f->link, "evil\r\nX: y"), -EINVAL);
        assert_int_equal(link_set_token(f->link, "next"), 0);
        RUN_UNTIL(f->event, f->stream != old);
        assert_string_equal(f->stream_authorization, "Bearer next");
        assert_int_equal(f->n_registers, 1);
}

/* ---- the other direction ---- */

typedef struct Events {
        unsigned filled, acked, lost;
} Events;

static int fill(void *userdata, SendBatch *b) {
        Events *e = userdata;

        return e->filled++ == 0 ? send_batch_add(b, "x:1", "{\"x\":1}", 7) : 0;
}

static void acked(void *userdata) {
        ((Events *) userdata)->acked++;
}

static void lost(void *userdata) {
        ((Events *) userdata)->lost++;
}

static int
set_aside(void *userdata, const char *message_id, const char *json, size_t size, const char *why) {
        fail_msg("%s set aside", message_id);
        return 0;
}

static const SendSourceOps source_ops = {
        .fill = fill,
        .acked = acked,
        .lost = lost,
        .set_aside = set_aside,
};

static void test_heartbeat(void **state) {
        Fixture *f = *state;
        Events e = {};
        SendSource *source = NULL;

        assert_int_equal(send_source_new(link_get_sender(f->link), &source_ops, &e, &source), 0);
        sender_wake(source);
        link_heartbeat(f->link); /* not before it is registered */
        f->hold_posts = true;
        link_test_start(f);
        RUN_UNTIL(f->event, f->held_post);
        RUN_UNTIL(
                f->event, f->n_heartbeats == 1); /* the first at once; events under way do not hold it up */
        ping(f, "7");
        link_heartbeat(f->link);
        RUN_UNTIL(f->event, f->n_heartbeats == 2);
        assert_string_equal(f->heartbeat_params, "{\"cursor\":\"7\",\"state\":\"active\"}");
        assert_int_equal(e.acked, 0);
        test_reply(f->held_post, 204, NULL, NULL);
        RUN_UNTIL(f->event, e.acked == 1);
        assert_int_equal(e.lost, 0);
        send_source_free(source);
}

static void test_heartbeat_interval(void **state) {
        Fixture *f = *state;

        f->link = link_free(f->link);
        f->config.heartbeat_usec = 2 * USEC_PER_MSEC;
        make_link(f);
        link_test_start(f);
        RUN_UNTIL(f->event, f->n_heartbeats >= 3);
}

static void test_sender_refused(void **state) {
        Fixture *f = *state;
        Events e = {};
        SendSource *source = NULL;

        /* Nothing is sent before the registration, and nothing after the orchestrator forgot it. */
        assert_int_equal(send_source_new(link_get_sender(f->link), &source_ops, &e, &source), 0);
        sender_wake(source);
        f->register_status = 503;
        start_no_stream(f);
        RUN_UNTIL(f->event, f->n_registers >= 3);
        assert_int_equal(e.filled, 0);
        f->register_status = 200;
        f->hold_posts = true;
        RUN_UNTIL(f->event, f->held_post);
        f->hold_posts = false;
        f->stream = NULL;
        e.filled = 0;
        test_reply(f->held_post, 409, NULL, NULL);
        RUN_UNTIL(f->event, e.lost == 1);
        assert_false(link_is_connected(f->link));
        RUN_UNTIL(f->event, e.acked == 1 && link_is_connected(f->link));
        send_source_free(source);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, link_test_set_up, link_test_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_hand_over),      CASE(test_standby_survives), CASE(test_silence),
                CASE(test_outage),         CASE(test_no_stream),        CASE(test_stream_comes_back),
                CASE(test_bad_page),       CASE(test_large_page),       CASE(test_unheld),
                CASE(test_refused_later),  CASE(test_described_again),  CASE(test_registration_forgotten),
                CASE(test_new_token),      CASE(test_heartbeat),        CASE(test_heartbeat_interval),
                CASE(test_sender_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
