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
#include "runner/link/inbox.h"
#include "runner/store/store-inbound.h"

/* ---- registration ---- */

static void test_register(void **state) {
        Fixture *f = *state;
        _cleanup_json_ Json *params = NULL;
        uint64_t n = 0;

        f->cursor = "a b&c/1";
        f->last_processed_at = "2026-11-22T15:04:05.123Z";
        assert_int_equal(link_get_state(f->link), LINK_REGISTERING);
        assert_null(link_runner_id(f->link));
        link_test_start(f);
        assert_int_equal(f->n_registers, 1);
        assert_int_equal(json_parse(f->register_params, strlen(f->register_params), &params, NULL), 0);
        assert_int_equal(json_get_u64(params, "protocol", &n), 1);
        assert_int_equal(n, 1);
        assert_int_equal(json_get_u64(params, "generation", &n), 1);
        assert_string_equal(json_get_string(params, "version"), "9");
        assert_string_equal(json_get_string(params, "hostname"), "test");
        assert_string_equal(json_get_string(params, "storeId"), stored(f, "storeId"));
        assert_null(json_get(params, "previousRunnerUid"));

        assert_int_equal(link_get_state(f->link), LINK_ACTIVE);
        assert_string_equal(link_runner_id(f->link), "rn-1");
        assert_string_equal(link_runner_uid(f->link), "ru-1");
        check_stored(f, "runnerId", "rn-1");
        check_stored(f, "runnerUid", "ru-1");
        check_stored(f, "activeUid", "ru-1");
        check_stored(f, "registered", "1");
        check_stored(f, "cursor", "a b&c/1");
        check_stored(f, "lastProcessedAt", "2026-11-22T15:04:05.123Z");
        assert_string_equal(f->stream_target, "/base/events?since=a%20b%26c%2F1");
        assert_string_equal(f->stream_last_event_id, "a b&c/1");
        assert_string_equal(f->stream_authorization, "Bearer secret");
        assert_string_equal(f->stream_runner_id, "rn-1");
}

static void test_largest_body_is_stored_as_announced(void **state) {
        Fixture *f = *state;

        f->max_body = "1048576";
        link_test_start(f);
        check_stored(f, "maxBodyBytes", "1048576");
}

static void test_largest_body_that_is_no_number_of_bytes_is_ignored(void **state) {
        _cleanup_free_ char *value = NULL;
        Fixture *f = *state;

        assert_int_equal(store_set(f->store, "maxBodyBytes", "5"), 0);
        f->max_body = "\"1 MiB\"";
        link_test_start(f);
        assert_int_equal(link_get_state(f->link), LINK_ACTIVE);
        assert_int_equal(store_get(f->store, "maxBodyBytes", &value), 0);
}

static void test_register_again(void **state) {
        Fixture *f = *state;
        _cleanup_json_ Json *params = NULL;
        uint64_t first = 0, second = 0;

        /* A floor is for those who have no cursor of their own. */
        f->cursor = "floor";
        link_test_start(f);
        send_envelope(f, "5", "m1", "", "runner.other", "{}");
        ping(f, "6");
        assert_int_equal(json_parse(f->register_params, strlen(f->register_params), &params, NULL), 0);
        assert_int_equal(json_get_u64(params, "generation", &first), 1);
        json_object_put(TAKE_PTR(params));
        f->link = link_free(f->link);
        f->stream = NULL;
        make_link(f);
        assert_int_equal(link_get_state(f->link), LINK_OFFLINE); /* it was registered once */
        link_test_start(f);
        assert_string_equal(f->stream_target, "/base/events?since=6");
        assert_int_equal(json_parse(f->register_params, strlen(f->register_params), &params, NULL), 0);
        assert_int_equal(json_get_u64(params, "generation", &second), 1);
        assert_true(second > first);
        assert_string_equal(json_get_string(params, "previousRunnerUid"), "ru-1");
        assert_string_equal(f->stream_runner_id, "rn-2");
}

static void test_register_retry(void **state) {
        Fixture *f = *state;
        static const struct {
                int status;
                const char *body;
        } failures[] = {
                { 503, NULL },
                { 429, NULL },
                { 200, "\"error\":{\"code\":-32003,\"message\":\"full\"}" },
                { 200, "\"result\":{}" },
                { 200, "\"result\":{\"runnerId\":\"r\",\"runnerUid\":\"u\"}" },
                { 200,
                  "\"result\":{\"runnerId\":\"r\\r\\nX: y\",\"runnerUid\":\"u\",\"isActiveRunner\":true}" },
                { 200, "\"result\":5" },
        };
        uint64_t before = 0;

        f->register_status = 503;
        start_no_stream(f);
        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                _cleanup_json_ Json *params = NULL;
                unsigned n = f->n_registers;
                uint64_t generation = 0;

                f->register_status = failures[i].status;
                f->register_body = failures[i].body;
                RUN_UNTIL(f->event, f->n_registers >= n + 2);
                assert_int_equal(
                        json_parse(f->register_params, strlen(f->register_params), &params, NULL), 0);
                /* No two attempts of a store look the same. */
                assert_int_equal(json_get_u64(params, "generation", &generation), 1);
                assert_true(generation > before);
                before = generation;
        }
        assert_null(f->exit_text);
        assert_int_equal(link_get_state(f->link), LINK_REGISTERING);
        f->register_status = 200;
        f->register_body = NULL;
        RUN_UNTIL(f->event, f->stream);
        assert_int_equal(link_get_state(f->link), LINK_ACTIVE);
}

static void check_give_up(Fixture *f, int status, const char *body, int exit_code, const char *says) {
        f->register_status = status;
        f->register_body = body;
        start_no_stream(f);
        RUN_UNTIL(f->event, f->exit_text);
        assert_int_equal(f->exit_code, exit_code);
        if (!strstr(f->exit_text, says))
                fail_msg("%s", f->exit_text);
        assert_int_equal(f->n_registers, 1);
}

static void test_give_up_401(void **state) {
        check_give_up(*state, 401, NULL, 77, "HTTP 401");
}

static void test_give_up_404(void **state) {
        check_give_up(
                *state,
                404,
                "{\"id\":1,\"error\":{\"code\":1,\"message\":\"nothing here\"}}",
                1,
                "HTTP 404: nothing here");
}

static void test_give_up_stale(void **state) {
        Fixture *f = *state;

        check_give_up(
                f,
                200,
                "\"error\":{\"code\":-32011,\"message\":\"generation 3 is known\"}",
                1,
                "generation 3 is known");
        assert_non_null(strstr(f->exit_text, "store.db"));
}

static void test_give_up_none(void **state) {
        Fixture *f = *state;

        f->link = link_free(f->link);
        f->config.retry_strategy = RETRY_NONE;
        make_link(f);
        check_give_up(f, 503, NULL, 1, "HTTP 503");
}

static void test_work_keeps_alive(void **state) {
        Fixture *f = *state;

        f->link = link_free(f->link);
        f->config.retry_strategy = RETRY_NONE;
        make_link(f);
        f->has_work = true;
        f->register_status = 503;
        start_no_stream(f);
        RUN_UNTIL(f->event, link_get_state(f->link) == LINK_OFFLINE);
        f->register_status = 200;
        RUN_UNTIL(f->event, f->stream);
        assert_null(f->exit_text);
}

/* ---- messages ---- */

static void test_process(void **state) {
        Fixture *f = *state;
        LinkStats stats;

        f->known[f->n_known++] = strdup("c-1");
        link_test_start(f);
        send_envelope(f, "1", "m1", "\"conversationId\":\"c-1\",", "message.user", "{\"content\":\"a\"}");
        send_envelope(
                f,
                "2",
                "m2",
                "\"conversationId\":\"c-1\",\"createdAt\":\"2026-01-01T00:00:00Z\",",
                "message.user",
                "{}");
        RUN_UNTIL(f->event, f->n_processed == 2);
        check_processed(f, 0, "m1@1");
        check_processed(f, 1, "m2@2");
        check_stored(f, "cursor", "2");
        /* The stream ends, and begins again behind them. */
        test_request_close(f->stream);
        f->stream = NULL;
        RUN_UNTIL(f->event, f->stream);
        assert_string_equal(f->stream_target, "/base/events?since=2");
        assert_string_equal(f->stream_last_event_id, "2");
        link_get_stats(f->link, &stats);
        assert_int_equal(stats.reconnects, 1);
        assert_true(stats.last_event_usec > 0);
        assert_int_equal(link_get_state(f->link), LINK_ACTIVE);
        for (unsigned i = 0; i < f->n_states; i++)
                assert_int_not_equal(f->states[i], LINK_OFFLINE); /* that was no outage */
}

static void test_skip(void **state) {
        Fixture *f = *state;
        LinkStats stats;

        link_test_start(f);
        send_envelope(f, "1", "m1", "\"conversationId\":\"c-9\",", "message.user", "{}");
        send_envelope(
                f,
                "2",
                "m2",
                "\"conversationId\":\"c-9\",\"runnerUid\":\"ru-2\",",
                "conversation.start",
                "{}");
        RUN_UNTIL(
                f->event,
                streq(stored(f, "cursor"), "2")); /* stored a little later, without an acceptance */
        link_get_stats(f->link, &stats);
        assert_int_equal(stats.skipped, 2);
        assert_int_equal(f->n_responded, 0);
        send_envelope(
                f, "3", "m3", "\"conversationId\":\"c-9\",\"runnerUid\":\"ru-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_responded == 1);
        check_response(
                f,
                0,
                "{\"jsonrpc\":\"2.0\",\"id\":\"rq-m3\",\"error\":{\"code\":-32001,\"message\":\"unknown conversation\","
                "\"data\":{\"conversationId\":\"c-9\"}},\"messageId\":\"rsp:m3\"}");
        check_stored(f, "cursor", "3");
        assert_int_equal(f->n_processed, 0);
}

static void test_ping(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        ping(f, "1");
        check_response(
                f,
                0,
                "{\"jsonrpc\":\"2.0\",\"id\":\"rq-ping-1\",\"result\":{\"pong\":true},\"messageId\":\"rsp:ping-1\"}");
        check_stored(f, "cursor", "1");
        /* Without an id there is nothing to answer. */
        test_stream_text(
                f->stream,
                "id: 2\ndata: {\"id\":\"p\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"runner.ping\"}}\n\n");
        ping(f, "3");
        assert_int_equal(f->n_responded, 2);
}

static void test_duplicate(void **state) {
        Fixture *f = *state;
        InboundMessage m = {};
        LinkStats stats;

        f->known[f->n_known++] = strdup("c-1");
        link_test_start(f);
        ping(f, "1");
        send_envelope(f, "2", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_processed == 1);
        assert_int_equal(store_next_response(f->store, 0, &m), 1);
        assert_int_equal(store_response_acked(f->store, m.seq), 0);
        inbound_message_done(&m);
        assert_int_equal(store_next_response(f->store, 0, &m), 0);
        /* Both come again: nothing is done again, and the answer is due again. */
        send_envelope(f, "3", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        send_envelope(f, "1", "ping-1", "", "runner.ping", "{}");
        RUN_UNTIL(f->event, f->n_responded == 3);
        link_get_stats(f->link, &stats);
        assert_int_equal(stats.duplicates, 2);
        assert_int_equal(f->n_processed, 1);
        assert_int_equal(store_next_response(f->store, 0, &m), 1);
        assert_string_equal(m.envelope_id, "ping-1");
        inbound_message_done(&m);
}

static void test_bad_input(void **state) {
        Fixture *f = *state;
        LinkStats stats;
        char *large = malloc(10000);

        link_test_start(f);
        test_stream_text(f->stream, "id: 1\ndata: nonsense\n\n");
        test_stream_text(
                f->stream,
                "id: 2\ndata: {\"id\":\"b2\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"m\",\"params\":{\"taskId\":\"../x\"}}}\n\n");
        test_stream_text(
                f->stream, "id: 3\nevent: ping\ndata: {}\n\nid: 4\nevent: news\ndata: x\n\n: a comment\n\n");
        memset(large, 'x', 9999);
        large[9999] = 0;
        test_stream_text(f->stream, "id: 5\ndata: %s\n\n", large);
        free(large);
        RUN_UNTIL(f->event, streq(stored(f, "cursor"), "5"));
        check_response(
                f,
                0,
                "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32602,\"message\":\"taskId: \\\"../x\\\" is not valid\"},"
                "\"messageId\":\"rsp:b2\"}");
        link_get_stats(f->link, &stats);
        assert_int_equal(stats.bad_messages, 3);
        assert_int_equal(stats.ignored, 2);
        assert_int_equal(f->n_streams, 1); /* the stream goes on */
        ping(f, "6");
        /* The same bad one again is a duplicate: answered again, not stored again. */
        unsigned before = f->n_responded;
        test_stream_text(
                f->stream,
                "id: 7\ndata: {\"id\":\"b2\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"m\",\"params\":{\"taskId\":\"../x\"}}}\n\n");
        RUN_UNTIL(f->event, f->n_responded > before);
}

static void test_process_fails(void **state) {
        Fixture *f = *state;

        f->known[f->n_known++] = strdup("c-1");
        link_test_start(f);
        send_envelope(f, "1", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_processed == 1);
        f->process_failures = 3;
        f->process_result = -ENOSPC;
        TestRequest *old = f->stream;
        for (unsigned n = 1; n <= 4; n++) {
                /* Each time the stream comes back with the old cursor, and the orchestrator says it again. */
                send_envelope(f, "2", "m2", "\"conversationId\":\"c-1\",", "message.user", "{}");
                send_envelope(f, "3", "m3", "\"conversationId\":\"c-1\",", "message.user", "{}");
                if (n == 4)
                        break;
                RUN_UNTIL(f->event, f->n_streams == n + 1);
                assert_string_equal(f->stream_target, "/base/events?since=1");
                assert_int_equal(f->n_processed, 1);
        }
        assert_null(old->connection);
        RUN_UNTIL(f->event, f->n_processed == 3);
        check_processed(f, 1, "m2@2");
        check_processed(f, 2, "m3@3");
}

/* Where the owner cannot tell whose conversation it is, the message is neither skipped nor answered, and comes again. */
static void test_owner_cannot_tell(void **state) {
        Fixture *f = *state;

        f->known[f->n_known++] = strdup("c-1");
        link_test_start(f);
        f->knows_failures = 1;
        unsigned n = f->n_streams;
        send_envelope(f, "1", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_streams == n + 1);
        assert_int_equal(f->n_processed + f->n_responded, 0);
        send_envelope(f, "1", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_processed == 1);
        check_processed(f, 0, "m1@1");
}

/* ---- claims ---- */

static void test_claim(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        f->hold_claims = true;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->claim);
        /* What comes behind it waits, in order. */
        send_envelope(f, "2", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        send_envelope(f, "3", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        send_envelope(f, "4", "s3", "\"conversationId\":\"c-3\",", "conversation.start", "{}");
        send_envelope(f, "5", "g1", "", "git.operation", "{\"workspaceId\":\"w\"}");
        send_envelope(f, "6", "m2", "\"conversationId\":\"c-3\",", "message.user", "{}");
        test_stream_text(f->stream, "id: 7\nevent: other\ndata: x\n\n");
        f->refuse_claims_of = "s2";
        f->hold_claims = false;
        /* A bad one is answered at once, but the cursor stays before what waits. */
        test_stream_text(
                f->stream, "id: 8\ndata: {\"id\":\"b\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":7}}\n\n");
        RUN_UNTIL(f->event, f->n_responded == 1);
        check_stored(f, "cursor", NULL);
        assert_int_equal(f->n_processed, 0);
        answer_claim(f, f->claim);
        RUN_UNTIL(f->event, f->n_processed == 5);
        check_processed(f, 0, "s1@1");
        check_processed(f, 1, "m1@2");
        check_processed(f, 2, "s3@4");
        check_processed(f, 3, "g1@5");
        assert_string_equal(f->claim_ids, "[\"s2\",\"s3\",\"g1\"]"); /* together */
        assert_int_equal(f->n_claims, 2);
        RUN_UNTIL(f->event, streq(stored(f, "cursor"), "8"));
}

static void test_claim_before_hand_over(void **state) {
        Fixture *f = *state;

        /* What stands behind a change of the active runner is not claimed before the change took effect. */
        link_test_start(f);
        f->hold_claims = true;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->claim);
        send_envelope(f, "2", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        send_envelope(f, "3", "u1", "", "runner.uid.changed", "{\"runnerUid\":\"ru-2\"}");
        send_envelope(f, "4", "s3", "\"conversationId\":\"c-3\",", "conversation.start", "{}");
        test_stream_text(
                f->stream, "id: 5\ndata: {\"id\":\"b\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":7}}\n\n");
        RUN_UNTIL(f->event, f->n_responded == 1); /* all of them are in */
        f->hold_claims = false;
        answer_claim(f, f->claim);
        RUN_UNTIL(f->event, streq(stored(f, "cursor"), "5"));
        assert_string_equal(f->claim_ids, "[\"s2\"]");
        assert_int_equal(f->n_claims, 2);
        assert_int_equal(f->n_processed, 2);
        assert_int_equal(link_get_state(f->link), LINK_STANDBY);
}

static void test_claim_retry(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        f->claim_failures = 3;
        f->claim_status = 503;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        send_envelope(f, "2", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_processed == 2);
        assert_int_equal(f->n_claims, 4);
        check_processed(f, 0, "s1@1");
        /* Somebody on the way says no, perhaps after it was granted: nobody else would serve it. */
        f->claim_failures = 3;
        f->claim_status = 413;
        send_envelope(f, "3", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        send_envelope(f, "4", "s3", "\"conversationId\":\"c-3\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->n_processed == 4);
        check_processed(f, 2, "s2@3");
        check_processed(f, 3, "s3@4");
        assert_int_equal(f->n_streams, 1);
}

static void test_no_claims(void **state) {
        Fixture *f = *state;

        f->no_claims = true;
        link_test_start(f);
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->n_processed == 1);
        assert_int_equal(f->n_claims, 0);
}

static void test_claims_unknown(void **state) {
        Fixture *f = *state;

        f->claim_unknown = true;
        link_test_start(f);
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        send_envelope(f, "2", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->n_processed == 2);
        assert_int_equal(f->n_claims, 1);
}

/* Work from before a restart is claimed once more, whatever becomes of the stream meanwhile. */
static void test_confirm(void **state) {
        Fixture *f = *state;

        f->held = "s1";
        f->hold_claims = true;
        link_test_start(f);
        RUN_UNTIL(f->event, f->claim);
        test_request_close(f->stream);
        f->stream = NULL;
        RUN_UNTIL(f->event, f->stream && link_is_connected(f->link));
        assert_null(f->decided);
        f->claim_failures = 1;
        f->claim_status = 503;
        answer_claim(f, f->claim);
        f->hold_claims = false;
        test_request_close(f->stream);
        f->stream = NULL;
        RUN_UNTIL(f->event, f->decided);
        assert_string_equal(f->decided, "granted");
        assert_string_equal(f->claim_ids, "[\"s1\"]");
        assert_int_equal(f->n_claims, 2);
}

static void test_confirm_refused(void **state) {
        Fixture *f = *state;

        f->held = "s1";
        f->refuse_claims_of = "s1";
        link_test_start(f);
        RUN_UNTIL(f->event, f->decided);
        assert_string_equal(f->decided, "refused");
}

static void test_stream_ends_under_claim(void **state) {
        Fixture *f = *state;

        link_test_start(f);
        f->hold_claims = true;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        send_envelope(f, "2", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->claim);
        TestRequest *claim = f->claim;
        test_request_close(f->stream);
        f->stream = NULL;
        RUN_UNTIL(f->event, f->stream);
        /* What waited was never accepted: it is asked for again, and so is the claim. */
        assert_string_equal(f->stream_target, "/base/events");
        check_stored(f, "cursor", NULL);
        RUN_UNTIL(f->event, !claim->connection);
        f->hold_claims = false;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        send_envelope(f, "2", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        send_envelope(f, "3", "m2", "\"conversationId\":\"c-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_processed == 3);
        check_processed(f, 0, "s1@1");
        check_processed(f, 1, "m1@2");
        check_processed(f, 2, "m2@3");
        assert_int_equal(f->n_claims, 2);
}

static LinkStats stats_of(Fixture *f) {
        LinkStats stats;

        link_get_stats(f->link, &stats);
        return stats;
}

static void test_queue_bound(void **state) {
        Fixture *f = *state;
        unsigned n = LINK_QUEUE_MAX + 500, sent = 2;

        link_test_start(f);
        f->hold_claims = true;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        TestRequest *first = f->stream;
        for (; sent <= n; sent++) {
                char cursor[16], id[16];
                (void) snprintf(cursor, sizeof(cursor), "%u", sent);
                (void) snprintf(id, sizeof(id), "m%u", sent);
                send_envelope(f, cursor, id, "\"conversationId\":\"c-1\",", "message.user", "{}");
        }
        RUN_UNTIL(f->event, f->claim);
        RUN_UNTIL(f->event, !first->connection); /* it was too much: the stream is closed */
        assert_int_equal(stats_of(f).waiting, LINK_QUEUE_MAX);
        assert_int_equal(f->n_streams, 1); /* and not opened before the claim is through */
        f->stream = NULL;
        f->hold_claims = false;
        answer_claim(f, f->claim);
        RUN_UNTIL(f->event, f->stream);
        assert_int_equal(f->n_processed, LINK_QUEUE_MAX);
        unsigned last = 0;
        assert_int_equal(sscanf(f->stream_target, "/base/events?since=%u", &last), 1);
        assert_int_equal(last, LINK_QUEUE_MAX);
        for (sent = last + 1; sent <= n; sent++) {
                char cursor[16], id[16];
                (void) snprintf(cursor, sizeof(cursor), "%u", sent);
                (void) snprintf(id, sizeof(id), "m%u", sent);
                send_envelope(f, cursor, id, "\"conversationId\":\"c-1\",", "message.user", "{}");
        }
        RUN_UNTIL(f->event, f->n_processed == n);
        for (unsigned i = 1; i < n; i++) {
                char expected[32];
                (void) snprintf(expected, sizeof(expected), "m%u@%u", i + 1, i + 1);
                check_processed(f, i, expected);
        }
}

/* A value costs far more than its text where it is parsed: of messages that are little else few wait. */
static void test_queue_bound_of_values(void **state) {
        enum { N = 24, VALUES = 1200, FIT = 13 };
        _cleanup_buffer_ Buffer params = {};
        Fixture *f = *state;

        (void) buffer_append_str(&params, "{\"list\":[{}");
        for (unsigned i = 1; i < VALUES; i++)
                (void) buffer_append_str(&params, ",{}");
        assert_return_code(buffer_append_str(&params, "]}"), 0);
        static_assert(FIT * VALUES * 1024 < LINK_QUEUE_BYTES_MAX, "they fit");
        static_assert((FIT + 1) * VALUES * 1024 > LINK_QUEUE_BYTES_MAX, "and one more does not");
        link_test_start(f);
        f->hold_claims = true;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        TestRequest *first = f->stream;
        for (unsigned i = 2; i <= N; i++) {
                char cursor[16], id[16];
                (void) snprintf(cursor, sizeof(cursor), "%u", i);
                (void) snprintf(id, sizeof(id), "m%u", i);
                send_envelope(f, cursor, id, "\"conversationId\":\"c-1\",", "message.user", params.data);
        }
        RUN_UNTIL(f->event, f->claim);
        RUN_UNTIL(f->event, !first->connection);
        assert_int_equal(stats_of(f).waiting, 1 + FIT);
        f->stream = NULL;
        f->hold_claims = false;
        answer_claim(f, f->claim);
        RUN_UNTIL(f->event, f->stream);
        assert_int_equal(f->n_processed, 1 + FIT);
        assert_int_equal(stats_of(f).waiting_bytes, 0);
        check_stored(f, "cursor", "14");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, link_test_set_up, link_test_tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_register),
                CASE(test_register_again),
                CASE(test_largest_body_is_stored_as_announced),
                CASE(test_largest_body_that_is_no_number_of_bytes_is_ignored),
                CASE(test_register_retry),
                CASE(test_give_up_401),
                CASE(test_give_up_404),
                CASE(test_give_up_stale),
                CASE(test_give_up_none),
                CASE(test_work_keeps_alive),
                CASE(test_process),
                CASE(test_skip),
                CASE(test_ping),
                CASE(test_duplicate),
                CASE(test_bad_input),
                CASE(test_process_fails),
                CASE(test_owner_cannot_tell),
                CASE(test_claim),
                CASE(test_claim_before_hand_over),
                CASE(test_claim_retry),
                CASE(test_no_claims),
                CASE(test_claims_unknown),
                CASE(test_confirm),
                CASE(test_confirm_refused),
                CASE(test_stream_ends_under_claim),
                CASE(test_queue_bound),
                CASE(test_queue_bound_of_values),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
