/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <strings.h>

#include "common/log.h"
#include "orchestrator/http/runner-api.h"
#include "orchestrator/hub/events.h"
#include "orchestrator/hub/messages.h"
#include "orchestrator/hub/runners.h"
#include "orchestrator/hub/tokens.h"
#include "orchestrator/wire/json-members.h"
#include "orchestrator/wire/runner-message.h"

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

static void reply_failure(HttpExchange *x, int error) {
        log_error_errno(error, "Failed to serve %s %s: %m", http_method(x), http_path(x));
        http_reply_error(
                x, 503, RPC_INTERNAL_ERROR, "the orchestrator failed, try again: %s", strerror(-error));
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
                http_reply_error(x, 503, RPC_INTERNAL_ERROR, "out of memory");
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
                http_reply_error(x, 404, RPC_INVALID_REQUEST, "the path does not exist");
                return 404;
        }
        if (!streq(http_method(x), "GET") && !(post && is_messages(x))) {
                http_reply_error(x, 405, RPC_INVALID_REQUEST, "the method is not allowed");
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
                        x, 409, RPC_STALE_STORE, "X-Northflare-Runner-Id is missing: register first");
        else if (r == 0)
                http_reply_error(
                        x,
                        409,
                        RPC_STALE_STORE,
                        "this runner id is not known or was superseded by a newer registration: register again");
        return r > 0;
}

/* ---- POST messages ---- */

static int append_response(Buffer *b, Slice id, Json *result, const RpcError *e) {
        (void) buffer_append_str(b, "{\"jsonrpc\":\"2.0\",\"id\":");
        (void) buffer_append(b, id.data, id.size);
        if (result) {
                (void) buffer_append_str(b, ",\"result\":");
                (void) buffer_append_str(b, strempty(json_text(result)));
        } else {
                (void) buffer_append_str(b, ",\"error\":");
                (void) rpc_error_append(b, e->code, e->text, NULL, NULL);
        }
        return buffer_append_str(b, "}");
}

/* Runs one request and appends its response. 0; 1: the whole HTTP request was answered; or negative. */
static int call(HttpExchange *x, RunnerRequest *q, const RunnerMessage *request, Buffer *b) {
        const char *method = request->method, *runner_id = http_header(x, "X-Northflare-Runner-Id");
        _cleanup_json_ Json *result = NULL;
        RpcError e = {};
        int r;

        if (streq(method, "runner.register"))
                r = hub_register(q->hub, q->token, runner_id, request->params, &result, &e);
        else if (streq(method, "runner.ping")) {
                result = json_object_new_object();
                r = result ? json_set_bool(result, "pong", true) : -ENOMEM;
        } else if (streq(method, "runner.claim")) {
                if (!identify(x, q))
                        return 1;
                r = hub_claim(q->hub, q->token, q->uid, request->params, &result, &e);
        } else
                r = rpc_refuse(&e, RPC_METHOD_NOT_FOUND, "no such method: %s", method);
        if (r < 0)
                return r;
        return append_response(b, request->id, result, &e);
}

/* Runs the requests of a body that was checked. */
static int call_all(HttpExchange *x, RunnerRequest *q, Slice body, Buffer *b) {
        size_t iter = 0, i = 0;
        RunnerMessage m;
        RpcError e;
        Slice text;
        int r;

        while (runner_message_next(body, &iter, &text)) {
                r = runner_message_parse(text, i++, &m, &e);
                if (r != 0)
                        return r < 0 ? r : -EBADMSG;
                if (m.kind != MESSAGE_REQUEST)
                        continue;
                if (b->size > 0)
                        (void) buffer_append_str(b, ",");
                r = call(x, q, &m, b);
                if (r != 0)
                        return r;
        }
        return 0;
}

static void reply_responses(HttpExchange *x, const Buffer *responses, bool list) {
        char *text;

        if (responses->size == 0) {
                http_reply(x, 204, NULL, NULL, NULL);
                return;
        }
        text = xasprintf(list ? "[%s]\n" : "%s\n", responses->data);
        if (text)
                http_reply(x, 200, text, NULL, NULL);
        else
                reply_failure(x, -ENOMEM);
}

/* One request needs no registration, since it may be that; whatever is to be stored does. */
static void post_body(HttpExchange *x, RunnerRequest *q, Slice body) {
        bool list = json_scan_type(body) == SCAN_ARRAY;
        _cleanup_buffer_ Buffer responses = {};
        RunnerMessage m;
        RpcError e;
        int r;

        r = list ? 0 : runner_message_parse(body, 0, &m, &e);
        if (r == 0 && (list || m.kind != MESSAGE_REQUEST)) {
                if (!identify(x, q))
                        return;
                r = hub_receive(q->hub, q->token, q->uid, body, &e);
        }
        if (r > 0) {
                http_reply_error(x, 400, e.code, "%s", e.text);
                return;
        }
        if (r == 0)
                r = call_all(x, q, body, &responses);
        if (r < 0)
                reply_failure(x, r);
        else if (r == 0)
                reply_responses(x, &responses, list);
}

static Slice without_blanks(const Buffer *b) {
        static const char blanks[] = { ' ', '\t', '\r', '\n' };
        Slice s = { strempty(b->data), b->size };

        while (s.size > 0 && memchr(blanks, s.data[0], sizeof(blanks))) {
                s.data++;
                s.size--;
        }
        while (s.size > 0 && memchr(blanks, s.data[s.size - 1], sizeof(blanks)))
                s.size--;
        return s;
}

static void post_messages(HttpExchange *x, RunnerRequest *q) {
        Slice body = without_blanks(http_body(x)), first;
        const char *wrong;
        size_t at, iter = 0;

        wrong = json_scan_check(body.data, body.size, &at);
        if (wrong)
                http_reply_error(x, 400, RPC_PARSE_ERROR, "not valid JSON at byte %zu: %s", at, wrong);
        else if (json_scan_type(body) == SCAN_ARRAY && !json_scan_element(body, &iter, &first))
                http_reply_error(x, 400, RPC_INVALID_REQUEST, "the batch is empty");
        else if (json_scan_type(body) != SCAN_ARRAY && json_scan_type(body) != SCAN_OBJECT)
                http_reply_error(x, 400, RPC_INVALID_REQUEST, "not a JSON-RPC 2.0 object or a list of them");
        else
                post_body(x, q, body);
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
                        log_error_errno(
                                r,
                                "Failed to read the messages of runner %s, closing its stream: %m",
                                q->uid);
                return r;
        }
        (void) buffer_printf(b, "id: %s\nevent: runner.message\ndata: ", hub_cursor(q->hub, q->seq, cursor));
        (void) buffer_append(b, envelope.data, envelope.size);
        return buffer_append_str(b, "\n\n") < 0 ? -ENOMEM : 1;
}

/* The place to continue from; what came before it has arrived. False: it was answered. */
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
                http_reply_error(x, 400, RPC_INVALID_PARAMS, "limit: not a positive number");
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
