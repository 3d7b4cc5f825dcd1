/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "ctl/metrics/http-answer.h"

/* ---- the form of a request ---- */

static bool is_token(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_text(const char *s, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (((unsigned char) s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
                        return false;
        return true;
}

static bool is(const char *s, size_t size, const char *word) {
        return size == strlen(word) && memcmp(s, word, size) == 0;
}

/* METHOD SP /path[?query] SP HTTP/1.x, without its end. */
static unsigned parse_line(const char *line, size_t size, HttpRequest *ret, bool *ret_needs_host) {
        const char *end = line + size, *target, *version, *query;
        size_t method = 0;

        while (method < size && is_token(line[method]))
                method++;
        if (method == 0 || method == size || line[method] != ' ')
                return 400;
        target = line + method + 1;
        version = memchr(target, ' ', (size_t) (end - target));
        if (!version || target[0] != '/')
                return 400;
        for (const char *p = target; p < version; p++)
                if (*p <= ' ' || *p == 0x7f || *p == '#')
                        return 400;
        query = memchr(target, '?', (size_t) (version - target));
        ret->path = target;
        ret->path_size = (size_t) ((query ? query : version) - target);
        version++;
        if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0)
                return 400;
        if (!is(version, 8, "HTTP/1.1") && !is(version, 8, "HTTP/1.0"))
                return 505;
        *ret_needs_host = version[7] == '1';
        ret->head = is(line, method, "HEAD");
        return ret->head || is(line, method, "GET") ? 200 : 405;
}

static bool is_name(const char *s, size_t size, const char *name) {
        return size == strlen(name) && strncasecmp(s, name, size) == 0;
}

/* name: value. Of interest is only which host is meant, and whether there is a body. */
static bool parse_header(const char *line, size_t size, unsigned *hosts, bool *body) {
        const char *value;
        size_t name = 0, n;

        while (name < size && is_token(line[name]))
                name++;
        if (name == 0 || name == size || line[name] != ':')
                return false;
        value = line + name + 1;
        n = size - name - 1;
        if (!is_text(value, n))
                return false;
        while (n > 0 && (*value == ' ' || *value == '\t'))
                value++, n--;
        while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
                n--;
        *hosts += is_name(line, name, "Host");
        *body |= is_name(line, name, "Transfer-Encoding") ||
                (is_name(line, name, "Content-Length") && !is(value, n, "0"));
        return true;
}

unsigned http_request_parse(const char *data, size_t size, HttpRequest *ret) {
        bool first = true, needs_host = false, body = false;
        unsigned status = 200, headers = 0, hosts = 0;

        *ret = (HttpRequest){};
        while (size > 0) {
                const char *end = memchr(data, '\n', size);
                size_t n;

                if (!end)
                        return 0;
                n = (size_t) (end - data);
                if (n == 0 || data[n - 1] != '\r')
                        return 400;
                n--;
                if (n == 0 && !first)
                        return hosts > 1 || (needs_host && hosts == 0) || (status == 200 && body) ? 400 :
                                                                                                    status;
                if (first)
                        status = parse_line(data, n, ret, &needs_host);
                else if (++headers > HTTP_HEADERS_MAX)
                        return 431;
                else if (!parse_header(data, n, &hosts, &body))
                        return 400;
                if (status == 400)
                        return 400;
                first = false;
                size -= n + 2;
                data = end + 1;
        }
        return 0;
}

/* ---- the connection ---- */

/* Waits until fd is ready or the deadline has come. */
static bool wait_for(int fd, short events, uint64_t deadline) {
        for (;;) {
                struct pollfd p = { .fd = fd, .events = events };
                uint64_t now = now_usec(CLOCK_MONOTONIC);
                int r;

                if (now >= deadline)
                        return false;
                r = poll(&p, 1, (int) ((deadline - now) / USEC_PER_MSEC + 1));
                if (r > 0)
                        return true;
                if (r < 0 && errno != EINTR)
                        return false;
        }
}

unsigned http_request_read(int fd, Buffer *data, HttpRequest *ret) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + HTTP_READ_USEC;

        *ret = (HttpRequest){};
        for (;;) {
                unsigned status;
                char chunk[4096];
                ssize_t n;

                if (!wait_for(fd, POLLIN, deadline))
                        return 408;
                n = read(fd, chunk, sizeof(chunk));
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n <= 0)
                        return n < 0 || data->size == 0 ? 0 : 400;
                if (buffer_append(data, chunk, (size_t) n) < 0)
                        return 503;
                status = http_request_parse(data->data, data->size, ret);
                if (status != 0)
                        return status;
                if (data->size > HTTP_REQUEST_MAX)
                        return 431;
        }
}

static const char *reason_of(unsigned status) {
        static const struct {
                unsigned status;
                const char *reason;
        } reasons[] = {
                { 200, "OK" },
                { 400, "Bad Request" },
                { 404, "Not Found" },
                { 405, "Method Not Allowed" },
                { 408, "Request Timeout" },
                { 431, "Request Header Fields Too Large" },
                { 505, "HTTP Version Not Supported" },
        };

        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (reasons[i].status == status)
                        return reasons[i].reason;
        return "Service Unavailable";
}

static int write_until(int fd, const char *data, size_t size, uint64_t deadline) {
        while (size > 0) {
                ssize_t n;

                if (!wait_for(fd, POLLOUT, deadline))
                        return -ETIMEDOUT;
                /* Where the client does not read, a write must not outlast the deadline; a pipe is no socket. */
                n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && errno == ENOTSOCK)
                        n = write(fd, data, MIN(size, (size_t) 4096));
                if (n < 0) {
                        if (errno == EINTR || errno == EAGAIN)
                                continue;
                        return -errno;
                }
                data += n;
                size -= (size_t) n;
        }
        return 0;
}

/* A connection that is closed with anything unread is reset, and the answer may be lost with it. */
static void drain(int fd) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + USEC_PER_SEC;
        size_t total = 0;
        char chunk[4096];
        ssize_t n;

        while (total < HTTP_DRAIN_MAX && wait_for(fd, POLLIN, deadline) &&
               (n = read(fd, chunk, sizeof(chunk))) > 0)
                total += (size_t) n;
}

int http_answer(
        int in,
        int out,
        unsigned status,
        bool head,
        const char *content_type,
        const char *body,
        size_t size) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + HTTP_WRITE_USEC;
        _cleanup_buffer_ Buffer b = {};
        int r;

        (void) buffer_printf(
                &b,
                "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%sConnection: close\r\n\r\n",
                status,
                reason_of(status),
                content_type,
                size,
                status == 405 ? "Allow: GET, HEAD\r\n" : "");
        if (!head)
                (void) buffer_append(&b, body, size);
        if (b.failed)
                return -ENOMEM;
        r = write_until(out, b.data, b.size, deadline);
        if (r < 0)
                return r;
        if (shutdown(out, SHUT_WR) >= 0)
                drain(in);
        return 0;
}
