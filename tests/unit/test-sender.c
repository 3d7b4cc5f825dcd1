/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/json.h"
#include "runner/link/sender.h"
#include "test-server.h"

/* A source of numbered events. Those with a number in `bad` are refused by the server below. */
typedef struct Source {
        SendSource *source;
        struct Fixture *f;
        char name;
        unsigned total, acked, filled; /* numbers */
        size_t pad;                    /* bytes that each event has beside */
        unsigned large;                /* the number of an event of 16 MiB, 0: none */
        unsigned n_acked, n_lost, n_filled;
        unsigned aside[64];
        size_t n_aside;
        int fill_result, aside_result;
        bool free_when_acked, free_when_aside, half; /* half: leaves an event unfinished … */
        bool no_memory;                              /* … for which there was none */
        /* What the server took of it, in its order. */
        unsigned taken[5000];
        size_t n_taken;
} Source;

typedef struct Fixture {
        sd_event *event;
        TestServer *server;
        HttpClient *http;
        Sender *sender;
        Source sources[8];
        size_t n_sources;
        /* How the server behaves: */
        int status; /* for every batch, 0: by the rule of bad events */
        const char *extra;
        bool hold; /* answer later */
        int ping_status;
        unsigned bad[8];
        size_t n_bad;
        size_t max_events; /* more in a batch are 413; 0: no limit */
        bool good_after_ping;
        /* What it saw: */
        TestRequest *held[8];
        size_t n_held;
        unsigned n_posts, n_pings;
        size_t largest, last_events, last_size;
        char order[4096]; /* the sources of the batches */
        /* What the sender said: */
        SenderTrouble trouble;
        long trouble_status;
        unsigned n_trouble;
} Fixture;

static Source *source_named(Fixture *f, char name) {
        for (size_t i = 0; i < f->n_sources; i++)
                if (f->sources[i].name == name)
                        return f->sources + i;
        fail_msg("no source %c", name);
        return NULL;
}

/* Takes the events of a batch, or only looks whether there is a bad one. */
static bool walk(Fixture *f, Json *list, bool take) {
        bool good = true;

        for (size_t i = 0; i < json_object_array_length(list); i++) {
                Json *params = json_get(json_object_array_get_idx(list, i), "params");
                const char *id = json_get_string(params, "messageId");
                unsigned n;
                char name;

                assert_non_null(id);
                assert_int_equal(sscanf(id, "%c:%u", &name, &n), 2);
                for (size_t k = 0; k < f->n_bad; k++)
                        if (f->bad[k] == n)
                                good = false;
                if (take) {
                        Source *s = source_named(f, name);
                        s->taken[s->n_taken++] = n;
                }
        }
        return good;
}

static void answer(Fixture *f, TestRequest *r) {
        _cleanup_json_ Json *root = NULL;
        int status = f->status;

        assert_int_equal(json_parse(r->body, r->body_size, &root, NULL), 0);
        assert_true(json_object_is_type(root, json_type_array));
        f->last_events = json_object_array_length(root);
        f->last_size = r->body_size;
        if (status == 0 && f->max_events > 0 && json_object_array_length(root) > f->max_events)
                status = 413;
        if (status == 0)
                status = walk(f, root, false) ? 204 : 400;
        if (status / 100 == 2 && !f->extra)
                (void) walk(f, root, true);
        test_reply(r, status, f->extra, NULL);
}

static void on_request(TestRequest *r, void *userdata) {
        Fixture *f = userdata;
        char *type = test_request_header(r, "Content-Type"), *who = test_request_header(r, "X-Who");

        assert_string_equal(r->method, "POST");
        assert_string_equal(r->target, "/messages");
        assert_string_equal(type, "application/json");
        assert_string_equal(who, "me");
        free(type);
        free(who);
        if (r->body[0] == '{') {
                assert_non_null(strstr(r->body, "\"method\":\"runner.ping\""));
                f->n_pings++;
                if (f->good_after_ping)
                        f->n_bad = 0;
                test_reply(
                        r,
                        f->ping_status,
                        NULL,
                        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"pong\":true}}");
                return;
        }
        f->n_posts++;
        f->largest = MAX(f->largest, r->body_size);
        char *id = strstr(r->body, "messageId\":\"");
        assert_non_null(id);
        size_t n = strlen(f->order);
        if (n + 1 < sizeof(f->order))
                f->order[n] = id[strlen("messageId\":\"")];
        if (f->hold) {
                assert_true(f->n_held < ELEMENTSOF(f->held));
                f->held[f->n_held++] = r;
        } else
                answer(f, r);
}

static void on_trouble(SenderTrouble t, long status, void *userdata) {
        Fixture *f = userdata;

        f->trouble = t;
        f->trouble_status = status;
        f->n_trouble++;
}

static int set_up(void **state) {
        static char *const headers[] = {
                (char *) "Content-Type: application/json",
                (char *) "X-Who: me",
                NULL,
        };
        static const SenderTiming timing = {
                .retry_min_usec = USEC_PER_MSEC,
                .retry_max_usec = 20 * USEC_PER_MSEC,
                .timeout_usec = 30 * USEC_PER_SEC,
        };
        Fixture *f = new0(Fixture, 1);
        char url[128];

        assert_non_null(f);
        f->ping_status = 200;
        assert_true(sd_event_new(&f->event) >= 0);
        test_deadline_arm(f->event);
        f->server = test_server_new(f->event, on_request, f);
        assert_int_equal(http_client_new(f->event, NULL, &f->http), 0);
        assert_int_equal(sender_new(f->event, f->http, &timing, on_trouble, f, &f->sender), 0);
        (void) snprintf(url, sizeof(url), "%s/messages", test_server_url(f->server));
        assert_int_equal(sender_set_target(f->sender, url, headers), 0);
        sender_set_enabled(f->sender, true);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < f->n_sources; i++)
                send_source_free(f->sources[i].source);
        sender_free(f->sender);
        http_client_free(f->http);
        test_server_free(f->server);
        test_deadline_disarm();
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static void add_event(Source *s, SendBatch *b, unsigned n) {
        size_t pad = s->large == n ? 16 * 1024 * 1024 : s->pad;
        char id[32], *padding;

        (void) snprintf(id, sizeof(id), "%c:%u", s->name, n);
        padding = malloc(pad + 1);
        assert_non_null(padding);
        memset(padding, 'x', pad);
        padding[pad] = 0;
        if (n % 2 == 0) {
                /* In place … */
                Buffer *to = send_batch_buffer(b);
                (void) buffer_printf(to, "{\"params\":{\"messageId\":\"%s\",", id);
                assert_ptr_equal(send_batch_buffer(b), to);
                (void) buffer_printf(to, "\"pad\":\"%s\"}}", padding);
                assert_int_equal(send_batch_event_done(b, id), 0);
        } else {
                /* … or whole. */
                char *text = xasprintf("{\"params\":{\"messageId\":\"%s\",\"pad\":\"%s\"}}", id, padding);
                assert_int_equal(send_batch_add(b, id, text, strlen(text)), 0);
                free(text);
        }
        free(padding);
}

static int fill(void *userdata, SendBatch *b) {
        Source *s = userdata;

        s->n_filled++;
        for (s->filled = s->acked; s->filled < s->total && !send_batch_full(b); s->filled++)
                add_event(s, b, s->filled + 1);
        if (s->half)
                (void) buffer_append_str(send_batch_buffer(b), "{\"half\":");
        if (s->no_memory)
                send_batch_buffer(b)->failed = true;
        return s->fill_result;
}

static void acked(void *userdata) {
        Source *s = userdata;

        s->n_acked++;
        s->acked = s->filled;
        if (s->free_when_acked)
                s->source = send_source_free(s->source);
}

static void lost(void *userdata) {
        ((Source *) userdata)->n_lost++;
}

static int
set_aside(void *userdata, const char *message_id, const char *json, size_t size, const char *why) {
        Source *s = userdata;
        _cleanup_json_ Json *o = NULL;
        unsigned n;
        char name;

        if (s->aside_result < 0)
                return s->aside_result;
        assert_int_equal(sscanf(message_id, "%c:%u", &name, &n), 2);
        assert_int_equal(name, s->name);
        assert_int_equal(json_parse(json, size, &o, NULL), 0);
        assert_string_equal(json_get_string(json_get(o, "params"), "messageId"), message_id);
        assert_non_null(strstr(why, "responded with HTTP 4"));
        s->aside[s->n_aside++] = n;
        if (s->free_when_aside)
                s->source = send_source_free(s->source);
        return 0;
}

static const SendSourceOps ops = { .fill = fill, .acked = acked, .lost = lost, .set_aside = set_aside };

static Source *add_source(Fixture *f, unsigned total) {
        Source *s = f->sources + f->n_sources;

        s->f = f;
        s->name = (char) ('a' + f->n_sources++);
        s->total = total;
        assert_int_equal(send_source_new(f->sender, &ops, s, &s->source), 0);
        return s;
}

/* Every number but those set aside was taken, once and in order. */
static void check_taken(Source *s) {
        size_t k = 0;

        for (unsigned n = 1; n <= s->total; n++) {
                bool is_aside = false;

                for (size_t i = 0; i < s->n_aside; i++)
                        if (s->aside[i] == n)
                                is_aside = true;
                if (is_aside)
                        continue;
                assert_true(k < s->n_taken);
                assert_int_equal(s->taken[k++], n);
        }
        assert_int_equal(k, s->n_taken);
}

static void test_one_batch(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 100);
        SenderStats stats;

        /* Many wakes, one request. */
        for (int i = 0; i < 50; i++)
                sender_wake(s->source);
        RUN_UNTIL(f->event, s->acked == 100);
        assert_int_equal(f->n_posts, 1);
        assert_int_equal(s->n_acked, 1);
        check_taken(s);
        sender_get_stats(f->sender, &stats);
        assert_int_equal(stats.acked_events, 100);
        assert_int_equal(stats.in_flight, 0);
        assert_true(stats.last_ack_usec > 0);
        assert_false(stats.refused);
}

static void test_full_batches(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 600);

        /* Full ones are followed by the next without a wake. */
        s->pad = 1024;
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->acked == 600);
        check_taken(s);
        assert_true(f->largest >= SENDER_BATCH_BYTES);
        assert_true(f->largest < SENDER_BATCH_BYTES + 2048);
        assert_int_equal(f->n_posts, 3); /* 246 a batch: none is cut in two */
}

static void test_wake_while_under_way(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 1);

        f->hold = true;
        sender_wake(s->source);
        RUN_UNTIL(f->event, f->n_held == 1);
        s->total = 2;
        sender_wake(s->source);
        Source *other = add_source(f, 1);
        sender_wake(other->source);
        RUN_UNTIL(f->event, f->n_held == 2);
        assert_string_equal(f->order, "ab"); /* one batch of a source at a time */
        f->hold = false;
        answer(f, f->held[0]);
        answer(f, f->held[1]);
        RUN_UNTIL(f->event, s->acked == 2 && other->acked == 1);
        assert_string_equal(f->order, "aba");
        check_taken(s);
}

static void test_four_in_flight(void **state) {
        Fixture *f = *state;
        SenderStats stats;

        f->hold = true;
        for (int i = 0; i < 6; i++)
                sender_wake(add_source(f, 1)->source);
        RUN_UNTIL(f->event, f->n_held == SENDER_IN_FLIGHT);
        sender_get_stats(f->sender, &stats);
        assert_int_equal(stats.in_flight, SENDER_IN_FLIGHT);
        assert_string_equal(f->order, "abcd");
        answer(f, f->held[2]); /* c's place is free: e comes next */
        RUN_UNTIL(f->event, f->n_held == 5);
        assert_string_equal(f->order, "abcde");
        f->hold = false;
        for (size_t i = 0; i < 5; i++)
                if (i != 2)
                        answer(f, f->held[i]);
        RUN_UNTIL(f->event, f->sources[5].acked == 1 && f->sources[4].acked == 1);
        for (int i = 0; i < 6; i++)
                check_taken(f->sources + i);
}

/* The n-th of the 24 orders of four. */
static void permutation(unsigned n, size_t *ret) {
        size_t left[] = { 0, 1, 2, 3 };

        for (size_t i = 0; i < 4; i++) {
                size_t k = n % (4 - i);

                n /= 4 - i;
                ret[i] = left[k];
                for (; k < 3; k++)
                        left[k] = left[k + 1];
        }
}

/* Taken, but some of the answers never arrive: what comes again has the number that it had. */
static void answer_unheard(Fixture *f, TestRequest *r) {
        _cleanup_json_ Json *root = NULL;

        assert_int_equal(json_parse(r->body, r->body_size, &root, NULL), 0);
        (void) walk(f, root, true);
        test_request_close(r);
}

/* Each number came, in order where it came first; twice only where an answer was lost. */
static void check_first_taken(Source *s, bool unheard) {
        unsigned next = 1;

        for (size_t i = 0; i < s->n_taken; i++) {
                assert_true(s->taken[i] <= next);
                assert_true(s->taken[i] == next || unheard);
                if (s->taken[i] == next)
                        next++;
        }
        assert_int_equal(next, s->total + 1);
}

/* Four batches under way and more behind each; answered in this order, those of the mask unheard. */
static void answer_in_order(Fixture *f, const size_t *order, unsigned unheard) {
        f->n_held = f->n_sources = 0;
        memset(f->sources, 0, sizeof(f->sources));
        memset(f->order, 0, sizeof(f->order));
        f->hold = true;
        for (int i = 0; i < 4; i++)
                sender_wake(add_source(f, 3)->source);
        RUN_UNTIL(f->event, f->n_held == 4);
        assert_string_equal(f->order, "abcd");
        for (int i = 0; i < 4; i++) {
                f->sources[i].total = 5;
                sender_wake(f->sources[i].source);
        }
        f->hold = false;
        for (int i = 0; i < 4; i++)
                if (unheard & (1U << order[i]))
                        answer_unheard(f, f->held[order[i]]);
                else
                        answer(f, f->held[order[i]]);
}

static void check_all_arrive(Source *s, bool unheard) {
        RUN_UNTIL(s->f->event, s->acked == 5);
        check_first_taken(s, unheard);
        assert_int_equal(s->n_taken > 5, unheard);
        s->source = send_source_free(s->source);
}

/* Every order of the answers, with every choice of those that are lost. */
static void test_all_orders(void **state) {
        Fixture *f = *state;

        for (unsigned n = 0; n < 24 * 16; n++) {
                unsigned unheard = n / 24;
                size_t order[4];

                permutation(n % 24, order);
                answer_in_order(f, order, unheard);
                for (unsigned i = 0; i < 4; i++)
                        check_all_arrive(f->sources + i, (unheard >> i) & 1);
        }
}

static void test_fairness(void **state) {
        Fixture *f = *state;

        /* Six greedy sources, four places: they take turns. */
        for (int i = 0; i < 6; i++) {
                Source *s = add_source(f, 1500);
                s->pad = 1024;
                sender_wake(s->source);
        }
        for (int i = 0; i < 6; i++)
                RUN_UNTIL(f->event, f->sources[i].acked == 1500);
        for (int i = 0; i < 6; i++)
                check_taken(f->sources + i);
        /* Nobody gets his third batch before everybody has had his first. */
        unsigned n[6] = {}, first = 0;
        for (size_t i = 0; f->order[i] && first < 6; i++) {
                unsigned k = (unsigned) (f->order[i] - 'a');
                if (n[k]++ == 0)
                        first++;
                assert_true(n[k] < 3);
        }
}

static void test_large_event(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 20);

        s->large = 11;
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->acked == 20);
        check_taken(s);
        assert_int_equal(f->n_posts, 3); /* those before it, itself, those behind it */
        assert_true(f->largest < 16 * 1024 * 1024 + 200);
}

static void test_retry(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 50), *t = add_source(f, 1);
        static const int statuses[] = { 503, 500, 429, 404, 408, 302, 502 };
        SenderStats stats;

        sender_wake(s->source);
        for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
                unsigned before = f->n_posts;
                f->status = statuses[i];
                RUN_UNTIL(f->event, f->n_posts >= before + 2);
        }
        assert_int_equal(s->n_filled, 1); /* the same batch all the time */
        sender_wake(t->source);
        f->status = 0;
        RUN_UNTIL(f->event, s->acked == 50 && t->acked == 1);
        check_taken(s);
        assert_int_equal(f->n_trouble, 0);
        assert_int_equal(s->n_aside, 0);
        sender_get_stats(f->sender, &stats);
        assert_true(stats.retries >= 7);
}

static void test_outage(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 10), *t = add_source(f, 10);

        f->hold = true;
        sender_wake(s->source);
        sender_wake(t->source);
        RUN_UNTIL(f->event, f->n_held == 2);
        test_server_down(f->server);
        SenderStats stats = {};
        while (stats.retries < 4) {
                assert_false(test_deadline_over);
                assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
                sender_get_stats(f->sender, &stats);
        }
        f->hold = false;
        test_server_up(f->server);
        sender_retry_now(f->sender);
        RUN_UNTIL(f->event, s->acked == 10 && t->acked == 10);
        check_taken(s);
        check_taken(t);
        assert_int_equal(s->n_lost, 0);
}

static void test_foreign_page(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 5);

        /* 200 from something that is no orchestrator acknowledges nothing. */
        f->status = 200;
        f->extra = "Content-Type: text/html\r\n";
        sender_wake(s->source);
        RUN_UNTIL(f->event, f->n_posts >= 3);
        assert_int_equal(s->acked, 0);
        f->status = 0;
        f->extra = NULL;
        RUN_UNTIL(f->event, s->acked == 5);
        check_taken(s);
}

static void run_bad(Fixture *f, unsigned total, const unsigned *bad, size_t n_bad) {
        Source *s = add_source(f, total);

        f->n_bad = n_bad;
        for (size_t i = 0; i < n_bad; i++)
                f->bad[i] = bad[i];
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->acked == total);
        check_taken(s);
        assert_int_equal(s->n_aside, n_bad);
        for (size_t i = 0; i < n_bad; i++)
                assert_int_equal(s->aside[i], bad[i]);
        assert_int_equal(f->n_trouble, 0);
        assert_int_equal(s->n_acked, 1);
}

static void test_bad_in_the_middle(void **state) {
        Fixture *f = *state;

        run_bad(f, 100, (const unsigned[]){ 37 }, 1);
        assert_int_equal(f->n_pings, 0); /* its neighbours were taken before */
        assert_true(f->n_posts < 20);
}

static void test_bad_at_the_beginning(void **state) {
        Fixture *f = *state;

        run_bad(f, 100, (const unsigned[]){ 1 }, 1);
        assert_int_equal(f->n_pings, 1); /* nothing before it: is it everything? */
}

static void test_bad_ones(void **state) {
        run_bad(*state, 64, (const unsigned[]){ 1, 2, 31, 32, 33, 64 }, 6);
}

static void test_bad_alone(void **state) {
        Fixture *f = *state;

        run_bad(f, 1, (const unsigned[]){ 1 }, 1);
        assert_int_equal(f->n_pings, 1);
        SenderStats stats;
        sender_get_stats(f->sender, &stats);
        assert_int_equal(stats.set_aside, 1);
        assert_int_equal(stats.acked_events, 0);
}

static void test_too_many(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 100);

        /* A server with a limit of its own: halving alone is enough, nothing is set aside. */
        f->max_events = 7;
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->acked == 100);
        check_taken(s);
        assert_int_equal(s->n_aside, 0);
}

static void test_all_refused(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 10);
        SenderStats stats;

        /* A proxy that says 400 to everything: nothing is set aside. */
        f->status = 400;
        f->ping_status = 400;
        sender_wake(s->source);
        RUN_UNTIL(f->event, f->n_pings >= 3);
        assert_int_equal(s->n_aside, 0);
        assert_int_equal(f->n_trouble, 1);
        assert_int_equal(f->trouble, SENDER_REFUSED);
        assert_int_equal(f->trouble_status, 400);
        sender_get_stats(f->sender, &stats);
        assert_true(stats.refused);
        assert_int_equal(stats.refused_status, 400);
        f->status = 0;
        f->ping_status = 200;
        RUN_UNTIL(f->event, s->acked == 10);
        check_taken(s);
        assert_int_equal(f->n_trouble, 2);
        assert_int_equal(f->trouble, SENDER_FINE);
        sender_get_stats(f->sender, &stats);
        assert_false(stats.refused);
}

static void test_ping_fails(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 1);

        /* The ping finds nobody: no verdict. */
        f->bad[0] = 1;
        f->n_bad = 1;
        f->ping_status = 503;
        sender_wake(s->source);
        RUN_UNTIL(f->event, f->n_pings >= 3);
        assert_int_equal(s->n_aside, 0);
        assert_int_equal(f->n_trouble, 0);
        f->ping_status = 200;
        RUN_UNTIL(f->event, s->n_aside == 1 && s->acked == 1);
}

/* Refused by something that has gone when the ping gets through: it is not the event. */
static void test_refused_for_a_moment(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 1);

        f->bad[0] = 1;
        f->n_bad = 1;
        f->good_after_ping = true;
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->acked == 1);
        assert_int_equal(f->n_pings, 1);
        assert_int_equal(s->n_aside, 0);
        check_taken(s);
}

static void test_cannot_set_aside(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 10);

        f->bad[0] = 5;
        f->n_bad = 1;
        s->aside_result = -ENOSPC;
        sender_wake(s->source);
        RUN_UNTIL(f->event, f->n_posts >= 12);
        assert_int_equal(s->n_taken, 4);
        s->aside_result = 0;
        RUN_UNTIL(f->event, s->acked == 10);
        check_taken(s);
        assert_int_equal(s->n_aside, 1);
}

static void test_identity(void **state) {
        Fixture *f = *state;
        static const int statuses[] = { 401, 403, 409, 410 };
        Source *s = add_source(f, 10), *t = add_source(f, 10);

        sender_wake(s->source);
        for (unsigned i = 0; i < ELEMENTSOF(statuses); i++) {
                f->status = statuses[i];
                sender_set_enabled(f->sender, true);
                RUN_UNTIL(f->event, f->n_trouble == i + 1);
                assert_int_equal(f->trouble, SENDER_STOPPED);
                assert_int_equal(f->trouble_status, statuses[i]);
                assert_int_equal(s->n_lost, i + 1); /* given up, with nothing to say for itself */
                assert_int_equal(s->n_filled, i + 1);
        }
        f->status = 0;
        sender_wake(t->source);
        sender_set_enabled(f->sender, true);
        RUN_UNTIL(f->event, s->acked == 10 && t->acked == 10);
        check_taken(s);
        check_taken(t);
}

static void test_disabled(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 10), *t = add_source(f, 10);

        f->hold = true;
        sender_wake(s->source);
        RUN_UNTIL(f->event, f->n_held == 1);
        sender_set_enabled(f->sender, false);
        assert_int_equal(s->n_lost, 1);
        sender_wake(t->source);
        /* Nothing leaves: a whole request beside it is answered meanwhile, and no other came. */
        f->hold = false;
        RUN_UNTIL(f->event, !f->held[0]->connection);
        assert_int_equal(t->n_filled, 0);
        assert_int_equal(f->n_posts, 1);
        sender_set_enabled(f->sender, true);
        RUN_UNTIL(f->event, s->acked == 10 && t->acked == 10);
        check_taken(s);
        check_taken(t);
}

static void test_fill_fails(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 10), *t = add_source(f, 10);

        s->fill_result = -EIO;
        sender_wake(s->source);
        sender_wake(t->source);
        RUN_UNTIL(f->event, t->acked == 10);
        assert_int_equal(s->n_filled, 1); /* not asked again before it says so */
        assert_int_equal(s->n_lost, 1);
        assert_int_equal(s->n_taken, 0);
        s->fill_result = 0;
        s->no_memory = true;
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->n_lost == 2);
        assert_int_equal(s->n_filled, 2);
        assert_int_equal(s->n_taken, 0);
        s->no_memory = false;
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->acked == 10);
        check_taken(s);
}

static void test_half_an_event(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 10), *empty = add_source(f, 0);

        s->half = empty->half = true;
        sender_wake(empty->source);
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->acked == 10);
        check_taken(s);
        assert_string_equal(f->order, "a"); /* the empty one sent nothing */
        assert_int_equal(empty->n_filled, 1);
}

static void test_freed_sources(void **state) {
        Fixture *f = *state;
        Source *self = add_source(f, 3), *flying = add_source(f, 3), *waiting = add_source(f, 3),
               *left = add_source(f, 3);

        self->free_when_acked = true;
        f->hold = true;
        sender_wake(self->source);
        sender_wake(flying->source);
        RUN_UNTIL(f->event, f->n_held == 2);
        sender_wake(waiting->source);
        waiting->source = send_source_free(waiting->source);
        flying->source = send_source_free(flying->source);
        RUN_UNTIL(f->event, !f->held[1]->connection);
        f->hold = false;
        answer(f, f->held[0]);
        sender_wake(left->source);
        RUN_UNTIL(f->event, left->acked == 3 && self->n_acked == 1);
        assert_null(self->source);
        assert_int_equal(flying->n_acked + flying->n_lost, 0);
        assert_int_equal(waiting->n_filled, 0);
}

static void test_freed_when_set_aside(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 10), *t = add_source(f, 10);

        s->free_when_aside = true;
        f->bad[0] = 5;
        f->n_bad = 1;
        sender_wake(s->source);
        RUN_UNTIL(f->event, s->n_aside == 1);
        f->n_bad = 0;
        sender_wake(t->source);
        RUN_UNTIL(f->event, t->acked == 10);
        check_taken(t);
        assert_int_equal(s->n_acked + s->n_lost, 0);
        assert_int_equal(s->n_taken, 4);
}

static void test_sender_freed_first(void **state) {
        Fixture *f = *state;
        Source *s = add_source(f, 3), *t = add_source(f, 3);

        f->hold = true;
        sender_wake(s->source);
        RUN_UNTIL(f->event, f->n_held == 1);
        sender_wake(t->source);
        f->sender = sender_free(f->sender);
        assert_int_equal(s->n_lost, 1);
        sender_wake(s->source); /* no more than a word into the wind */
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                CASE(test_one_batch),
                CASE(test_full_batches),
                CASE(test_wake_while_under_way),
                CASE(test_four_in_flight),
                CASE(test_all_orders),
                CASE(test_fairness),
                CASE(test_large_event),
                CASE(test_retry),
                CASE(test_outage),
                CASE(test_foreign_page),
                CASE(test_bad_in_the_middle),
                CASE(test_bad_at_the_beginning),
                CASE(test_bad_ones),
                CASE(test_bad_alone),
                CASE(test_too_many),
                CASE(test_all_refused),
                CASE(test_ping_fails),
                CASE(test_refused_for_a_moment),
                CASE(test_cannot_set_aside),
                CASE(test_identity),
                CASE(test_disabled),
                CASE(test_fill_fails),
                CASE(test_half_an_event),
                CASE(test_freed_sources),
                CASE(test_freed_when_set_aside),
                CASE(test_sender_freed_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
