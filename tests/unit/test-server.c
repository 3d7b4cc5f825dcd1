/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "test-server.h"

#define DEADLINE (60 * USEC_PER_SEC)

struct TestConnection {
        TestServer *server;
        TestConnection *prev, *next;
        unsigned number;
        int fd;
        sd_event_source *source;
        Buffer in, out;
        TestRequest *request; /* being answered */
        bool close_when_sent;
};

struct TestServer {
        sd_event *event;
        TestHandler handler;
        void *userdata;
        int fd;
        uint16_t port;
        sd_event_source *source;
        TestConnection *connections;
        TestRequest *requests;
        unsigned n_connections;
        char url[64];
};

bool test_deadline_over = false;
static sd_event_source *deadline_source;

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        test_deadline_over = true;
        return 0;
}

void test_deadline_arm(sd_event *event) {
        test_deadline_over = false;
        assert_true(
                sd_event_add_time_relative(
                        event, &deadline_source, CLOCK_MONOTONIC, DEADLINE, 0, on_deadline, NULL) >= 0);
}

void test_deadline_disarm(void) {
        deadline_source = sd_event_source_disable_unref(deadline_source);
}

static void connection_free(TestConnection *c) {
        if (c->request)
                c->request->connection = NULL;
        if (c->prev)
                c->prev->next = c->next;
        else
                c->server->connections = c->next;
        if (c->next)
                c->next->prev = c->prev;
        sd_event_source_disable_unref(c->source);
        safe_close(c->fd);
        buffer_done(&c->in);
        buffer_done(&c->out);
        free(c);
}

static bool connection_flush(TestConnection *c) {
        while (c->out.size > 0) {
                ssize_t n = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0) {
                        connection_free(c);
                        return false;
                }
                buffer_consume(&c->out, (size_t) n);
        }
        if (c->out.size == 0 && c->close_when_sent) {
                connection_free(c);
                return false;
        }
        (void) sd_event_source_set_io_events(c->source, c->out.size > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
        return true;
}

char *test_request_header(TestRequest *r, const char *name) {
        size_t n = strlen(name);

        for (const char *line = strstr(r->head, "\r\n"); line; line = strstr(line, "\r\n")) {
                line += 2;
                if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
                        line += n + 1;
                        line += strspn(line, " ");
                        return strndup(line, strcspn(line, "\r"));
                }
        }
        return NULL;
}

/* A request that is complete: 1; not yet: 0. */
static int take_request(TestConnection *c) {
        char *end = c->in.size > 0 ? strstr(c->in.data, "\r\n\r\n") : NULL;
        TestServer *s = c->server;
        size_t head, length = 0;
        char method[16], target[8192];

        if (!end || c->request)
                return 0;
        head = (size_t) (end - c->in.data) + 4;
        TestRequest *r = new0(TestRequest, 1);
        assert_non_null(r);
        r->head = strndup(c->in.data, head);
        char *value = test_request_header(r, "Content-Length");
        if (value)
                length = strtoul(value, NULL, 10);
        free(value);
        if (c->in.size < head + length) {
                (void) buffer_reserve(&c->in, head + length - c->in.size);
                free(r->head);
                free(r);
                return 0;
        }
        assert_int_equal(sscanf(r->head, "%15s %8191s", method, target), 2);
        r->server = s;
        r->connection = c;
        r->connection_number = c->number;
        r->method = strdup(method);
        r->target = strdup(target);
        r->body = malloc(length + 1);
        assert_non_null(r->body);
        memcpy(r->body, c->in.data + head, length);
        r->body[length] = 0;
        r->body_size = length;
        buffer_consume(&c->in, head + length);
        r->next = s->requests;
        s->requests = r;
        c->request = r;
        s->handler(r, s->userdata);
        return 1;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        TestConnection *c = userdata;
        char chunk[65536];
        ssize_t n;

        if ((revents & EPOLLOUT) && !connection_flush(c))
                return 0;
        n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
                return 0;
        if (n <= 0) {
                connection_free(c);
                return 0;
        }
        assert_int_equal(buffer_append(&c->in, chunk, (size_t) n), 0);
        /* One at a time: the next comes with the answer of this one, and a handler may close the connection. */
        (void) take_request(c);
        return 0;
}

static int on_listen(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        TestServer *s = userdata;
        TestConnection *c;
        int one = 1, k = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (k < 0)
                return 0;
        (void) setsockopt(k, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        c = new0(TestConnection, 1);
        assert_non_null(c);
        *c = (TestConnection){ .server = s, .next = s->connections, .number = ++s->n_connections, .fd = k };
        if (c->next)
                c->next->prev = c;
        s->connections = c;
        assert_true(sd_event_add_io(s->event, &c->source, k, EPOLLIN, on_connection, c) >= 0);
        return 0;
}

void test_server_up(TestServer *s) {
        struct sockaddr_in a = {
                .sin_family = AF_INET,
                .sin_port = htons(s->port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        socklen_t size = sizeof(a);
        int one = 1;

        s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(s->fd >= 0);
        assert_int_equal(setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
        assert_int_equal(bind(s->fd, (struct sockaddr *) &a, sizeof(a)), 0);
        assert_int_equal(listen(s->fd, 16), 0);
        assert_int_equal(getsockname(s->fd, (struct sockaddr *) &a, &size), 0);
        s->port = ntohs(a.sin_port);
        assert_true(sd_event_add_io(s->event, &s->source, s->fd, EPOLLIN, on_listen, s) >= 0);
}

void test_server_down(TestServer *s) {
        s->source = sd_event_source_disable_unref(s->source);
        s->fd = safe_close(s->fd);
        while (s->connections)
                connection_free(s->connections);
}

TestServer *test_server_new(sd_event *event, TestHandler handler, void *userdata) {
        TestServer *s = new0(TestServer, 1);

        assert_non_null(s);
        *s = (TestServer){ .event = event, .handler = handler, .userdata = userdata, .fd = -EBADF };
        test_server_up(s);
        (void) snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", s->port);
        return s;
}

TestServer *test_server_free(TestServer *s) {
        if (!s)
                return NULL;
        test_server_down(s);
        while (s->requests) {
                TestRequest *r = s->requests;

                s->requests = r->next;
                free(r->method);
                free(r->target);
                free(r->head);
                free(r->body);
                free(r);
        }
        free(s);
        return NULL;
}

const char *test_server_url(TestServer *s) {
        return s->url;
}

unsigned test_server_connections(TestServer *s) {
        return s->n_connections;
}

void test_reply(TestRequest *r, int status, const char *extra, const char *body) {
        TestConnection *c = r->connection;

        assert_false(r->answered);
        r->answered = true;
        if (!c)
                return;
        (void) buffer_printf(&c->out, "HTTP/1.1 %d Whatever\r\n%s", status, strempty(extra));
        if (status != 204)
                (void) buffer_printf(&c->out, "Content-Length: %zu\r\n", strlen(strempty(body)));
        (void) buffer_append_str(&c->out, "\r\n");
        (void) buffer_append_str(&c->out, strempty(body));
        c->request = NULL;
        r->connection = NULL;
        (void) connection_flush(c);
}

void test_stream_begin(TestRequest *r, const char *content_type) {
        TestConnection *c = r->connection;

        assert_false(r->answered);
        r->answered = true;
        if (!c)
                return;
        (void) buffer_printf(
                &c->out, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: %s\r\n\r\n", content_type);
        (void) connection_flush(c);
}

void test_stream_send(TestRequest *r, const char *data, size_t size) {
        if (!r->connection)
                return;
        (void) buffer_append(&r->connection->out, data, size);
        (void) connection_flush(r->connection);
}

void test_stream_text(TestRequest *r, const char *format, ...) {
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        assert_true(n >= 0);
        test_stream_send(r, text, (size_t) n);
        free(text);
}

void test_request_close(TestRequest *r) {
        TestConnection *c = r->connection;

        r->answered = true;
        if (!c)
                return;
        c->close_when_sent = true;
        (void) connection_flush(c);
}
