/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/json.h"
#include "common/log.h"
#include "runner/link/link-internal.h"
#include "test-server.h"

#define LIST_MAX 4096

/* A runner around a link: it accepts what it is given into a real store. */
typedef struct Fixture {
        sd_event *event;
        TestServer *server;
        char dir[64];
        int dirfd;
        Store *store;
        Link *link;
        LinkConfig config;
        LinkTiming timing;

        /* the orchestrator */
        int register_status;
        const char *register_extra, *register_body; /* NULL: the usual */
        const char *cursor, *last_processed_at;     /* in the answer to runner.register */
        bool standby, no_claims;
        unsigned n_registers, n_streams, n_pages, n_claims, n_heartbeats;
        char *register_params, *heartbeat_params, *claim_ids;
        char *stream_target, *stream_last_event_id, *stream_authorization, *stream_runner_id;
        TestRequest *stream;                /* the newest */
        int stream_status, stream_failures; /* so many times */
        const char *stream_type;
        bool stream_closes;
        int claim_status, claim_failures;
        bool hold_claims, claim_unknown;
        TestRequest *claim;
        const char *refuse_claims_of; /* this id belongs to another */
        const char *pages[4];
        char *page_targets[16];
        TestRequest *held_post;
        bool hold_posts;
        unsigned n_posts;

        /* the owner */
        char *processed[LIST_MAX]; /* "id@cursor" */
        size_t n_processed;
        char *known[8];
        size_t n_known;
        int process_result, process_failures;
        unsigned n_responded, n_states;
        LinkState states[32];
        bool has_work;
        const char *held, *decided; /* what was taken in before a restart */
        int exit_code;
        char *exit_text;
} Fixture;

static void set(char **p, const char *s) {
        assert_int_equal(free_and_strdup(p, s), 0);
}

static void set_header(char **p, TestRequest *r, const char *name) {
        free(*p);
        *p = test_request_header(r, name);
}

/* ---- the orchestrator ---- */

static void answer_claim(Fixture *f, TestRequest *r) {
        _cleanup_json_ Json *root = NULL;
        _cleanup_buffer_ Buffer b = {}, no = {};
        uint64_t id = 0;
        Json *ids;

        assert_int_equal(json_parse(r->body, r->body_size, &root, NULL), 0);
        assert_int_equal(json_get_u64(root, "id", &id), 1);
        if (f->claim_failures > 0) {
                f->claim_failures--;
                test_reply(r, f->claim_status, NULL, NULL);
                return;
        }
        if (f->claim_unknown) {
                char *text = xasprintf(
                                "{\"jsonrpc\":\"2.0\",\"id\":%u,\"error\":{\"code\":-32601,\"message\":\"?\"}}",
                                (unsigned) id);
                test_reply(r, 200, NULL, text);
                free(text);
                return;
        }
        ids = json_get(json_get(root, "params"), "ids");
        set(&f->claim_ids, json_text(ids));
        (void) buffer_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":{\"granted\":[", (unsigned) id);
        for (size_t i = 0, n = 0; i < json_object_array_length(ids); i++) {
                const char *e = json_object_get_string(json_object_array_get_idx(ids, i));
                if (streq_ptr(e, f->refuse_claims_of))
                        (void) buffer_printf(&no, "{\"id\":\"%s\",\"owner\":\"ru-2\"}", e);
                else
                        (void) buffer_printf(&b, "%s\"%s\"", n++ > 0 ? "," : "", e);
        }
        (void) buffer_printf(&b, "],\"refused\":[%s]}}", strempty(no.data));
        test_reply(r, 200, NULL, b.data);
}

static void on_post(Fixture *f, TestRequest *r) {
        _cleanup_json_ Json *root = NULL;
        const char *method;

        assert_int_equal(json_parse(r->body, r->body_size, &root, NULL), 0);
        if (json_object_is_type(root, json_type_array)) {
                f->n_posts++;
                if (f->hold_posts)
                        f->held_post = r;
                else
                        test_reply(r, 204, NULL, NULL);
                return;
        }
        method = json_get_string(root, "method");
        assert_non_null(method);
        if (streq(method, "runner.register")) {
                uint64_t id = 0;

                f->n_registers++;
                set(&f->register_params, json_text(json_get(root, "params")));
                assert_int_equal(json_get_u64(root, "id", &id), 1);
                if (f->register_status != 200) {
                        test_reply(r, f->register_status, f->register_extra, f->register_body);
                        return;
                }
                char *text = f->register_body ?
                                xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%u,%s}",
                                          (unsigned) id,
                                          f->register_body) :
                                xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":{\"runnerId\":\"rn-%u\",\"runnerUid\":\"ru-1\","
                                          "\"isActiveRunner\":%s,\"cursor\":%s%s%s,\"lastProcessedAt\":%s%s%s,"
                                          "\"capabilities\":[%s]}}",
                                          (unsigned) id,
                                          f->n_registers,
                                          f->standby ? "false" : "true",
                                          f->cursor ? "\"" : "",
                                          f->cursor ? f->cursor : "null",
                                          f->cursor ? "\"" : "",
                                          f->last_processed_at ? "\"" : "",
                                          f->last_processed_at ? f->last_processed_at : "null",
                                          f->last_processed_at ? "\"" : "",
                                          f->no_claims ? "" : "\"x\",\"claim\"");
                test_reply(r, 200, NULL, text);
                free(text);
        } else if (streq(method, "runner.claim")) {
                f->n_claims++;
                if (f->hold_claims)
                        f->claim = r;
                else
                        answer_claim(f, r);
        } else if (streq(method, "runner.heartbeat")) {
                f->n_heartbeats++;
                assert_null(json_get(root, "id"));
                set(&f->heartbeat_params, json_text(json_get(root, "params")));
                test_reply(r, 204, NULL, NULL);
        } else
                fail_msg("method %s", method);
}

static void on_request(TestRequest *r, void *userdata) {
        Fixture *f = userdata;

        if (startswith(r->target, "/base/in") && streq(r->method, "POST")) {
                on_post(f, r);
                return;
        }
        assert_string_equal(r->method, "GET");
        if (startswith(r->target, "/base/in")) {
                assert_true(f->n_pages < ELEMENTSOF(f->page_targets));
                f->page_targets[f->n_pages] = strdup(r->target);
                const char *page = f->n_pages < ELEMENTSOF(f->pages) ? f->pages[f->n_pages] : NULL;
                f->n_pages++;
                test_reply(r,
                           200,
                           NULL,
                           page ? page : "{\"messages\":[],\"cursor\":\"end\",\"more\":false}");
                return;
        }
        assert_non_null(startswith(r->target, "/base/events"));
        f->n_streams++;
        set(&f->stream_target, r->target);
        set_header(&f->stream_last_event_id, r, "Last-Event-ID");
        set_header(&f->stream_authorization, r, "Authorization");
        set_header(&f->stream_runner_id, r, "X-Northflare-Runner-Id");
        if (f->stream_failures > 0) {
                f->stream_failures--;
                test_reply(r, f->stream_status, NULL, NULL);
                return;
        }
        f->stream = r;
        test_stream_begin(r, f->stream_type ? f->stream_type : "text/event-stream; charset=utf-8");
        if (f->stream_closes)
                test_request_close(r);
}

static void
send_envelope(Fixture *f,
              const char *cursor,
              const char *id,
              const char *members,
              const char *method,
              const char *params) {
        test_stream_text(f->stream, "id: %s\nevent: runner.message\n", cursor);
        test_stream_text(
                        f->stream,
                        "data: {\"id\":\"%s\",%s\"payload\":{\"jsonrpc\":\"2.0\",\"id\":\"rq-%s\",\"method\":\"%s\",\"params\":%s}}\n\n",
                        id,
                        members,
                        id,
                        method,
                        params);
}

/* ---- the owner ---- */

static int describe(void *userdata, Json *params) {
        return json_set_string(params, "hostname", "test");
}

static int heartbeat(void *userdata, Json *params) {
        return json_set_string(params, "state", "active");
}

static bool knows(void *userdata, const char *conversation) {
        Fixture *f = userdata;

        for (size_t i = 0; i < f->n_known; i++)
                if (streq(f->known[i], conversation))
                        return true;
        return false;
}

static int process(void *userdata, const Envelope *e) {
        Fixture *f = userdata;
        InboundMessage m = envelope_row(e, NULL);
        int64_t seq;

        if (f->process_failures > 0) {
                f->process_failures--;
                return f->process_result;
        }
        assert_int_equal(store_accept(f->store, &m, e->cursor, true, &seq), 1); /* never twice */
        assert_true(f->n_processed < LIST_MAX);
        f->processed[f->n_processed++] = xasprintf("%s@%s", e->id, strempty(e->cursor));
        if (streq(e->method, "conversation.start") && f->n_known < ELEMENTSOF(f->known))
                f->known[f->n_known++] = strdup(e->conversation);
        return 0;
}

static void responded(void *userdata) {
        ((Fixture *) userdata)->n_responded++;
}

static void state_changed(void *userdata, LinkState state) {
        Fixture *f = userdata;

        if (f->n_states < ELEMENTSOF(f->states))
                f->states[f->n_states++] = state;
}

static void give_up(void *userdata, int exit_code, const char *text) {
        Fixture *f = userdata;

        f->exit_code = exit_code;
        set(&f->exit_text, text);
}

static bool has_work(void *userdata) {
        return ((Fixture *) userdata)->has_work;
}

static int list_held(void *userdata, Json *ids) {
        Fixture *f = userdata;

        return f->held && !f->decided ? json_object_array_add(ids, json_object_new_string(f->held)) : 0;
}

static void held_decided(void *userdata, const char *id, bool granted, const char *owner) {
        Fixture *f = userdata;

        assert_string_equal(id, f->held);
        assert_null(f->decided);
        f->decided = granted ? "granted" : streq_ptr(owner, "ru-2") ? "refused" : "nobody";
}

static const LinkOps ops = {
        .list_held = list_held,
        .held_decided = held_decided,
        .describe = describe,
        .heartbeat = heartbeat,
        .knows = knows,
        .process = process,
        .responded = responded,
        .state_changed = state_changed,
        .give_up = give_up,
        .has_work = has_work,
};

static uint64_t no_jitter(uint64_t max, void *userdata) {
        return 0;
}

static void make_link(Fixture *f) {
        assert_int_equal(
                        link_new_with_timing(f->event, f->store, &f->config, &f->timing, &ops, f, &f->link),
                        0);
}

static int set_up(void **state) {
        Fixture *f = new0(Fixture, 1);
        _cleanup_free_ char *error = NULL;

        assert_non_null(f);
        log_set_max_level(LOG_CRIT);
        assert_true(sd_event_new(&f->event) >= 0);
        test_deadline_arm(f->event);
        f->server = test_server_new(f->event, on_request, f);
        (void) snprintf(f->dir, sizeof(f->dir), "/tmp/test-link.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->dirfd = open(f->dir, O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(store_open(f->dirfd, f->dir, &f->store, &error), 0);
        f->register_status = 200;
        f->timing = link_timing_default;
        f->timing.reopen = USEC_PER_MSEC;
        f->timing.retry_min = USEC_PER_MSEC;
        f->timing.retry_max = 10 * USEC_PER_MSEC;
        f->timing.poll = 5 * USEC_PER_MSEC;
        f->timing.flush = USEC_PER_MSEC;
        f->timing.jitter = no_jitter;
        f->timing.sender.retry_min_usec = USEC_PER_MSEC;
        f->timing.sender.retry_max_usec = 10 * USEC_PER_MSEC;
        f->config = (LinkConfig){
                .url = xasprintf("%s/base", test_server_url(f->server)),
                .token = "secret",
                .messages_path = "/in",
                .events_path = "/events",
                .retry_strategy = RETRY_INTERVAL,
                .retry_interval_usec = USEC_PER_MSEC,
                .retry_duration_usec = 900 * USEC_PER_SEC,
                .heartbeat_usec = 3600 * USEC_PER_SEC,
                .max_message_bytes = 4096,
                .version = "9",
        };
        make_link(f);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        link_free(f->link);
        store_close(f->store);
        test_server_free(f->server);
        test_deadline_disarm();
        safe_close(f->dirfd);
        assert_int_equal(remove_tree_at(AT_FDCWD, f->dir), 0);
        free((char *) f->config.url);
        free(f->register_params);
        free(f->heartbeat_params);
        free(f->claim_ids);
        free(f->stream_target);
        free(f->stream_last_event_id);
        free(f->stream_authorization);
        free(f->stream_runner_id);
        free(f->exit_text);
        for (size_t i = 0; i < f->n_processed; i++)
                free(f->processed[i]);
        for (size_t i = 0; i < f->n_known; i++)
                free(f->known[i]);
        for (size_t i = 0; i < ELEMENTSOF(f->page_targets); i++)
                free(f->page_targets[i]);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static void start(Fixture *f) {
        assert_int_equal(link_start(f->link), 0);
        RUN_UNTIL(f->event, f->stream && link_is_connected(f->link));
}

static void start_no_stream(Fixture *f) {
        assert_int_equal(link_start(f->link), 0);
}

static void check_stored(Fixture *f, const char *key, const char *expected) {
        _cleanup_free_ char *value = NULL;

        assert_true(store_get(f->store, key, &value) >= 0);
        if (!streq_ptr(value, expected))
                fail_msg("%s is %s, not %s", key, value ? value : "(none)", expected ? expected : "(none)");
}

static char *stored(Fixture *f, const char *key) {
        static char text[256];
        _cleanup_free_ char *value = NULL;

        assert_true(store_get(f->store, key, &value) >= 0);
        (void) snprintf(text, sizeof(text), "%s", strempty(value));
        return text;
}

static void check_processed(Fixture *f, size_t i, const char *expected) {
        assert_true(i < f->n_processed);
        assert_string_equal(f->processed[i], expected);
}

/* The i-th response that waits for the orchestrator. */
static void check_response(Fixture *f, unsigned i, const char *expected) {
        int64_t seq = 0;

        for (unsigned k = 0;; k++) {
                InboundMessage m = {};

                assert_int_equal(store_next_response(f->store, seq, &m), 1);
                seq = m.seq;
                if (k == i)
                        assert_string_equal(m.response, expected);
                inbound_message_done(&m);
                if (k == i)
                        return;
        }
}

/* All that was sent before it is dealt with when this one is answered. */
static void ping(Fixture *f, const char *cursor) {
        unsigned before = f->n_responded;
        char id[64];

        (void) snprintf(id, sizeof(id), "ping-%s", cursor);
        send_envelope(f, cursor, id, "", "runner.ping", "{}");
        RUN_UNTIL(f->event, f->n_responded > before);
}

/* ---- registration ---- */

static void test_register(void **state) {
        Fixture *f = *state;
        _cleanup_json_ Json *params = NULL;
        uint64_t n = 0;

        f->cursor = "a b&c/1";
        f->last_processed_at = "2026-11-22T15:04:05.123Z";
        assert_int_equal(link_get_state(f->link), LINK_REGISTERING);
        assert_null(link_runner_id(f->link));
        start(f);
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

static void test_register_again(void **state) {
        Fixture *f = *state;
        _cleanup_json_ Json *params = NULL;
        uint64_t first = 0, second = 0;

        /* A floor is for those who have no cursor of their own. */
        f->cursor = "floor";
        start(f);
        send_envelope(f, "5", "m1", "", "runner.other", "{}");
        ping(f, "6");
        assert_int_equal(json_parse(f->register_params, strlen(f->register_params), &params, NULL), 0);
        assert_int_equal(json_get_u64(params, "generation", &first), 1);
        json_object_put(TAKE_PTR(params));
        f->link = link_free(f->link);
        f->stream = NULL;
        make_link(f);
        assert_int_equal(link_get_state(f->link), LINK_OFFLINE); /* it was registered once */
        start(f);
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
                {503,  NULL                                                                             },
                { 429, NULL                                                                             },
                { 200, "\"error\":{\"code\":-32003,\"message\":\"full\"}"                               },
                { 200, "\"result\":{}"                                                                  },
                { 200, "\"result\":{\"runnerId\":\"r\",\"runnerUid\":\"u\"}"                            },
                { 200,
                 "\"result\":{\"runnerId\":\"r\\r\\nX: y\",\"runnerUid\":\"u\",\"isActiveRunner\":true}"},
                { 200, "\"result\":5"                                                                   },
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
                                json_parse(f->register_params, strlen(f->register_params), &params, NULL),
                                0);
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
        check_give_up(*state,
                      404,
                      "{\"id\":1,\"error\":{\"code\":1,\"message\":\"nothing here\"}}",
                      1,
                      "HTTP 404: nothing here");
}

static void test_give_up_stale(void **state) {
        Fixture *f = *state;

        check_give_up(f,
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
        start(f);
        send_envelope(f, "1", "m1", "\"conversationId\":\"c-1\",", "message.user", "{\"content\":\"a\"}");
        send_envelope(f,
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

        start(f);
        send_envelope(f, "1", "m1", "\"conversationId\":\"c-9\",", "message.user", "{}");
        send_envelope(f,
                      "2",
                      "m2",
                      "\"conversationId\":\"c-9\",\"runnerUid\":\"ru-2\",",
                      "conversation.start",
                      "{}");
        RUN_UNTIL(f->event,
                  streq(stored(f, "cursor"), "2")); /* stored a little later, without an acceptance */
        link_get_stats(f->link, &stats);
        assert_int_equal(stats.skipped, 2);
        assert_int_equal(f->n_responded, 0);
        send_envelope(f,
                      "3",
                      "m3",
                      "\"conversationId\":\"c-9\",\"runnerUid\":\"ru-1\",",
                      "message.user",
                      "{}");
        RUN_UNTIL(f->event, f->n_responded == 1);
        check_response(f,
                       0,
                       "{\"jsonrpc\":\"2.0\",\"id\":\"rq-m3\",\"error\":{\"code\":-32001,\"message\":\"unknown conversation\","
                       "\"data\":{\"conversationId\":\"c-9\"}},\"messageId\":\"rsp:m3\"}");
        check_stored(f, "cursor", "3");
        assert_int_equal(f->n_processed, 0);
}

static void test_ping(void **state) {
        Fixture *f = *state;

        start(f);
        ping(f, "1");
        check_response(f,
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
        start(f);
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

        start(f);
        test_stream_text(f->stream, "id: 1\ndata: nonsense\n\n");
        test_stream_text(
                        f->stream,
                        "id: 2\ndata: {\"id\":\"b2\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"m\",\"params\":{\"taskId\":\"../x\"}}}\n\n");
        test_stream_text(
                        f->stream,
                        "id: 3\nevent: ping\ndata: {}\n\nid: 4\nevent: news\ndata: x\n\n: a comment\n\n");
        memset(large, 'x', 9999);
        large[9999] = 0;
        test_stream_text(f->stream, "id: 5\ndata: %s\n\n", large);
        free(large);
        RUN_UNTIL(f->event, streq(stored(f, "cursor"), "5"));
        check_response(f,
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
        start(f);
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

/* ---- claims ---- */

static void test_claim(void **state) {
        Fixture *f = *state;

        start(f);
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
                        f->stream,
                        "id: 8\ndata: {\"id\":\"b\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":7}}\n\n");
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
        start(f);
        f->hold_claims = true;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->claim);
        send_envelope(f, "2", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        send_envelope(f, "3", "u1", "", "runner.uid.changed", "{\"runnerUid\":\"ru-2\"}");
        send_envelope(f, "4", "s3", "\"conversationId\":\"c-3\",", "conversation.start", "{}");
        test_stream_text(
                        f->stream,
                        "id: 5\ndata: {\"id\":\"b\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":7}}\n\n");
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

        start(f);
        f->claim_failures = 3;
        f->claim_status = 503;
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        send_envelope(f, "2", "m1", "\"conversationId\":\"c-1\",", "message.user", "{}");
        RUN_UNTIL(f->event, f->n_processed == 2);
        assert_int_equal(f->n_claims, 4);
        check_processed(f, 0, "s1@1");
        /* A definite no ends it. */
        f->claim_failures = 1;
        f->claim_status = 400;
        send_envelope(f, "3", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        send_envelope(f, "4", "s3", "\"conversationId\":\"c-3\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->n_processed == 3 || streq(stored(f, "cursor"), "4"));
        assert_int_equal(f->n_streams, 1);
}

static void test_no_claims(void **state) {
        Fixture *f = *state;

        f->no_claims = true;
        start(f);
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->n_processed == 1);
        assert_int_equal(f->n_claims, 0);
}

static void test_claims_unknown(void **state) {
        Fixture *f = *state;

        f->claim_unknown = true;
        start(f);
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
        start(f);
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
        start(f);
        RUN_UNTIL(f->event, f->decided);
        assert_string_equal(f->decided, "refused");
}

static void test_stream_ends_under_claim(void **state) {
        Fixture *f = *state;

        start(f);
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

static void test_queue_bound(void **state) {
        Fixture *f = *state;
        unsigned n = LINK_QUEUE_MAX + 500, sent = 2;

        start(f);
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
        assert_int_equal(f->link->queue_count, LINK_QUEUE_MAX);
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

/* ---- who is active ---- */

static void test_hand_over(void **state) {
        Fixture *f = *state;

        start(f);
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        RUN_UNTIL(f->event, f->n_processed == 1);
        send_envelope(f, "2", "u1", "", "runner.uid.changed", "{\"runnerUid\":\"ru-2\",\"cursor\":\"1\"}");
        RUN_UNTIL(f->event, link_get_state(f->link) == LINK_STANDBY);
        check_stored(f, "activeUid", "ru-2");
        assert_int_equal(f->n_streams, 1);
        /* Nothing new is claimed; what lives here is served to its end. */
        send_envelope(f, "3", "s2", "\"conversationId\":\"c-2\",", "conversation.start", "{}");
        send_envelope(f,
                      "4",
                      "m1",
                      "\"conversationId\":\"c-1\",\"runnerUid\":\"ru-1\",",
                      "message.user",
                      "{}");
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
        send_envelope(f,
                      "4",
                      "m1",
                      "\"conversationId\":\"c-1\",\"runnerUid\":\"ru-1\",",
                      "message.user",
                      "{}");
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
        start(f);
        assert_int_equal(link_get_state(f->link), LINK_STANDBY);
        check_stored(f, "activeUid", NULL);
        send_envelope(f, "1", "s1", "\"conversationId\":\"c-1\",", "conversation.start", "{}");
        send_envelope(f, "2", "u0", "", "runner.uid.changed", "{\"runnerUid\":7}");
        RUN_UNTIL(f->event, f->n_responded == 1);
        check_response(f,
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
        start(f);
        test_stream_text(f->stream, ": here\n");
        TestRequest *old = f->stream;
        RUN_UNTIL(f->event, f->n_streams >= 2);
        assert_null(old->connection);
}

static void test_outage(void **state) {
        Fixture *f = *state;

        start(f);
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
        f->pages[0] = "{\"messages\":[{\"id\":\"m1\",\"conversationId\":\"c-1\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"message.user\"}},"
                      "{\"id\":\"s1\",\"conversationId\":\"c-2\",\"payload\":{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conversation.start\"}},"
                      "{\"bad\":true},"
                      "{\"id\":\"m2\",\"conversationId\":\"c-2\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"message.user\"}}],"
                      "\"cursor\":\"p1\",\"more\":true}";
        f->pages[1] = "{\"messages\":[{\"id\":\"m3\",\"conversationId\":\"c-1\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"message.user\"}}],"
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
        RUN_UNTIL(f->event, f->n_pages >= 2);
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
        f->pages[0] = "{\"messages\":[{\"id\":\"m1\",\"conversationId\":\"c-1\",\"payload\":{\"jsonrpc\":\"2.0\",\"method\":\"message.user\"}}],"
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

        start(f);
        ping(f, "1");
        f->stream_status = 401;
        f->stream_failures = 1;
        f->register_status = 401;
        test_request_close(f->stream);
        f->stream = NULL;
        RUN_UNTIL(f->event, link_get_state(f->link) == LINK_REFUSED);
        assert_null(f->exit_text); /* never the end of a runner that was registered */
        /* A new token is tried at once. */
        f->register_status = 200;
        assert_int_equal(link_set_token(f->link, "new"), 0);
        RUN_UNTIL(f->event, f->stream && link_get_state(f->link) == LINK_ACTIVE);
        assert_string_equal(f->stream_authorization, "Bearer new");
        assert_int_equal(f->n_registers, 2);
}

static void test_registration_forgotten(void **state) {
        Fixture *f = *state;

        start(f);
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

        start(f);
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

static const SendSourceOps source_ops = { .fill = fill,
                                          .acked = acked,
                                          .lost = lost,
                                          .set_aside = set_aside };

static void test_heartbeat(void **state) {
        Fixture *f = *state;
        Events e = {};
        SendSource *source = NULL;

        assert_int_equal(send_source_new(link_get_sender(f->link), &source_ops, &e, &source), 0);
        sender_wake(source);
        link_heartbeat(f->link); /* not before it is registered */
        f->hold_posts = true;
        start(f);
        RUN_UNTIL(f->event, f->held_post);
        assert_int_equal(f->n_heartbeats, 0);
        ping(f, "7");
        link_heartbeat(f->link);
        RUN_UNTIL(f->event, f->n_heartbeats == 1); /* events under way do not hold it up */
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
        start(f);
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

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                CASE(test_register),
                CASE(test_register_again),
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
                CASE(test_claim),
                CASE(test_claim_before_hand_over),
                CASE(test_claim_retry),
                CASE(test_no_claims),
                CASE(test_claims_unknown),
                CASE(test_confirm),
                CASE(test_confirm_refused),
                CASE(test_stream_ends_under_claim),
                CASE(test_queue_bound),
                CASE(test_hand_over),
                CASE(test_standby_survives),
                CASE(test_silence),
                CASE(test_outage),
                CASE(test_no_stream),
                CASE(test_stream_comes_back),
                CASE(test_bad_page),
                CASE(test_large_page),
                CASE(test_unheld),
                CASE(test_refused_later),
                CASE(test_registration_forgotten),
                CASE(test_new_token),
                CASE(test_heartbeat),
                CASE(test_heartbeat_interval),
                CASE(test_sender_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
