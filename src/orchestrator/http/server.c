/* SPDX-License-Identifier: MIT */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "common/log.h"
#include "common/oneshot.h"
#include "orchestrator/http/server.h"
#include "orchestrator/wire/rpc.h"

/* The size that a stream's buffer shrinks to after a large message. */
#define STREAM_BUFFER_KEEP HTTP_ANSWER_FREE
#define STREAM_BLOCK ((size_t) 32 * 1024)
/* A body that is refused is still read to its end, so that the client reads the answer instead of a reset
 * connection; what claims to be longer than this is cut off. */
#define DISCARD_MAX ((uint64_t) 256 * 1024 * 1024)
/* Data that the peer does not acknowledge for so long means that it is gone. */
#define USER_TIMEOUT_MSEC 60000u

struct HttpServer {
        struct MHD_Daemon *daemon;
        sd_event_source *io, *timer, *resume, *keepalive;
        HttpServerOps ops;
        void *userdata;
        size_t max_body, bodies, answers;
        HttpExchange *exchanges;
        bool closing;
};

struct HttpExchange {
        HttpServer *server;
        struct MHD_Connection *connection;
        const char *method;
        char *path;
        Buffer body;
        size_t max_body, counted, answer;
        struct MHD_Response *response;
        unsigned status;
        bool discard, oversize, waiting, queued, starved;
        HttpFill fill;
        void *fill_data;
        const char *keepalive;
        Buffer out;
        size_t out_done;
        void *data;
        void (*data_free)(void *data);
        HttpExchange *next, *previous;
};

static int arm(HttpServer *s) {
        MHD_UNSIGNED_LONG_LONG ms;

        if (MHD_get_timeout(s->daemon, &ms) != MHD_YES)
                return sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        oneshot_arm(s->timer, (uint64_t) ms * USEC_PER_MSEC);
        return 0;
}

static void run(HttpServer *s) {
        (void) MHD_run(s->daemon);
        int r = arm(s);
        if (r < 0)
                log_error_errno(r, "Failed to arm the timer of the HTTP server, ignoring: %m");
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        run(userdata);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        run(userdata);
        return 0;
}

static int on_resume(sd_event_source *source, void *userdata) {
        run(userdata);
        return 0;
}

static void run_again(HttpServer *s) {
        if (s->closing)
                return;
        int r = sd_event_source_set_enabled(s->resume, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "Failed to schedule the HTTP server: %m");
}

/* Notes how much of its answer is in memory. Streams that waited for others to be taken continue. */
static void count_answer(HttpExchange *x, size_t size) {
        HttpServer *s = x->server;
        bool less = size < x->answer;

        s->answers += size - x->answer;
        x->answer = size;
        for (HttpExchange *i = less && s->answers < HTTP_ANSWERS_MAX ? s->exchanges : NULL; i; i = i->next)
                if (i->starved)
                        http_wake(i);
}

static void drop_body(HttpExchange *x) {
        buffer_done(&x->body);
        x->server->bodies -= x->counted;
        x->counted = 0;
}

static void exchange_free(HttpExchange *x) {
        x->starved = false;
        count_answer(x, 0);
        if (x->data_free)
                x->data_free(x->data);
        if (x->previous)
                x->previous->next = x->next;
        else
                x->server->exchanges = x->next;
        if (x->next)
                x->next->previous = x->previous;
        if (x->response)
                MHD_destroy_response(x->response);
        drop_body(x);
        buffer_done(&x->out);
        free(x->path);
        free(x);
}

static HttpExchange *
exchange_new(HttpServer *s, struct MHD_Connection *c, const char *path, const char *method) {
        HttpExchange *x = new0(HttpExchange, 1);

        if (!x)
                return NULL;
        *x = (HttpExchange){
                .server = s,
                .connection = c,
                .method = method,
                .path = strdup(path),
                .max_body = s->max_body,
                .next = s->exchanges,
        };
        if (!x->path) {
                free(x);
                return NULL;
        }
        if (s->exchanges)
                s->exchanges->previous = x;
        s->exchanges = x;
        return x;
}

const char *http_method(HttpExchange *x) {
        return x->method;
}

const char *http_path(HttpExchange *x) {
        return x->path;
}

const char *http_query(HttpExchange *x, const char *name) {
        return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(HttpExchange *x, const char *name) {
        return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

const Buffer *http_body(HttpExchange *x) {
        return &x->body;
}

int http_socket(HttpExchange *x) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

        return info ? info->connect_fd : -EBADF;
}

void http_set_data(HttpExchange *x, void *data, void (*free_func)(void *data)) {
        x->data = data;
        x->data_free = free_func;
}

void *http_get_data(HttpExchange *x) {
        return x->data;
}

void http_reply(
        HttpExchange *x,
        unsigned status,
        char *body_consume,
        const char *extra_header,
        const char *value) {
        char *body = body_consume;
        size_t size = strlen(strempty(body));

        if (x->response) {
                free(body);
                return;
        }
        if (size > HTTP_ANSWER_FREE) {
                if (x->server->answers > HTTP_ANSWERS_MAX - MIN(size, HTTP_ANSWERS_MAX)) {
                        free(body);
                        http_reply_error(
                                x,
                                MHD_HTTP_SERVICE_UNAVAILABLE,
                                RPC_INTERNAL_ERROR,
                                "too many answers are in progress");
                        return;
                }
                count_answer(x, size);
        }
        x->response = MHD_create_response_from_buffer(
                size, body ? body : (char *) "", body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
        if (!x->response) {
                free(body);
                return;
        }
        x->status = status;
        if (body)
                (void) MHD_add_response_header(
                        x->response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
        if (extra_header)
                (void) MHD_add_response_header(x->response, extra_header, value);
}

void http_reply_error(HttpExchange *x, unsigned status, int code, const char *format, ...) {
        _cleanup_buffer_ Buffer b = {};
        char text[512];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        (void) buffer_append_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":");
        (void) rpc_error_append(&b, code, text, NULL, NULL);
        (void) buffer_append_str(&b, "}\n");
        if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
                http_reply(x, status, buffer_steal(&b), MHD_HTTP_HEADER_RETRY_AFTER, "5");
        else if (status == MHD_HTTP_UNAUTHORIZED)
                http_reply(x, status, buffer_steal(&b), MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
        else
                http_reply(x, status, buffer_steal(&b), NULL, NULL);
}

static void reply_oversize(HttpExchange *x) {
        http_reply_error(
                x,
                MHD_HTTP_CONTENT_TOO_LARGE,
                RPC_INVALID_REQUEST,
                "the body is larger than %zu bytes",
                x->max_body);
}

static ssize_t read_stream(void *userdata, uint64_t position, char *to, size_t max) {
        HttpExchange *x = userdata;

        if (x->out_done == x->out.size) {
                int r = 0;

                buffer_clear(&x->out, STREAM_BUFFER_KEEP);
                x->out_done = 0;
                count_answer(x, 0);
                x->starved = !x->server->closing && x->server->answers >= HTTP_ANSWERS_MAX;
                if (!x->starved)
                        r = x->server->closing ? -ESHUTDOWN : x->fill(x, &x->out, x->fill_data);
                if (r < 0 || x->out.failed)
                        return MHD_CONTENT_READER_END_OF_STREAM;
                if (x->out.size > HTTP_ANSWER_FREE)
                        count_answer(x, x->out.size);
                if (x->out.size == 0) {
                        x->waiting = true;
                        MHD_suspend_connection(x->connection);
                        return 0;
                }
        }
        size_t n = MIN(max, x->out.size - x->out_done);
        memcpy(to, x->out.data + x->out_done, n);
        x->out_done += n;
        return (ssize_t) n;
}

void http_stream(
        HttpExchange *x,
        const char *content_type,
        const char *keepalive,
        HttpFill fill,
        void *userdata) {
        x->keepalive = keepalive;
        x->fill = fill;
        x->fill_data = userdata;
        x->status = MHD_HTTP_OK;
        x->response = MHD_create_response_from_callback(
                MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, x, NULL);
        if (!x->response)
                return;
        (void) MHD_add_response_header(x->response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        (void) MHD_add_response_header(x->response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
}

void http_hold(HttpExchange *x) {
        x->waiting = true;
        MHD_suspend_connection(x->connection);
}

void http_wake(HttpExchange *x) {
        if (!x->waiting)
                return;
        x->waiting = false;
        MHD_resume_connection(x->connection);
        /* Without a thread of its own libmicrohttpd takes notice of that in its next run only. */
        run_again(x->server);
}

bool http_is_answered(HttpExchange *x) {
        return x->response || x->waiting;
}

static enum MHD_Result send_reply(HttpExchange *x) {
        x->queued = true;
        return x->response ? MHD_queue_response(x->connection, x->status, x->response) : MHD_NO;
}

static enum MHD_Result begin(HttpExchange *x) {
        const char *length = http_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
        uint64_t n = 0;

        if (x->server->ops.begin(x, &x->max_body, x->server->userdata) != 0)
                x->discard = true;
        else if (length && safe_atou64(length, &n) >= 0 && n > x->max_body)
                x->discard = x->oversize = true;
        if (x->oversize)
                reply_oversize(x);
        /* A client that waits for "100 Continue" needs no reading to the end. */
        if (x->discard && (http_header(x, MHD_HTTP_HEADER_EXPECT) || n > DISCARD_MAX))
                return send_reply(x);
        return MHD_YES;
}

static void take_body(HttpExchange *x, const char *data, size_t size) {
        HttpServer *s = x->server;

        if (x->discard)
                return;
        if (size > x->max_body - MIN(x->body.size, x->max_body)) {
                x->discard = x->oversize = true;
                reply_oversize(x);
        } else if (
                s->bodies + size > MAX(HTTP_BODIES_MAX, s->max_body) ||
                buffer_append(&x->body, data, size) < 0) {
                x->discard = true;
                http_reply_error(
                        x,
                        MHD_HTTP_SERVICE_UNAVAILABLE,
                        RPC_INTERNAL_ERROR,
                        "too many request bodies are in progress");
        } else {
                s->bodies += size;
                x->counted += size;
                return;
        }
        drop_body(x);
}

static enum MHD_Result on_request(
        void *userdata,
        struct MHD_Connection *connection,
        const char *path,
        const char *method,
        const char *version,
        const char *upload,
        size_t *upload_size,
        void **state) {
        HttpServer *s = userdata;
        HttpExchange *x = *state;

        if (!x) {
                if (s->closing)
                        return MHD_NO;
                x = *state = exchange_new(s, connection, path, method);
                return x ? begin(x) : MHD_NO;
        }
        if (x->queued)
                return MHD_YES;
        if (*upload_size > 0) {
                take_body(x, upload, *upload_size);
                *upload_size = 0;
                return MHD_YES;
        }
        if (s->closing)
                return MHD_NO;
        if (!x->response) {
                s->ops.request(x, s->userdata);
                /* It is not kept for as long as a client waits for an answer, or takes none. */
                drop_body(x);
        }
        if (x->waiting && !x->response)
                return MHD_YES;
        return send_reply(x);
}

static void on_completed(
        void *userdata,
        struct MHD_Connection *connection,
        void **state,
        enum MHD_RequestTerminationCode code) {
        if (*state)
                exchange_free(*state);
        *state = NULL;
}

static void on_connection(
        void *userdata,
        struct MHD_Connection *connection,
        void **state,
        enum MHD_ConnectionNotificationCode code) {
        const union MHD_ConnectionInfo *info;
        unsigned timeout = USER_TIMEOUT_MSEC;

        if (code != MHD_CONNECTION_NOTIFY_STARTED) {
                /* With all connections in use libmicrohttpd does not listen, and begins to again in its next run only. */
                run_again(userdata);
                return;
        }
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info) /* no TCP on a unix socket: it fails there, and is not needed */
                (void) setsockopt(
                        info->connect_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

static void on_mhd_log(void *userdata, const char *format, va_list ap) {
        char text[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void) vsnprintf(text, sizeof(text), format, ap);
#pragma GCC diagnostic pop
        text[strcspn(text, "\n")] = 0;
        log_debug("libmicrohttpd: %s", text);
}

static int on_keepalive(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpServer *s = userdata;

        for (HttpExchange *x = s->exchanges; x; x = x->next)
                if (x->fill && x->waiting && buffer_append_str(&x->out, x->keepalive) >= 0)
                        http_wake(x);
        oneshot_arm(source, HTTP_KEEPALIVE_SEC * USEC_PER_SEC);
        return 0;
}

int http_server_new(
        sd_event *event,
        int listen_fd_consume,
        size_t max_body,
        const HttpServerOps *ops,
        void *userdata,
        HttpServer **ret) {
        _cleanup_close_ int fd = listen_fd_consume;
        _cleanup_(http_server_freep) HttpServer *s = new0(HttpServer, 1);
        int r;

        if (!s)
                return -ENOMEM;
        s->ops = *ops;
        s->userdata = userdata;
        s->max_body = max_body;
        s->daemon = MHD_start_daemon(
                MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
                0,
                NULL,
                NULL,
                on_request,
                s,
                MHD_OPTION_EXTERNAL_LOGGER,
                on_mhd_log,
                NULL,
                MHD_OPTION_LISTEN_SOCKET,
                fd,
                MHD_OPTION_CONNECTION_LIMIT,
                (unsigned) HTTP_CONNECTIONS_MAX,
                MHD_OPTION_CONNECTION_TIMEOUT,
                (unsigned) HTTP_IDLE_SEC,
                MHD_OPTION_NOTIFY_COMPLETED,
                on_completed,
                NULL,
                MHD_OPTION_NOTIFY_CONNECTION,
                on_connection,
                s,
                MHD_OPTION_END);
        if (!s->daemon)
                return -EIO;
        (void) TAKE_FD(fd);
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info)
                return -EOPNOTSUPP;
        r = sd_event_add_io(event, &s->io, info->epoll_fd, EPOLLIN, on_io, s);
        if (r < 0)
                return r;
        r = oneshot_new(event, "http-server", on_timer, s, &s->timer);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &s->resume, on_resume, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->resume, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = oneshot_start(&s->keepalive, event, HTTP_KEEPALIVE_SEC * USEC_PER_SEC, on_keepalive, s);
        if (r < 0)
                return r;
        r = arm(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

HttpServer *http_server_free(HttpServer *s) {
        if (!s)
                return NULL;
        s->closing = true;
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->resume);
        sd_event_source_disable_unref(s->keepalive);
        if (s->daemon) {
                /* libmicrohttpd stops only with no connection suspended. */
                for (HttpExchange *x = s->exchanges; x; x = x->next)
                        http_wake(x);
                (void) MHD_run(s->daemon);
                MHD_stop_daemon(s->daemon);
        }
        free(s);
        return NULL;
}
