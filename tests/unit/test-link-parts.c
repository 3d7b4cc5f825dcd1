/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/log.h"
#include "runner/link/claim-request.h"
#include "runner/link/claims.h"
#include "runner/link/heartbeat.h"
#include "runner/link/held-claims.h"
#include "runner/link/link-record.h"
#include "runner/link/registrar.h"
#include "test-server.h"

/* The parts of a link, each without the others. */

#define GRANTED "\"result\":{\"granted\":[\"a\"],\"refused\":[{\"id\":\"b\",\"owner\":\"ru-2\"}]}"
#define ERROR(code) "\"error\":{\"code\":" #code ",\"message\":\"no\"}"
#define REGISTERED                                                                                           \
        "\"result\":{\"runnerId\":\"rn-1\",\"runnerUid\":\"ru-1\",\"isActiveRunner\":true,\"cursor\":\"7\"," \
        "\"heartbeatIntervalMs\":5000,\"capabilities\":[\"claim\"]}"

typedef struct Fixture {
        sd_event *event;
        TestServer *server;
        Endpoint *endpoint;
        char dir[64];
        int dirfd;
        Store *store;
        LinkRecord *record;

        /* the orchestrator: what it answers, and the last request that it got */
        int status;
        const char *answer; /* members of a JSON-RPC response; NULL: nothing */
        unsigned failures;  /* so many are answered with 503 before */
        bool hold;
        TestRequest *held_request;
        unsigned n_requests;
        char *method, *params, *target, *authorization, *runner_id;

        /* what the part reports */
        long refused;
        unsigned n_decided, n_retries;
        ClaimOutcome outcome;
        char granted[8]; /* the ids, each a letter */
        char *owner;
        const char *held; /* the same */
        unsigned n_described;
        int describe_result;
        unsigned n_taken, n_done, n_failed, n_changed;
        int take_result, exit_code;
        bool has_work;
        uint64_t heartbeat_usec;
} Fixture;

static uint64_t no_jitter(uint64_t max, void *userdata) {
        return 0;
}

static const Backoff backoff = { USEC_PER_MSEC, 4 * USEC_PER_MSEC, no_jitter, NULL };

static void set(char **p, const char *s) {
        assert_int_equal(free_and_strdup(p, s), 0);
}

static void on_request(TestRequest *r, void *userdata) {
        _cleanup_json_ Json *root = NULL;
        _cleanup_free_ char *body = NULL;
        Fixture *f = userdata;
        uint64_t id = 0;

        f->n_requests++;
        set(&f->target, r->target);
        free(f->authorization);
        f->authorization = test_request_header(r, "Authorization");
        free(f->runner_id);
        f->runner_id = test_request_header(r, "X-Northflare-Runner-Id");
        if (r->body_size > 0) {
                assert_int_equal(json_parse(r->body, r->body_size, &root, NULL), 0);
                set(&f->method, json_get_string(root, "method"));
                set(&f->params, json_text(json_get(root, "params")));
                (void) json_get_u64(root, "id", &id);
        }
        if (f->hold) {
                f->held_request = r;
                return;
        }
        if (f->failures > 0) {
                f->failures--;
                test_reply(r, 503, NULL, NULL);
                return;
        }
        if (f->answer)
                body = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",%s}", id, f->answer);
        test_reply(r, f->status, NULL, body);
}

static void on_refused(void *userdata, long status) {
        ((Fixture *) userdata)->refused = status;
}

static int set_up(void **state) {
        Fixture *f = new0(Fixture, 1);
        _cleanup_free_ char *error = NULL;

        assert_non_null(f);
        log_set_max_level(LOG_CRIT);
        assert_true(sd_event_new(&f->event) >= 0);
        test_deadline_arm(f->event);
        f->server = test_server_new(f->event, on_request, f);
        f->status = 200;
        (void) snprintf(f->dir, sizeof(f->dir), "/tmp/test-link.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->dirfd = open(f->dir, O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(store_open(f->dirfd, f->dir, &f->store, &error), 0);
        assert_int_equal(link_record_new(f->event, f->store, USEC_PER_MSEC, &f->record), 0);
        EndpointConfig c = {
                .url = test_server_url(f->server),
                .messages_path = "/in",
                .events_path = "/events",
                .token = "secret",
                .timeout_usec = 3600 * USEC_PER_SEC,
                .refused = on_refused,
                .userdata = f,
        };
        assert_int_equal(endpoint_new(f->event, &c, &f->endpoint), 0);
        assert_int_equal(endpoint_set_runner_id(f->endpoint, NULL), 0);
        endpoint_set_can_claim(f->endpoint, true);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        endpoint_free(f->endpoint);
        link_record_free(f->record);
        store_close(f->store);
        test_server_free(f->server);
        test_deadline_disarm();
        safe_close(f->dirfd);
        assert_int_equal(remove_tree_at(AT_FDCWD, f->dir), 0);
        sd_event_unref(f->event);
        free(f->method);
        free(f->params);
        free(f->target);
        free(f->authorization);
        free(f->runner_id);
        free(f->owner);
        free(f);
        return 0;
}

/* Lets the loop run dry: what would have come is there then. */
static void settle(Fixture *f, unsigned msec) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + msec * USEC_PER_MSEC;

        while (now_usec(CLOCK_MONOTONIC) < end)
                assert_true(sd_event_run(f->event, USEC_PER_MSEC) >= 0);
}

/* ---- the endpoint ---- */

static void on_nothing(HttpRequest *request, const HttpResult *result, void *userdata) {
}

static void test_token_and_id_are_in_every_request(void **state) {
        Fixture *f = *state;
        HttpRequest *r = NULL;

        assert_int_equal(endpoint_set_token(f->endpoint, "next", "rn-7"), 0);
        assert_int_equal(endpoint_set_token(f->endpoint, "a\r\nb", "rn-8"), -EINVAL);
        assert_int_equal(endpoint_post(f->endpoint, "m", NULL, NULL, on_nothing, NULL, &r), 0);
        RUN_UNTIL(f->event, f->n_requests == 1);
        assert_string_equal(f->authorization, "Bearer next");
        assert_string_equal(f->runner_id, "rn-7");
        assert_string_equal(f->target, "/in");
        http_request_free(r);
        assert_int_equal(endpoint_set_runner_id(f->endpoint, "rn-9"), 0);
        assert_int_equal(endpoint_post(f->endpoint, "m", NULL, NULL, on_nothing, NULL, &r), 0);
        RUN_UNTIL(f->event, f->n_requests == 2);
        assert_string_equal(f->authorization, "Bearer next");
        assert_string_equal(f->runner_id, "rn-9");
        http_request_free(r);
}

static void test_cursor_of_a_page_is_escaped(void **state) {
        Fixture *f = *state;
        HttpRequest *r = NULL;
        EndpointQuery q = { .cursor = "a b&c", .limit = 3, .max_body = 100, .done = on_nothing };

        assert_int_equal(endpoint_get(f->endpoint, &q, &r), 0);
        RUN_UNTIL(f->event, f->n_requests == 1);
        assert_string_equal(f->target, "/in?since=a%20b%26c&limit=3");
        http_request_free(r);
}

/* ---- claims ---- */

static void on_decided(void *userdata, ClaimOutcome outcome, Json *result) {
        Fixture *f = userdata;
        size_t n = 0;

        f->n_decided++;
        f->outcome = outcome;
        for (const char *id = "a\0b\0c\0"; *id; id += 2)
                if (claim_result_grants(result, id))
                        f->granted[n++] = *id;
        set(&f->owner, claim_result_owner(result, "b"));
}

static void on_retry(void *userdata) {
        ((Fixture *) userdata)->n_retries++;
}

static const ClaimsOps claims_ops = { .decided = on_decided, .retry = on_retry };

static Claims *make_claims(Fixture *f) {
        Claims *c = NULL;

        assert_int_equal(claims_new(f->event, f->endpoint, &backoff, &claims_ops, f, &c), 0);
        return c;
}

static void ask(Claims *c) {
        _cleanup_json_ Json *ids = json_object_new_array();

        assert_false(claims_is_busy(c));
        assert_int_equal(json_object_array_add(ids, json_object_new_string("a")), 0);
        assert_int_equal(json_object_array_add(ids, json_object_new_string("b")), 0);
        claims_ask(c, ids);
}

static void test_claims_answered(void **state) {
        Fixture *f = *state;
        _cleanup_(claims_freep) Claims *c = make_claims(f);

        f->answer = GRANTED;
        ask(c);
        assert_true(claims_is_busy(c));
        RUN_UNTIL(f->event, f->n_decided == 1);
        assert_string_equal(f->method, "runner.claim");
        assert_string_equal(f->params, "{\"ids\":[\"a\",\"b\"]}");
        assert_int_equal(f->outcome, CLAIMS_ANSWERED);
        assert_string_equal(f->granted, "a");
        assert_string_equal(f->owner, "ru-2");
        assert_false(claims_is_busy(c));
}

static void test_claims_unknown(void **state) {
        Fixture *f = *state;
        _cleanup_(claims_freep) Claims *c = make_claims(f);

        f->answer = ERROR(-32601);
        ask(c);
        RUN_UNTIL(f->event, f->n_decided == 1);
        assert_int_equal(f->outcome, CLAIMS_UNKNOWN);
        assert_false(endpoint_can_claim(f->endpoint));
}

static void test_claims_refused(void **state) {
        Fixture *f = *state;
        _cleanup_(claims_freep) Claims *c = make_claims(f);

        f->answer = ERROR(-32603);
        ask(c);
        RUN_UNTIL(f->event, f->n_decided == 1);
        assert_int_equal(f->outcome, CLAIMS_REFUSED);
        assert_true(endpoint_can_claim(f->endpoint));
}

/* No JSON-RPC, whatever the status: it may have been granted, and only asking again shows. */
static void test_claims_unanswered(void **state) {
        static const int statuses[] = { 200, 404, 503 };
        Fixture *f = *state;
        _cleanup_(claims_freep) Claims *c = make_claims(f);

        for (unsigned i = 0; i < ELEMENTSOF(statuses); i++) {
                f->status = statuses[i];
                ask(c);
                RUN_UNTIL(f->event, f->n_decided == i + 1);
                assert_int_equal(f->outcome, CLAIMS_UNANSWERED);
                assert_true(claims_is_busy(c));
                RUN_UNTIL(f->event, f->n_retries == i + 1);
                assert_false(claims_is_busy(c));
        }
        claims_ask(c, NULL);
        assert_int_equal(f->n_decided, ELEMENTSOF(statuses) + 1);
        assert_int_equal(f->outcome, CLAIMS_UNANSWERED);
        assert_true(claims_is_busy(c));
}

static void test_claims_of_a_lost_registration(void **state) {
        Fixture *f = *state;
        _cleanup_(claims_freep) Claims *c = make_claims(f);

        f->status = 410;
        f->answer = GRANTED;
        ask(c);
        RUN_UNTIL(f->event, f->refused != 0);
        assert_int_equal(f->refused, 410);
        assert_int_equal(f->n_decided, 0);
}

static void test_claims_stopped(void **state) {
        Fixture *f = *state;
        _cleanup_(claims_freep) Claims *c = make_claims(f);

        f->status = 503;
        ask(c);
        RUN_UNTIL(f->event, f->n_decided == 1);
        claims_stop(c);
        assert_false(claims_is_busy(c));
        settle(f, 10);
        assert_int_equal(f->n_retries, 0);
}

/* ---- work that was taken in before ---- */

static int list_held(void *userdata, Json *ids) {
        Fixture *f = userdata;

        for (const char *id = strempty(f->held); *id; id++)
                assert_int_equal(json_object_array_add(ids, json_object_new_string_len(id, 1)), 0);
        return 0;
}

static void held_decided(void *userdata, const char *id, bool granted, const char *owner) {
        Fixture *f = userdata;

        f->n_decided++;
        if (granted)
                f->granted[strlen(f->granted)] = *id;
        if (owner)
                set(&f->owner, owner);
}

static const HeldClaimsOps held_ops = { .list = list_held, .decided = held_decided };

static HeldClaims *make_held(Fixture *f, const char *held) {
        HeldClaims *h = NULL;

        f->held = held;
        assert_int_equal(held_claims_new(f->event, f->endpoint, &backoff, &held_ops, f, &h), 0);
        return h;
}

static void test_held_answered(void **state) {
        Fixture *f = *state;
        _cleanup_(held_claims_freep) HeldClaims *h = make_held(f, "abc");

        f->answer = GRANTED;
        f->failures = 2;
        held_claims_ask(h);
        RUN_UNTIL(f->event, f->n_decided == 3);
        assert_int_equal(f->n_requests, 3);
        assert_string_equal(f->params, "{\"ids\":[\"a\",\"b\",\"c\"]}");
        assert_string_equal(f->granted, "a");
        assert_string_equal(f->owner, "ru-2");
}

static void test_held_without_claims(void **state) {
        Fixture *f = *state;
        _cleanup_(held_claims_freep) HeldClaims *h = make_held(f, "ab");

        endpoint_set_can_claim(f->endpoint, false);
        held_claims_ask(h);
        assert_string_equal(f->granted, "ab");
        settle(f, 5);
        assert_int_equal(f->n_requests, 0);
}

static void test_nothing_held(void **state) {
        Fixture *f = *state;
        _cleanup_(held_claims_freep) HeldClaims *h = make_held(f, "");

        held_claims_ask(h);
        settle(f, 5);
        assert_int_equal(f->n_requests, 0);
}

/* ---- heartbeat ---- */

static int describe(void *userdata, Json *params) {
        Fixture *f = userdata;

        f->n_described++;
        return f->describe_result < 0 ? f->describe_result : json_set_string(params, "state", "active");
}

static Heartbeat *make_heartbeat(Fixture *f, uint64_t interval_usec) {
        Heartbeat *h = NULL;

        assert_int_equal(heartbeat_new(f->event, f->endpoint, interval_usec, describe, f, &h), 0);
        return h;
}

static void test_heartbeat_comes_again(void **state) {
        Fixture *f = *state;
        _cleanup_(heartbeat_freep) Heartbeat *h = make_heartbeat(f, 3600 * USEC_PER_SEC);

        f->status = 503; /* which changes nothing */
        heartbeat_set_interval(h, USEC_PER_MSEC);
        heartbeat_send(h);
        RUN_UNTIL(f->event, f->n_requests == 3);
        assert_string_equal(f->method, "runner.heartbeat");
        assert_string_equal(f->params, "{\"state\":\"active\"}");
        heartbeat_stop(h);
        settle(f, 10);
        assert_int_equal(f->n_requests, 3);
}

/* One that is late is given up for the next; one that cannot be made is left out. */
static void test_heartbeat_is_replaced(void **state) {
        Fixture *f = *state;
        _cleanup_(heartbeat_freep) Heartbeat *h = make_heartbeat(f, 3600 * USEC_PER_SEC);

        f->hold = true;
        heartbeat_send(h);
        RUN_UNTIL(f->event, f->n_requests == 1);
        f->hold = false;
        f->status = 409;
        heartbeat_send(h);
        RUN_UNTIL(f->event, f->refused == 409);
        RUN_UNTIL(f->event, !f->held_request->connection);
        assert_int_equal(f->n_requests, 2);
        f->describe_result = -ENOMEM;
        heartbeat_send(h);
        settle(f, 5);
        assert_int_equal(f->n_described, 3);
        assert_int_equal(f->n_requests, 2);
}

/* ---- registration ---- */

static bool has_work(void *userdata) {
        return ((Fixture *) userdata)->has_work;
}

static int take(void *userdata, const Registered *g) {
        Fixture *f = userdata;

        f->n_taken++;
        if (f->take_result < 0) {
                int r = f->take_result;

                f->take_result = 0;
                return r;
        }
        assert_true(g->can_claim);
        f->heartbeat_usec = g->heartbeat_usec;
        return link_record_take(f->record, g);
}

static void done(void *userdata) {
        ((Fixture *) userdata)->n_done++;
}

static void failed(void *userdata, bool status_changed) {
        Fixture *f = userdata;

        f->n_failed++;
        f->n_changed += status_changed;
}

static void give_up(void *userdata, int exit_code, const char *text) {
        ((Fixture *) userdata)->exit_code = exit_code;
}

static const RegistrarOps registrar_ops = {
        .describe = describe,
        .has_work = has_work,
        .take = take,
        .done = done,
        .failed = failed,
        .give_up = give_up,
};

static Registrar *make_registrar(Fixture *f, RetryStrategy strategy) {
        Registrar *r = NULL;
        RegistrarConfig c = {
                .url = "http://example.org",
                .version = "9",
                .strategy = strategy,
                .interval_usec = USEC_PER_MSEC,
                .duration_usec = USEC_PER_SEC,
                .backoff = backoff,
        };

        assert_int_equal(registrar_new(f->event, f->endpoint, f->record, &c, &registrar_ops, f, &r), 0);
        assert_int_equal(registrar_get_state(r), LINK_REGISTERING);
        registrar_begin(r);
        registrar_try(r);
        return r;
}

static void test_registrar_tries_until_it_is_taken(void **state) {
        Fixture *f = *state;
        f->answer = REGISTERED;
        f->failures = 2;
        f->take_result = -ENOSPC;
        _cleanup_(registrar_freep) Registrar *r = make_registrar(f, RETRY_INTERVAL);

        RUN_UNTIL(f->event, f->n_failed == 2);
        assert_int_equal(registrar_get_status(r), 503);
        assert_int_equal(f->n_changed, 1);
        RUN_UNTIL(f->event, f->n_done == 1);
        assert_int_equal(f->n_taken, 2);
        assert_int_equal(f->n_failed, 3);
        assert_string_equal(f->method, "runner.register");
        assert_non_null(strstr(f->params, "\"generation\":4,\"state\":\"active\""));
        assert_int_equal(f->heartbeat_usec, 5 * USEC_PER_SEC);
        assert_string_equal(link_record_runner_uid(f->record), "ru-1");
}

static void test_registrar_gives_up(void **state) {
        Fixture *f = *state;
        f->failures = 1;
        _cleanup_(registrar_freep) Registrar *r = make_registrar(f, RETRY_NONE);

        RUN_UNTIL(f->event, f->exit_code == EXIT_FAILURE);
        settle(f, 10);
        assert_int_equal(f->n_requests, 1);
        assert_int_equal(f->n_failed, 0);
        assert_int_equal(registrar_get_status(r), 0); /* nothing waits for another attempt */
}

/* Of a runner that was registered: the state that the link had stays until the answer is there. */
static void test_registrar_registers_again(void **state) {
        Fixture *f = *state;
        f->answer = REGISTERED;
        _cleanup_(registrar_freep) Registrar *r = make_registrar(f, RETRY_INTERVAL);

        RUN_UNTIL(f->event, f->n_done == 1);
        f->failures = 1;
        registrar_try_again(r, LINK_ACTIVE);
        assert_int_equal(registrar_get_state(r), LINK_ACTIVE);
        RUN_UNTIL(f->event, f->n_failed == 1);
        assert_int_equal(registrar_get_state(r), LINK_OFFLINE);
        RUN_UNTIL(f->event, f->n_done == 2);
        assert_non_null(strstr(f->params, "\"previousRunnerUid\":\"ru-1\""));
}

/* ---- what is stored ---- */

static void check_stored(Fixture *f, const char *key, const char *expected) {
        _cleanup_free_ char *v = NULL;

        assert_return_code(store_get(f->store, key, &v), 0);
        assert_true(streq_ptr(v, expected));
}

static void test_record_takes_a_cursor_once(void **state) {
        Fixture *f = *state;
        Registered g = { .runner_id = "rn-1", .runner_uid = "ru-1", .cursor = "7", .is_active = true };

        assert_int_equal(link_record_take(f->record, &g), 0);
        assert_string_equal(link_record_cursor(f->record), "7");
        assert_true(link_record_is_active(f->record));
        g.cursor = "3";
        g.is_active = false;
        assert_int_equal(link_record_take(f->record, &g), 0);
        assert_string_equal(link_record_cursor(f->record), "7");
        assert_false(link_record_is_active(f->record));
        check_stored(f, "cursor", "7");
        check_stored(f, "activeUid", NULL);
}

static void test_record_stores_what_no_message_stores(void **state) {
        Fixture *f = *state;
        LinkRecord *again = NULL;

        assert_int_equal(store_set(f->store, "cursor", "1"), 0);
        assert_int_equal(link_record_advance(f->record, "1", NULL, true), 1);
        assert_int_equal(link_record_advance(f->record, "1", NULL, true), 0);
        assert_int_equal(link_record_advance(f->record, NULL, NULL, true), 0);
        assert_int_equal(link_record_advance(f->record, "2", "yesterday", false), 0);
        check_stored(f, "cursor", "1");
        settle(f, 5);
        check_stored(f, "cursor", "2");
        check_stored(f, "lastProcessedAt", "yesterday");
        assert_int_equal(link_record_new(f->event, f->store, 0, &again), 0);
        assert_string_equal(link_record_cursor(again), "2");
        assert_string_equal(link_record_last_processed_at(again), "yesterday");
        link_record_free(again);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_token_and_id_are_in_every_request),
                CASE(test_cursor_of_a_page_is_escaped),
                CASE(test_claims_answered),
                CASE(test_claims_unknown),
                CASE(test_claims_refused),
                CASE(test_claims_unanswered),
                CASE(test_claims_of_a_lost_registration),
                CASE(test_claims_stopped),
                CASE(test_held_answered),
                CASE(test_held_without_claims),
                CASE(test_nothing_held),
                CASE(test_heartbeat_comes_again),
                CASE(test_heartbeat_is_replaced),
                CASE(test_registrar_tries_until_it_is_taken),
                CASE(test_registrar_gives_up),
                CASE(test_registrar_registers_again),
                CASE(test_record_takes_a_cursor_once),
                CASE(test_record_stores_what_no_message_stores),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
