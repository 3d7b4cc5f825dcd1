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
#include "link-test.h"
#include "runner/store/store-inbound.h"

void set(char **p, const char *s) {
        assert_int_equal(free_and_strdup(p, s), 0);
}

static void set_header(char **p, TestRequest *r, const char *name) {
        free(*p);
        *p = test_request_header(r, name);
}

/* ---- the orchestrator ---- */

void answer_claim(Fixture *f, TestRequest *r) {
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
                        xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%u,%s}", (unsigned) id, f->register_body) :
                        xasprintf(
                                "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":{\"runnerId\":\"rn-%u\",\"runnerUid\":\"ru-1\","
                                "\"isActiveRunner\":%s,\"cursor\":%s%s%s,\"lastProcessedAt\":%s%s%s,"
                                "\"capabilities\":[%s]%s%s}}",
                                (unsigned) id,
                                f->n_registers,
                                f->standby ? "false" : "true",
                                f->cursor ? "\"" : "",
                                f->cursor ? f->cursor : "null",
                                f->cursor ? "\"" : "",
                                f->last_processed_at ? "\"" : "",
                                f->last_processed_at ? f->last_processed_at : "null",
                                f->last_processed_at ? "\"" : "",
                                f->no_claims ? "" : "\"x\",\"claim\"",
                                f->max_body ? ",\"maxBodyBytes\":" : "",
                                strempty(f->max_body));
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
                test_reply(
                        r, 200, NULL, page ? page : "{\"messages\":[],\"cursor\":\"end\",\"more\":false}");
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

void send_envelope(
        Fixture *f,
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
        Fixture *f = userdata;
        int r = json_set_string(params, "state", "active");

        return r >= 0 && f->heartbeat ? f->heartbeat(params, f->heartbeat_data) : r;
}

static int knows(void *userdata, const char *conversation) {
        Fixture *f = userdata;

        if (f->knows_failures > 0) {
                f->knows_failures--;
                return -EAGAIN;
        }

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

void make_link(Fixture *f) {
        assert_int_equal(
                link_new_with_timing(f->event, f->store, &f->config, &f->timing, &ops, f, &f->link), 0);
}

int link_test_set_up(void **state) {
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

int link_test_tear_down(void **state) {
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

void link_test_start(Fixture *f) {
        assert_int_equal(link_start(f->link), 0);
        RUN_UNTIL(f->event, f->stream && link_is_connected(f->link));
}

void start_no_stream(Fixture *f) {
        assert_int_equal(link_start(f->link), 0);
}

void check_stored(Fixture *f, const char *key, const char *expected) {
        _cleanup_free_ char *value = NULL;

        assert_true(store_get(f->store, key, &value) >= 0);
        if (!streq_ptr(value, expected))
                fail_msg("%s is %s, not %s", key, value ? value : "(none)", expected ? expected : "(none)");
}

char *stored(Fixture *f, const char *key) {
        static char text[256];
        _cleanup_free_ char *value = NULL;

        assert_true(store_get(f->store, key, &value) >= 0);
        (void) snprintf(text, sizeof(text), "%s", strempty(value));
        return text;
}

void check_processed(Fixture *f, size_t i, const char *expected) {
        assert_true(i < f->n_processed);
        assert_string_equal(f->processed[i], expected);
}

/* The i-th response that waits for the orchestrator. */
void check_response(Fixture *f, unsigned i, const char *expected) {
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
void ping(Fixture *f, const char *cursor) {
        unsigned before = f->n_responded;
        char id[64];

        (void) snprintf(id, sizeof(id), "ping-%s", cursor);
        send_envelope(f, cursor, id, "", "runner.ping", "{}");
        RUN_UNTIL(f->event, f->n_responded > before);
}
