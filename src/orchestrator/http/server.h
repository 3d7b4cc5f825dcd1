/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/buffer.h"

/* An HTTP server on an sd-event loop: libmicrohttpd does the protocol and hands its epoll descriptor over, so that one
 * thread serves all connections. A request is read whole before a handler sees it; an answer is either whole as well,
 * or a stream that is asked for more whenever the peer has taken what there was. */
typedef struct HttpServer HttpServer;
typedef struct HttpExchange HttpExchange;

typedef struct HttpServerOps {
        /* The headers are there. 0: continue and read the body; an HTTP status: http_reply() was called, a body is read
         * and thrown away. *max_body comes with the server's default and may be lowered. */
        int (*begin)(HttpExchange *x, size_t *max_body, void *userdata);
        /* The whole request is there, or a held one was woken, which has no body any more. Must reply, stream or hold. */
        void (*request)(HttpExchange *x, void *userdata);
} HttpServerOps;

#define HTTP_CONNECTIONS_MAX 512
/* Bodies under way on one server, all connections together; beyond it a request is answered with 503. Where one body may be
 * larger than this, it is the bound. */
#define HTTP_BODIES_MAX ((size_t) 128 * 1024 * 1024)
/* Answers that were made and not taken yet, likewise: beyond it an answer is a 503, and a stream waits before it makes more.
 * What is larger than HTTP_ANSWER_FREE counts. */
#define HTTP_ANSWERS_MAX ((size_t) 64 * 1024 * 1024)
#define HTTP_ANSWER_FREE ((size_t) 64 * 1024)
/* A request held longer than this without a byte either way is closed. */
#define HTTP_IDLE_SEC 75
#define HTTP_KEEPALIVE_SEC 15

/* Serves a listening socket, which is taken over (also on failure). max_body: of a request, in bytes. ops and userdata are
 * borrowed. Returns 0 or negative errno. */
int http_server_new(
        sd_event *event,
        int listen_fd_consume,
        size_t max_body,
        const HttpServerOps *ops,
        void *userdata,
        HttpServer **ret);
/* Ends every stream and closes every connection. */
HttpServer *http_server_free(HttpServer *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(HttpServer *, http_server_free);

/* ---- one request; all strings are borrowed ---- */

const char *http_method(HttpExchange *x);
const char *http_path(HttpExchange *x);
const char *http_query(HttpExchange *x, const char *name); /* decoded; NULL where it is missing */
const char *http_header(HttpExchange *x, const char *name);
const Buffer *http_body(HttpExchange *x); /* until request() returns */
int http_socket(HttpExchange *x);         /* the connection's, still the server's own */

/* Something of the handler's own; free_func (may be NULL) runs when the exchange is over, however it ends. */
void http_set_data(HttpExchange *x, void *data, void (*free_func)(void *data));
void *http_get_data(HttpExchange *x);

/* An answer with a JSON body (NULL: none), taken over. extra_header may be NULL, else "Name" and its value. */
void http_reply(
        HttpExchange *x,
        unsigned status,
        char *body_consume,
        const char *extra_header,
        const char *value);

/* The error of a request in the shape of JSON-RPC: {"jsonrpc":"2.0","id":null,"error":{"code","message"}}. */
void http_reply_error(HttpExchange *x, unsigned status, int code, const char *format, ...) _printf_(4, 5);

/* No answer yet: request() is called again after http_wake(). */
void http_hold(HttpExchange *x);

/* A 200 whose body comes in pieces; keepalive goes out in each HTTP_KEEPALIVE_SEC without anything else, since a stream that
 * sends nothing never learns that its peer is gone. fill appends to b: 1: something was appended; 0: nothing now, ask again
 * after http_wake(); negative: the stream ends here. */
typedef int (*HttpFill)(HttpExchange *x, Buffer *b, void *userdata);
void http_stream(
        HttpExchange *x,
        const char *content_type,
        const char *keepalive,
        HttpFill fill,
        void *userdata);

/* Wakes a held request or a stream that had nothing to send. Cheap, may be called at any time. */
void http_wake(HttpExchange *x);
/* Was it replied to, made a stream, or held? */
bool http_is_answered(HttpExchange *x);
