/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <strings.h>

#include "common/log.h"
#include "orchestrator/runner-api.h"

#define CATCH_UP_DEFAULT 100
#define CATCH_UP_MAX 1000
#define CATCH_UP_BYTES ((size_t) 4 * 1024 * 1024)

typedef struct RunnerRequest {
        Hub *hub;
        HttpExchange *exchange;
        char *token, *uid;
        HubListener listener;
        int64_t seq;
        bool listening, opened, closing;
} RunnerRequest;

static void runner_request_free(void *p) {
        RunnerRequest *q = p;

        if (q->listening)
                hub_unlisten(q->hub, &q->listener);
        free(q->token);
        free(q->uid);
        free(q);
}

static void reply_json(HttpExchange *x, unsigned status, Json *o) {
        char *text = o ? xasprintf("%s\n", json_text(o)) : NULL;

        if (!text)
                http_reply_error(x, 503, RPC_INTERNAL, "out of memory");
        else
                http_reply(x, status, text, NULL, NULL);
}

static void reply_failure(HttpExchange *x, int error) {
        log_error_errno(error, "Failed to serve %s %s: %m", http_method(x), http_path(x));
        http_reply_error(x, 503, RPC_INTERNAL, "the orchestrator failed, try again: %s", strerror(-error));
}

/* ---- before the body ---- */

static const char *bearer(HttpExchange *x) {
        const char *h = http_header(x, "Authorization");

        if (!h || strncasecmp(h, "Bearer ", 7) != 0)
                return NULL;
        h += 7;
        return h + strspn(h, " ");
}

static bool is_messages(HttpExchange *x) {
        return streq(http_path(x), "/api/runner/messages");
}

static int begin(HttpExchange *x, size_t *max_body, void *userdata) {
        Hub *hub = userdata;
        const char *secret = bearer(x);
        bool post = streq(http_method(x), "POST");
        int r;

        if (!post)
                *max_body = 0;
        RunnerRequest *q = new0(RunnerRequest, 1);
        if (!q) {
                http_reply_error(x, 503, RPC_INTERNAL, "out of memory");
                return 503;
        }
        *q = (RunnerRequest){ .hub = hub, .exchange = x };
        http_set_data(x, q, runner_request_free);
        r = secret ? hub_token_check(hub, secret, &q->token) : 0;
        if (r < 0) {
                reply_failure(x, r);
                return 503;
        }
        if (r == 0) {
                http_reply_error(
                                x,
                                401,
                                RPC_INVALID_REQUEST,
                                secret ? "the token is not valid" : "a bearer token is needed");
                return 401;
        }
        if (!is_messages(x) && !streq(http_path(x), "/api/runner/events")) {
                http_reply_error(x, 404, RPC_INVALID_REQUEST, "there is nothing here");
                return 404;
        }
        if (!streq(http_method(x), "GET") && !(post && is_messages(x))) {
                http_reply_error(x, 405, RPC_INVALID_REQUEST, "not this method");
                return 405;
        }
        return 0;
}

/* Who asks? False: it was answered. */
static bool identify(HttpExchange *x, RunnerRequest *q) {
        const char *id = http_header(x, "X-Northflare-Runner-Id");
        int r;

        if (q->uid)
                return true;
        r = id ? hub_runner_seen(q->hub, q->token, id, &q->uid) : 0;
        if (r < 0)
                reply_failure(x, r);
        else if (r == 0 && !id)
                http_reply_error(
                                x,
                                409,
                                RPC_STALE_STORE,
                                "X-Northflare-Runner-Id is missing: register first");
        else if (r == 0)
                http_reply_error(
                                x,
                                409,
                                RPC_STALE_STORE,
                                "this runner id is not known or was superseded by a newer registration: register again");
        return r > 0;
}

/* ---- POST messages ---- */

static Json *rpc_response(Json *request, Json *result_consume, const RpcError *e) {
        _cleanup_json_ Json *o = json_object_new_object(), *result = result_consume;
        Json *id = json_get(request, "id");

        if (!o || json_set_string(o, "jsonrpc", "2.0") < 0 ||
            json_object_object_add(o, "id", json_object_get(id)) < 0)
                return NULL;
        if (result)
                return json_set(o, "result", TAKE_PTR(result)) < 0 ? NULL : TAKE_PTR(o);
        Json *error = json_object_new_object();
        if (json_set(o, "error", error) < 0 || json_set(error, "code", json_object_new_int(e->code)) < 0 ||
            json_set_string(error, "message", e->text) < 0)
                return NULL;
        return TAKE_PTR(o);
}

/* Runs one request. 0 and its response; 1: the whole HTTP request was answered; or negative. */
static int call(HttpExchange *x, RunnerRequest *q, Json *request, Json **ret) {
        const char *method = strempty(json_get_string(request, "method"));
        _cleanup_json_ Json *result = NULL;
        Json *params = json_get(request, "params");
        RpcError e = {};
        int r;

        if (streq(method, "runner.register"))
                r =
                                hub_register(q->hub,
                                             q->token,
                                             http_header(x, "X-Northflare-Runner-Id"),
                                             params,
                                             &result,
                                             &e);
        else if (streq(method, "runner.ping")) {
                result = json_object_new_object();
                r = result ? json_set_bool(result, "pong", true) : -ENOMEM;
        } else if (streq(method, "runner.claim")) {
                if (!identify(x, q))
                        return 1;
                r = hub_claim(q->hub, q->token, q->uid, params, &result, &e);
        } else {
                e.code = RPC_UNKNOWN_METHOD;
                (void) snprintf(e.text,
                                sizeof(e.text),
                                "no such method: %.*s",
                                utf8_cut(method, 64),
                                method);
                r = 1;
        }
        if (r < 0)
                return r;
        *ret = rpc_response(request, TAKE_PTR(result), &e);
        return *ret ? 0 : -ENOMEM;
}

static void post_one(HttpExchange *x, RunnerRequest *q, Json *request) {
        _cleanup_json_ Json *response = NULL;
        int r = call(x, q, request, &response);

        if (r < 0)
                reply_failure(x, r);
        else if (r == 0)
                reply_json(x, 200, response);
}

static void post_batch(HttpExchange *x, RunnerRequest *q, Json *batch) {
        _cleanup_json_ Json *responses = json_object_new_array();
        RpcError e;
        int r;

        if (!identify(x, q))
                return;
        r = hub_receive(q->hub, q->token, q->uid, batch, &e);
        if (r > 0)
                http_reply_error(x, 400, e.code, "%s", e.text);
        for (size_t i = 0; r == 0 && i < json_object_array_length(batch); i++) {
                Json *o = json_object_array_get_idx(batch, i), *response = NULL;

                if (!hub_is_request(o))
                        continue;
                r = call(x, q, o, &response);
                if (r == 0 && json_object_array_add(responses, response) < 0)
                        r = -ENOMEM;
        }
        if (r < 0)
                reply_failure(x, r);
        else if (r == 0 && json_object_array_length(responses) > 0)
                reply_json(x, 200, responses);
        else if (r == 0)
                http_reply(x, 204, NULL, NULL, NULL);
}

static void post_messages(HttpExchange *x, RunnerRequest *q) {
        const Buffer *body = http_body(x);
        _cleanup_json_ Json *o = NULL, *batch = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = json_parse(strempty(body->data), body->size, &o, &text);
        if (r < 0) {
                http_reply_error(x, 400, RPC_PARSE, "%s", text ? text : "not valid JSON");
                return;
        }
        if (json_object_is_type(o, json_type_array)) {
                if (json_object_array_length(o) == 0)
                        http_reply_error(x, 400, RPC_INVALID_REQUEST, "the batch is empty");
                else
                        post_batch(x, q, o);
        } else if (!json_object_is_type(o, json_type_object) ||
                   !streq_ptr(json_get_string(o, "jsonrpc"), "2.0"))
                http_reply_error(x, 400, RPC_INVALID_REQUEST, "not a JSON-RPC 2.0 object or a list of them");
        else if (hub_is_request(o))
                post_one(x, q, o);
        else {
                batch = json_object_new_array();
                if (!batch || json_object_array_add(batch, json_object_get(o)) < 0)
                        reply_failure(x, -ENOMEM);
                else
                        post_batch(x, q, batch);
        }
}

/* ---- the stream ---- */

static RunnerRequest *request_of(HubListener *l) {
        return (RunnerRequest *) ((char *) l - offsetof(RunnerRequest, listener));
}

static void on_wake(HubListener *l) {
        http_wake(request_of(l)->exchange);
}

static void on_close(HubListener *l) {
        request_of(l)->closing = true;
        on_wake(l);
}

static int fill(HttpExchange *x, Buffer *b, void *userdata) {
        RunnerRequest *q = userdata;
        char cursor[CURSOR_SIZE];
        _cleanup_buffer_ Buffer envelope = {};
        int r;

        if (q->closing)
                return -ESHUTDOWN;
        if (!q->opened) {
                /* The runner sees that the stream stands before there is anything to say. */
                q->opened = true;
                return buffer_append_str(b, ": northflare\nretry: 1000\n\n") < 0 ? -ENOMEM : 1;
        }
        r = hub_next_message(q->hub, q->uid, &q->seq, &envelope);
        if (r <= 0) {
                if (r < 0)
                        log_error_errno(r,
                                        "Failed to read the messages of runner %s, closing its stream: %m",
                                        q->uid);
                return r;
        }
        (void) buffer_printf(b, "id: %s\nevent: runner.message\ndata: ", hub_cursor(q->hub, q->seq, cursor));
        (void) buffer_append(b, envelope.data, envelope.size);
        return buffer_append_str(b, "\n\n") < 0 ? -ENOMEM : 1;
}

/* The place to go on from; what came before it has arrived. False: it was answered. */
static bool since(HttpExchange *x, RunnerRequest *q) {
        const char *last = http_header(x, "Last-Event-ID"), *cursor = http_query(x, "since");
        int r;

        /* A library that reconnects by itself repeats the first URL and sends the newer place in the header. */
        q->seq = MAX(hub_cursor_parse(q->hub, last), hub_cursor_parse(q->hub, cursor));
        r = hub_acknowledge(q->hub, q->uid, q->seq);
        if (r < 0)
                reply_failure(x, r);
        return r >= 0;
}

static void get_events(HttpExchange *x, RunnerRequest *q) {
        if (!identify(x, q) || !since(x, q))
                return;
        q->listener = (HubListener){
                .topic = HUB_RUNNER,
                .key = q->uid,
                .token = q->token,
                .wake = on_wake,
                .close = on_close,
        };
        hub_listen(q->hub, &q->listener);
        q->listening = true;
        http_stream(x, "text/event-stream", ": still here\n\n", fill, q);
}

static void get_messages(HttpExchange *x, RunnerRequest *q) {
        const char *given = http_query(x, "limit");
        uint64_t limit = CATCH_UP_DEFAULT, n = 0;
        _cleanup_buffer_ Buffer b = {}, rest = {};
        char cursor[CURSOR_SIZE];
        int r;

        if (given && (safe_atou64(given, &limit) < 0 || limit < 1)) {
                http_reply_error(x, 400, RPC_INVALID_PARAMS, "limit: not a number from 1 on");
                return;
        }
        if (!identify(x, q) || !since(x, q))
                return;
        limit = MIN(limit, (uint64_t) CATCH_UP_MAX);
        (void) buffer_append_str(&b, "{\"messages\":[");
        do {
                if (n > 0)
                        (void) buffer_append_str(&b, ",");
                r = hub_next_message(q->hub, q->uid, &q->seq, &b);
        } while (r > 0 && ++n < limit && b.size < CATCH_UP_BYTES);
        if (r == 0 && n > 0)
                b.size--; /* the comma before nothing */
        int64_t next = q->seq;
        int more = r > 0 ? hub_next_message(q->hub, q->uid, &next, &rest) : r;
        if (more < 0) {
                reply_failure(x, more);
                return;
        }
        /* A cursor even before the first message: the beginning is a place, too. */
        (void) buffer_printf(
                        &b,
                        "],\"cursor\":\"%s\",\"more\":%s}\n",
                        hub_cursor(q->hub, q->seq, cursor),
                        more > 0 ? "true" : "false");
        if (b.failed)
                reply_failure(x, -ENOMEM);
        else
                http_reply(x, 200, buffer_steal(&b), NULL, NULL);
}

static void request(HttpExchange *x, void *userdata) {
        RunnerRequest *q = http_get_data(x);

        if (streq(http_method(x), "POST"))
                post_messages(x, q);
        else if (is_messages(x))
                get_messages(x, q);
        else
                get_events(x, q);
}

const HttpServerOps runner_api_ops = {
        .begin = begin,
        .request = request,
};
