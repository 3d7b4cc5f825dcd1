/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "runner/link/http.h"
#include "test-server.h"

/* What happened to one request. */
typedef struct Probe {
        HttpRequest *request;
        unsigned done, begun;
        int error;
        long status;
        uint64_t retry_after;
        Buffer body, type;
        int data_result;   /* of the data callback */
        size_t data_after; /* … once so many bytes have come */
        bool free_in_data, free_in_done, free_client_in_done;
        struct Fixture *f;
} Probe;

typedef struct Fixture {
        sd_event *event;
        TestServer *server;
        HttpClient *client;
        TestRequest *held;
        unsigned n_requests;
        char last_method[16], last_target[256];
        unsigned last_connection;
        Buffer last_body;
} Fixture;

static void on_request(TestRequest *r, void *userdata) {
        Fixture *f = userdata;

        f->n_requests++;
        f->last_connection = r->connection_number;
        (void) snprintf(f->last_method, sizeof(f->last_method), "%s", r->method);
        (void) snprintf(f->last_target, sizeof(f->last_target), "%s", r->target);
        buffer_clear(&f->last_body, 0);
        (void) buffer_append(&f->last_body, r->body, r->body_size);
        if (streq(r->target, "/hello"))
                test_reply(r, 200, "Content-Type: text/plain; charset=utf-8\r\n", "hello");
        else if (streq(r->target, "/empty"))
                test_reply(r, 204, NULL, NULL);
        else if (streq(r->target, "/busy"))
                test_reply(r, 503, "Retry-After: 7\r\n", "busy");
        else if (streq(r->target, "/move"))
                test_reply(r, 302, "Location: /hello\r\n", "over there");
        else if (streq(r->target, "/drop"))
                test_request_close(r);
        else if (startswith(r->target, "/torn")) {
                test_stream_text(r, "HTTP/1.1 204 No Content\r\n%s", r->target + strlen("/torn"));
                test_request_close(r);
        } else if (streq(r->target, "/echo")) {
                char *header = test_request_header(r, "X-Test");
                test_reply(r, 200, NULL, strempty(header));
                free(header);
        } else if (streq(r->target, "/expect")) {
                char *header = test_request_header(r, "Expect");
                test_reply(r, 200, NULL, header ? "expects" : "does not");
                free(header);
        } else if (startswith(r->target, "/stream")) {
                f->held = r;
                test_stream_begin(r, "text/event-stream");
        } else
                f->held = r;
}

static int set_up(void **state) {
        Fixture *f = new0(Fixture, 1);

        assert_non_null(f);
        assert_true(sd_event_new(&f->event) >= 0);
        test_deadline_arm(f->event);
        f->server = test_server_new(f->event, on_request, f);
        assert_int_equal(http_client_new(f->event, NULL, &f->client), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        http_client_free(f->client);
        test_server_free(f->server);
        test_deadline_disarm();
        buffer_done(&f->last_body);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static void on_done(HttpRequest *r, const HttpResult *result, void *userdata) {
        Probe *p = userdata;

        assert_ptr_equal(r, p->request);
        p->done++;
        p->error = result->error;
        p->status = result->status;
        p->retry_after = result->retry_after_usec;
        assert_int_equal(result->error < 0, result->error_text != NULL);
        if (result->body) {
                (void) buffer_append(&p->body, result->body, result->body_size);
                assert_int_equal(result->body[result->body_size], 0);
        }
        (void) buffer_append_str(&p->type, strempty(result->content_type));
        if (p->free_in_done)
                p->request = http_request_free(p->request);
        if (p->free_client_in_done)
                p->f->client = http_client_free(p->f->client);
}

static int on_data(HttpRequest *r, const char *data, size_t size, void *userdata) {
        Probe *p = userdata;

        if (size == 0) {
                p->begun++;
                assert_string_equal(http_request_content_type(r), "text/event-stream");
                return 0;
        }
        assert_int_equal(p->begun, 1);
        (void) buffer_append(&p->body, data, size);
        if (p->body.size < p->data_after)
                return 0;
        if (p->free_in_data)
                p->request = http_request_free(p->request);
        return p->data_result;
}

static void probe_done(Probe *p) {
        p->request = http_request_free(p->request);
        buffer_done(&p->body);
        buffer_done(&p->type);
}

static void start_url(Fixture *f, Probe *p, HttpParams params, const char *url) {
        params.url = url;
        params.method = params.method ? params.method : "GET";
        params.max_body = params.max_body ? params.max_body : 1000;
        params.done = on_done;
        params.userdata = p;
        p->f = f;
        assert_int_equal(http_request_start(f->client, &params, &p->request), 0);
        assert_int_equal(p->done, 0); /* never from inside */
}

static void start(Fixture *f, Probe *p, HttpParams params, const char *path) {
        char url[512];

        (void) snprintf(url, sizeof(url), "%s%s", test_server_url(f->server), path);
        start_url(f, p, params, url);
}

/* Runs one request to its end: all that was due before it has been done then. */
static void sentinel(Fixture *f) {
        Probe p = {};

        start(f, &p, (HttpParams){}, "/hello");
        RUN_UNTIL(f->event, p.done);
        assert_int_equal(p.status, 200);
        probe_done(&p);
}

static void test_get(void **state) {
        Fixture *f = *state;
        Probe p = {};

        start(f, &p, (HttpParams){}, "/hello");
        RUN_UNTIL(f->event, p.done);
        assert_int_equal(p.error, 0);
        assert_int_equal(p.status, 200);
        assert_string_equal(p.body.data, "hello");
        assert_string_equal(p.type.data, "text/plain; charset=utf-8");
        assert_true(p.retry_after == 0);
        assert_null(http_request_content_type(p.request));
        sentinel(f);
        assert_int_equal(p.done, 1);
        probe_done(&p);
}

static void test_statuses(void **state) {
        Fixture *f = *state;
        static const struct {
                const char *path, *body;
                long status;
                uint64_t retry_after;
        } cases[] = {
                { "/empty", "", 204, 0 },
                { "/busy", "busy", 503, 7 * USEC_PER_SEC },
                { "/move", "over there", 302, 0 }, /* not followed */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Probe p = {};

                start(f, &p, (HttpParams){}, cases[i].path);
                RUN_UNTIL(f->event, p.done);
                assert_int_equal(p.error, 0);
                assert_int_equal(p.status, cases[i].status);
                assert_string_equal(strempty(p.body.data), cases[i].body);
                assert_true(p.retry_after == cases[i].retry_after);
                probe_done(&p);
        }
        assert_int_equal(f->n_requests, 3);
}

static void test_post(void **state) {
        Fixture *f = *state;
        static const char *const headers[] = { "Content-Type: application/json", "X-Test: yes", NULL };
        Probe p = {}, q = {}, n = {};

        start(f,
              &p,
              (HttpParams){
                      .method = "POST", .body_consume = strdup("{}"), .body_size = 2, .headers = headers },
              "/echo");
        RUN_UNTIL(f->event, p.done);
        assert_string_equal(p.body.data, "yes");
        assert_string_equal(f->last_method, "POST");
        assert_string_equal(f->last_body.data, "{}");
        probe_done(&p);

        /* A body that is only lent, and only a part of what stands there. */
        start(f, &q, (HttpParams){ .method = "POST", .body = "[1,2],3", .body_size = 5 }, "/echo");
        RUN_UNTIL(f->event, q.done);
        assert_string_equal(f->last_body.data, "[1,2]");
        assert_string_equal(strempty(q.body.data), ""); /* the handle is used again, its headers are not */
        probe_done(&q);

        start(f, &n, (HttpParams){ .method = "POST" }, "/echo");
        RUN_UNTIL(f->event, n.done);
        assert_int_equal(f->last_body.size, 0);
        probe_done(&n);
        /* All of that over one connection. */
        assert_int_equal(test_server_connections(f->server), 1);
}

static void test_large_post(void **state) {
        Fixture *f = *state;
        size_t size = 3 * 1024 * 1024;
        char *body = malloc(size);
        Probe p = {};

        assert_non_null(body);
        for (size_t i = 0; i < size; i++)
                body[i] = (char) ('a' + i % 23);
        start(f, &p, (HttpParams){ .method = "POST", .body = body, .body_size = size }, "/expect");
        RUN_UNTIL(f->event, p.done);
        assert_string_equal(p.body.data, "does not"); /* wait for "100 Continue" */
        assert_int_equal(f->last_body.size, size);
        assert_memory_equal(f->last_body.data, body, size);
        probe_done(&p);
        free(body);
}

static void test_bounds(void **state) {
        Fixture *f = *state;
        Probe exact = {}, over = {}, error = {};

        start(f, &exact, (HttpParams){ .max_body = 5 }, "/hello");
        RUN_UNTIL(f->event, exact.done);
        assert_int_equal(exact.error, 0);
        assert_string_equal(exact.body.data, "hello");
        start(f, &over, (HttpParams){ .max_body = 4 }, "/hello");
        RUN_UNTIL(f->event, over.done);
        assert_int_equal(over.error, -EMSGSIZE);
        assert_int_equal(over.status, 200);
        start(f, &error, (HttpParams){ .max_body = 2 }, "/busy"); /* of an error the beginning is enough */
        RUN_UNTIL(f->event, error.done);
        assert_int_equal(error.error, 0);
        assert_int_equal(error.status, 503);
        assert_string_equal(error.body.data, "bu");
        probe_done(&exact);
        probe_done(&over);
        probe_done(&error);
}

static void test_failures(void **state) {
        Fixture *f = *state;
        Probe dropped = {}, refused = {}, file = {}, url = {};

        start(f, &dropped, (HttpParams){}, "/drop");
        RUN_UNTIL(f->event, dropped.done);
        assert_int_equal(dropped.error, -ECONNRESET);
        assert_int_equal(dropped.status, 0);
        start_url(f, &file, (HttpParams){}, "file:///etc/hostname");
        RUN_UNTIL(f->event, file.done);
        assert_int_equal(file.error, -EPROTONOSUPPORT);
        start_url(f, &url, (HttpParams){}, "http://[");
        RUN_UNTIL(f->event, url.done);
        assert_int_equal(url.error, -EINVAL);
        /* Several that end in the same moment: all are told. */
        Probe at_once[3] = {};
        for (size_t i = 0; i < ELEMENTSOF(at_once); i++)
                start_url(f, at_once + i, (HttpParams){}, "file:///etc/hostname");
        for (size_t i = 0; i < ELEMENTSOF(at_once); i++) {
                RUN_UNTIL(f->event, at_once[i].done);
                probe_done(at_once + i);
        }
        test_server_down(f->server);
        start(f, &refused, (HttpParams){}, "/hello");
        RUN_UNTIL(f->event, refused.done);
        assert_int_equal(refused.error, -ECONNREFUSED);
        test_server_up(f->server);
        sentinel(f);
        probe_done(&dropped);
        probe_done(&refused);
        probe_done(&file);
        probe_done(&url);
}

/* Half a header is no answer, whatever status it begins with. */
static void test_torn(void **state) {
        static const char *const paths[] = { "/torn", "/tornContent-Le", "/tornA:1" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                Probe p = {};

                start(f, &p, (HttpParams){ .method = "POST", .body = "x", .body_size = 1 }, paths[i]);
                RUN_UNTIL(f->event, p.done);
                assert_int_equal(p.error, -ECONNRESET);
                probe_done(&p);
        }
        sentinel(f);
}

static void test_deadline(void **state) {
        Fixture *f = *state;
        Probe slow = {}, slower = {};

        /* Each has its own: this one is not over, however late the other is noticed. */
        start(f, &slower, (HttpParams){ .timeout_usec = 3600 * USEC_PER_SEC }, "/hang");
        start(f, &slow, (HttpParams){ .timeout_usec = 20 * USEC_PER_MSEC }, "/hang");
        RUN_UNTIL(f->event, slow.done);
        assert_int_equal(slow.error, -ETIMEDOUT);
        sentinel(f);
        assert_int_equal(slower.done, 0);
        slower.request = http_request_free(slower.request);
        probe_done(&slow);
        probe_done(&slower);
}

static void test_cancel(void **state) {
        Fixture *f = *state;
        Probe early = {}, late = {}, finished = {};

        /* Before anything happened, while it is under way, and when the answer is there but was not told yet. */
        start(f, &early, (HttpParams){}, "/hello");
        early.request = http_request_free(early.request);
        start(f, &late, (HttpParams){}, "/hang");
        RUN_UNTIL(f->event, f->held);
        late.request = http_request_free(late.request);
        test_reply(f->held, 200, NULL, "too late");
        Probe many[3] = {};
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                start(f, many + i, (HttpParams){}, "/hello");
        start(f, &finished, (HttpParams){}, "/hello");
        RUN_UNTIL(f->event, many[0].done || many[1].done || many[2].done || finished.done);
        unsigned before = finished.done;
        finished.request = http_request_free(finished.request);
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                RUN_UNTIL(f->event, many[i].done);
        sentinel(f);
        assert_int_equal(early.done, 0);
        assert_int_equal(late.done, 0);
        assert_int_equal(finished.done, before);
        for (size_t i = 0; i < ELEMENTSOF(many); i++) {
                assert_int_equal(many[i].done, 1);
                probe_done(many + i);
        }
        probe_done(&finished);
}

static void test_free_in_callbacks(void **state) {
        Fixture *f = *state;
        Probe done = { .free_in_done = true }, data = { .free_in_data = true, .data_after = 1 },
              client = { .free_client_in_done = true };
        Probe left = {};

        start(f, &done, (HttpParams){}, "/hello");
        RUN_UNTIL(f->event, done.done);
        assert_null(done.request);
        start(f, &data, (HttpParams){ .data = on_data }, "/stream");
        RUN_UNTIL(f->event, f->held);
        test_stream_text(f->held, "x");
        RUN_UNTIL(f->event, data.body.size > 0);
        assert_null(data.request);
        RUN_UNTIL(f->event, !f->held->connection); /* and the connection is closed */
        assert_int_equal(data.done, 0);
        start(f, &left, (HttpParams){}, "/hang");
        start(f, &client, (HttpParams){}, "/hello");
        RUN_UNTIL(f->event, client.done);
        assert_null(f->client);
        assert_int_equal(left.done, 0);
        probe_done(&left);
        probe_done(&client);
        probe_done(&data);
        probe_done(&done);
}

static void test_stream(void **state) {
        Fixture *f = *state;
        Probe p = {}, beside = {};

        start(f, &p, (HttpParams){ .data = on_data }, "/stream");
        RUN_UNTIL(f->event, p.begun == 1); /* the header alone says so */
        assert_int_equal(p.body.size, 0);
        test_stream_text(f->held, "one");
        RUN_UNTIL(f->event, p.body.size == 3);
        TestRequest *stream = f->held;
        start(f, &beside, (HttpParams){}, "/hello");
        RUN_UNTIL(f->event, beside.done);
        char *large = malloc(500000);
        assert_non_null(large);
        memset(large, 'x', 500000);
        test_stream_send(stream, large, 500000);
        free(large);
        RUN_UNTIL(f->event, p.body.size == 500003); /* max_body is not for it */
        assert_int_equal(p.done, 0);
        test_request_close(stream);
        RUN_UNTIL(f->event, p.done);
        assert_int_equal(p.error, 0);
        assert_int_equal(p.status, 200);
        assert_int_equal(p.begun, 1);
        probe_done(&p);
        probe_done(&beside);
}

static void test_stream_refused(void **state) {
        Fixture *f = *state;
        Probe p = {}, error = { .data_result = -ENOSPC, .data_after = 1 };

        start(f, &p, (HttpParams){ .data = on_data }, "/busy");
        RUN_UNTIL(f->event, p.done);
        assert_int_equal(p.begun, 0);
        assert_int_equal(p.status, 503);
        assert_string_equal(p.body.data, "busy");
        start(f, &error, (HttpParams){ .data = on_data }, "/stream");
        RUN_UNTIL(f->event, f->held);
        test_stream_text(f->held, "x");
        RUN_UNTIL(f->event, error.done);
        assert_int_equal(error.error, -ENOSPC);
        probe_done(&p);
        probe_done(&error);
}

/* ---- a resolver that hangs ---- */

static int gate[2] = { -1, -1 };
static unsigned resolving, resolved;

/* Takes the place of libc's in this program, libcurl included. */
__attribute__((visibility("default"))) int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res) {

        static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
        char c;

        if (node && streq(node, "slow.test")) {
                __atomic_fetch_add(&resolving, 1, __ATOMIC_SEQ_CST);
                (void) !read(gate[0], &c, 1); /* until the test lets it go */
                node = "127.0.0.1";
                __atomic_fetch_add(&resolved, 1, __ATOMIC_SEQ_CST);
        }
        if (!real)
                *(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
        return real(node, service, hints, res);
}

static void test_resolver(void **state) {
        Fixture *f = *state;
        Probe cancelled = {}, late = {}, good = {};
        char url[128], *body = strdup("lent");

        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        (void) snprintf(
                url, sizeof(url), "http://slow.test:%s/hello", strrchr(test_server_url(f->server), ':') + 1);
        start_url(f, &cancelled, (HttpParams){ .method = "POST", .body = body, .body_size = 4 }, url);
        RUN_UNTIL(f->event, __atomic_load_n(&resolving, __ATOMIC_SEQ_CST) == 1);
        /* The resolver hangs until after this: a free or a deadline that waited for it would never come back. */
        cancelled.request = http_request_free(cancelled.request);
        explicit_bzero(body, 4);
        free(body);
        sentinel(f);
        start_url(f, &late, (HttpParams){ .timeout_usec = 10 * USEC_PER_MSEC }, url);
        RUN_UNTIL(f->event, late.done);
        assert_int_equal(late.error, -ETIMEDOUT);
        assert_int_equal(__atomic_load_n(&resolved, __ATOMIC_SEQ_CST), 0);
        start_url(f, &good, (HttpParams){}, url);
        sentinel(f);
        unsigned before = f->n_requests;
        assert_int_equal(write(gate[1], "123", 3), 3);
        RUN_UNTIL(f->event, good.done);
        assert_int_equal(good.status, 200);
        RUN_UNTIL(f->event, __atomic_load_n(&resolved, __ATOMIC_SEQ_CST) == 3);
        sentinel(f);
        /* What was given up never reached the server. */
        assert_int_equal(f->n_requests, before + 2);
        assert_int_equal(cancelled.done, 0);
        assert_int_equal(late.done, 1);
        probe_done(&cancelled);
        probe_done(&late);
        probe_done(&good);
        safe_close(gate[0]);
        safe_close(gate[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_get, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_statuses, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_post, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_large_post, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_torn, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_free_in_callbacks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stream, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stream_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_resolver, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
