/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A stand-in for an orchestrator, for tools/bench: it grants everything, keeps nothing but counts, and looks at every
 * line of every scripted agent: was it lost, did it come twice, was it out of order?
 *
 *     orchestrator PORT
 *
 * Commands come on standard input, one a line; each is answered by one line of JSON:
 *
 *     start PREFIX FROM TO AGENT      conversation.start for PREFIX-FROM … PREFIX-TO
 *     say PREFIX FROM TO TEXT         message.user
 *     stop PREFIX FROM TO             conversation.stop
 *     delay MS                        every answer to a POST comes so much later
 *     rude N                          every N-th POST is taken, but the connection closed without a word; 0: none
 *     down, up                        nobody listens; somebody does again
 *     reset                           the counts begin anew (what is known of each conversation stays)
 *     stats                           the counts
 *     await WHAT N MS                 the counts, as soon as WHAT (lines, started, turns, ended, registered) is N
 */

#define CONNECTIONS_MAX 256
#define HISTORY_MAX 16384
#define SAMPLES_MAX (1 << 20)
#define BODY_MAX ((size_t) 256 << 20)
#define COMMENT_NSEC (UINT64_C(30) * 1000000000)

typedef struct Line {
        uint64_t id; /* a hash of the first message id that brought it; 0: not seen */
} Line;

typedef struct Conversation {
        char id[64];
        Line *lines; /* by number */
        size_t n_lines;
        unsigned last;         /* the number that came last */
        uint64_t started_nsec; /* when conversation.start was written */
        bool answered;         /* the agent has said something since */
} Conversation;

typedef struct Connection {
        int fd;
        bool stream;
        char *in, *out;
        size_t in_wanted; /* so much makes the request whole */
        size_t in_size, in_allocated, out_size, out_sent, out_allocated;
        uint64_t due_nsec; /* out is held back until then */
} Connection;

typedef struct Counts {
        uint64_t lines;       /* different ones */
        uint64_t doubled;     /* the same line under another message id: nobody could tell */
        uint64_t redelivered; /* under the same id: what an orchestrator drops */
        uint64_t disordered;  /* first arrivals behind a later one of their conversation */
        uint64_t unknown, events, posts, bytes, responses, errors;
        uint64_t started, turns, ended, registered, streams;
        uint64_t first_nsec, last_nsec, made_first_nsec, made_last_nsec, registered_nsec, wire_nsec;
        uint64_t n_latencies, n_starts;
} Counts;

static int epoll_fd, listen_fd = -1;
static unsigned port;
static Connection *connections[CONNECTIONS_MAX];
static Conversation *conversations;
static size_t n_conversations;
static char *history[HISTORY_MAX];
static unsigned n_history;
static Counts counts;
static uint32_t latencies[SAMPLES_MAX], starts[SAMPLES_MAX]; /* microseconds */
static unsigned delay_ms, rude, posts_until_rude;
static char last_error[512];
static struct {
        bool active;
        uint64_t *counter, wanted, until_nsec;
} waiting;

static uint64_t now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

static void *grow(void *p, size_t *allocated, size_t wanted) {
        size_t n = *allocated > 0 ? *allocated : 4096;

        if (wanted <= *allocated)
                return p;
        while (n < wanted)
                n *= 2;
        p = realloc(p, n);
        if (!p)
                abort();
        *allocated = n;
        return p;
}

/* ---- what is known of conversations ---- */

static uint64_t hash(const char *s, size_t n) {
        uint64_t h = UINT64_C(14695981039346656037);

        for (size_t i = 0; i < n; i++)
                h = (h ^ (unsigned char) s[i]) * UINT64_C(1099511628211);
        return h | 1;
}

static Conversation *find_conversation(const char *id, size_t size, bool make) {
        static size_t last;

        if (last < n_conversations && strlen(conversations[last].id) == size &&
            memcmp(conversations[last].id, id, size) == 0)
                return conversations + last;
        for (size_t i = 0; i < n_conversations; i++)
                if (strlen(conversations[i].id) == size && memcmp(conversations[i].id, id, size) == 0) {
                        last = i;
                        return conversations + i;
                }
        if (!make || size >= sizeof(conversations->id))
                return NULL;
        conversations = realloc(conversations, (n_conversations + 1) * sizeof(*conversations));
        if (!conversations)
                abort();
        Conversation *c = conversations + n_conversations++;
        *c = (Conversation){};
        memcpy(c->id, id, size);
        return c;
}

static void note_line(Conversation *c, unsigned number, uint64_t made, uint64_t id, uint64_t now) {
        if (number >= c->n_lines) {
                size_t n = (size_t) number * 2 + 1024;

                c->lines = realloc(c->lines, n * sizeof(Line));
                if (!c->lines)
                        abort();
                memset(c->lines + c->n_lines, 0, (n - c->n_lines) * sizeof(Line));
                c->n_lines = n;
        }
        Line *l = c->lines + number;
        if (l->id != 0) {
                if (l->id == id)
                        counts.redelivered++;
                else
                        counts.doubled++;
                return;
        }
        l->id = id;
        if (number < c->last)
                counts.disordered++;
        else
                c->last = number;
        if (counts.lines++ == 0) {
                counts.first_nsec = now;
                counts.made_first_nsec = made;
        }
        counts.last_nsec = now;
        if (made < counts.made_first_nsec)
                counts.made_first_nsec = made;
        if (made > counts.made_last_nsec)
                counts.made_last_nsec = made;
        if (counts.n_latencies < SAMPLES_MAX)
                latencies[counts.n_latencies++] = (uint32_t) ((now - made) / 1000);
}

/* Numbers that never came, of all conversations, up to the highest that did. */
static uint64_t count_gaps(void) {
        uint64_t gaps = 0;

        for (size_t i = 0; i < n_conversations; i++)
                for (unsigned n = 1; n < conversations[i].last; n++)
                        gaps += conversations[i].lines[n].id == 0;
        return gaps;
}

/* ---- what the runner says ---- */

static bool member(const char *p, const char *end, const char *key, const char **ret, size_t *ret_size) {
        const char *v = memmem(p, (size_t) (end - p), key, strlen(key)), *quote;

        if (!v)
                return false;
        v += strlen(key);
        quote = memchr(v, '"', (size_t) (end - v));
        if (!quote)
                return false;
        *ret = v;
        *ret_size = (size_t) (quote - v);
        return true;
}

static bool has(const char *p, const char *end, const char *text) {
        return memmem(p, (size_t) (end - p), text, strlen(text));
}

static void note_first_word(Conversation *c, uint64_t now) {
        if (c->answered || c->started_nsec == 0)
                return;
        c->answered = true;
        if (counts.n_starts < SAMPLES_MAX)
                starts[counts.n_starts++] = (uint32_t) ((now - c->started_nsec) / 1000);
}

/* One event or response of an array; the members looked for all stand near its beginning. */
static void take_event(const char *p, const char *end, uint64_t now) {
        const char *head = end - p > 1024 ? p + 1024 : end, *id, *conversation, *delta;
        size_t id_size, conversation_size, delta_size;

        counts.events++;
        if (!has(p, head, "\"method\":")) {
                counts.responses++;
                if (has(p, end, "\"error\":")) {
                        counts.errors++;
                        (void) snprintf(last_error, sizeof(last_error), "%.*s", (int) (end - p), p);
                        for (char *c = last_error; *c; c++)
                                if (*c == '"' || *c == '\\' || (unsigned char) *c < ' ')
                                        *c = '\'';
                }
                return;
        }
        if (!member(p, head, "\"messageId\":\"", &id, &id_size) ||
            !member(p, head, "\"conversationId\":\"", &conversation, &conversation_size)) {
                counts.unknown++;
                return;
        }
        Conversation *c = find_conversation(conversation, conversation_size, true);
        if (!c)
                return;
        if (member(p, end, "\"delta\":\"", &delta, &delta_size) && delta_size >= 27)
                note_line(
                        c,
                        (unsigned) strtoul(delta, NULL, 10),
                        strtoull(delta + 10, NULL, 10),
                        hash(id, id_size),
                        now);
        else if (has(p, head, "\"type\":\"started\"")) {
                counts.started++;
                note_first_word(c, now);
        } else if (has(p, head, "\"type\":\"turn_end\""))
                counts.turns++;
        else if (has(p, head, "\"conversation.ended\""))
                counts.ended++;
}

/* Takes the array apart: strings are stepped over, brackets counted. */
static void take_array(const char *p, const char *end, uint64_t now) {
        const char *begin = NULL;
        unsigned depth = 0;

        for (; p < end; p++)
                switch (*p) {
                case '"':
                        for (;;) {
                                const char *q = memchr(p + 1, '"', (size_t) (end - p - 1)), *b;

                                if (!q)
                                        return;
                                for (b = q; b > p + 1 && b[-1] == '\\'; b--)
                                        ;
                                p = q;
                                if ((q - b) % 2 == 0)
                                        break;
                        }
                        break;
                case '{':
                case '[':
                        if (++depth == 2 && *p == '{')
                                begin = p;
                        break;
                case '}':
                case ']':
                        if (depth-- == 2 && begin)
                                take_event(begin, p + 1, now);
                        break;
                default:
                        break;
                }
}

/* ---- http ---- */

static void reply(Connection *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void reply(Connection *c, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        c->out = grow(c->out, &c->out_allocated, c->out_size + (size_t) n + 1);
        va_start(ap, format);
        (void) vsnprintf(c->out + c->out_size, (size_t) n + 1, format, ap);
        va_end(ap);
        c->out_size += (size_t) n;
}

static void close_connection(Connection *c) {
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (connections[i] == c)
                        connections[i] = NULL;
        (void) close(c->fd);
        free(c->in);
        free(c->out);
        free(c);
}

/* False where the connection is gone. */
static bool flush(Connection *c) {
        while (c->out_sent < c->out_size && c->due_nsec == 0) {
                ssize_t n = write(c->fd, c->out + c->out_sent, c->out_size - c->out_sent);
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0 && errno != EINTR) {
                        close_connection(c);
                        return false;
                }
                c->out_sent += n > 0 ? (size_t) n : 0;
        }
        if (c->out_sent == c->out_size)
                c->out_sent = c->out_size = 0;
        struct epoll_event e = { .events = EPOLLIN | (c->out_size > 0 && c->due_nsec == 0 ? EPOLLOUT : 0),
                                 .data.ptr = c };
        (void) epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
        return true;
}

static void reply_json(Connection *c, const char *json) {
        reply(c,
              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
              strlen(json),
              json);
}

static long request_id(const char *body, const char *end) {
        const char *p = memmem(body, (size_t) (end - body), "\"id\":", 5);

        return p ? strtol(p + 5, NULL, 10) : 0;
}

/* {"jsonrpc":…,"params":{"ids":["…",…]}}: all of them are granted. */
static void grant(Connection *c, const char *body, const char *end) {
        const char *ids = memmem(body, (size_t) (end - body), "\"ids\":", 6), *close;
        char json[64 * 1024];

        close = ids ? memchr(ids, ']', (size_t) (end - ids)) : NULL;
        if (!close)
                return;
        (void) snprintf(
                json,
                sizeof(json),
                "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"result\":{\"granted\":%.*s,\"refused\":[]}}",
                request_id(body, end),
                (int) (close + 1 - (ids + 6)),
                ids + 6);
        reply_json(c, json);
}

static void take_post(Connection *c, const char *body, const char *end, uint64_t now) {
        char json[512];

        counts.posts++;
        counts.bytes += (uint64_t) (end - body);
        if (delay_ms > 0)
                c->due_nsec = now + (uint64_t) delay_ms * 1000000;
        if (body < end && *body == '[')
                take_array(body, end, now);
        else if (has(body, end, "\"method\":\"runner.register\"")) {
                counts.registered++;
                counts.registered_nsec = now;
                (void) snprintf(
                        json,
                        sizeof(json),
                        "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"result\":{\"runnerId\":\"r-1\",\"runnerUid\":\"ru-1\",\"isActiveRunner\":true,"
                        "\"cursor\":null,\"lastProcessedAt\":null,\"capabilities\":[\"claim\"]}}",
                        request_id(body, end));
                reply_json(c, json);
                return;
        } else if (has(body, end, "\"method\":\"runner.claim\"")) {
                grant(c, body, end);
                return;
        } else if (has(body, end, "\"method\":\"runner.ping\"")) {
                (void) snprintf(
                        json,
                        sizeof(json),
                        "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"result\":{\"pong\":true}}",
                        request_id(body, end));
                reply_json(c, json);
                return;
        } else
                take_event(body, end, now);
        reply(c, "HTTP/1.1 204 No Content\r\n\r\n");
}

static void write_event(Connection *c, unsigned i) {
        reply(c, "id: %u\nevent: runner.message\ndata: %s\n\n", i + 1, history[i]);
}

static void open_stream(Connection *c, const char *head, const char *end) {
        const char *since = memmem(head, (size_t) (end - head), "since=", 6);
        unsigned cursor = since ? (unsigned) strtoul(since + 6, NULL, 10) : 0;

        c->stream = true;
        counts.streams++;
        reply(c,
              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n: hello\n\n");
        for (unsigned i = cursor; i < n_history; i++)
                write_event(c, i);
}

/* Handles the requests that are whole. False where the connection is gone. */
static bool take_requests(Connection *c) {
        for (;;) {
                char *body = c->in_size > 0 ? memmem(c->in, c->in_size, "\r\n\r\n", 4) : NULL;
                size_t size = 0;

                if (!body || c->stream)
                        return flush(c);
                body += 4;
                for (char *p = c->in; (p = memchr(p, '\n', (size_t) (body - p))) && p + 1 < body; p++)
                        if (strncasecmp(p + 1, "content-length:", 15) == 0)
                                size = strtoul(p + 16, NULL, 10);
                size_t whole = (size_t) (body - c->in) + size;
                if (size > BODY_MAX) {
                        close_connection(c);
                        return false;
                }
                c->in = grow(c->in, &c->in_allocated, whole + 1);
                c->in_wanted = whole;
                if (c->in_size < whole)
                        return flush(c);
                c->in_wanted = 0;
                body = c->in + (whole - size);
                if (strncmp(c->in, "GET ", 4) == 0)
                        open_stream(c, c->in, body);
                else {
                        take_post(c, body, body + size, now_nsec());
                        if (rude > 0 && ++posts_until_rude >= rude) {
                                posts_until_rude = 0;
                                close_connection(c);
                                return false;
                        }
                }
                memmove(c->in, c->in + whole, c->in_size - whole);
                c->in_size -= whole;
        }
}

static void on_connection(Connection *c, uint32_t events) {
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                c->in = grow(c->in, &c->in_allocated, c->in_size + 64 * 1024);
                ssize_t n = read(c->fd, c->in + c->in_size, c->in_allocated - c->in_size);
                if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                        close_connection(c);
                        return;
                }
                if (n > 0) {
                        c->in_size += (size_t) n;
                        if (c->in_size >= c->in_wanted)
                                (void) take_requests(c);
                }
                return;
        }
        (void) flush(c);
}

static void on_listener(void) {
        int one = 1, fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
                return;
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (!connections[i]) {
                        Connection *c = connections[i] = calloc(1, sizeof(Connection));

                        if (!c)
                                abort();
                        c->fd = fd;
                        struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
                        (void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
                        return;
                }
        (void) close(fd);
}

static int go_up(void) {
        struct sockaddr_in a = {
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t) port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = &listen_fd };
        int one = 1;

        if (listen_fd >= 0)
                return 0;
        listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listen_fd < 0 || setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(listen_fd, (struct sockaddr *) &a, sizeof(a)) < 0 || listen(listen_fd, 64) < 0)
                return -errno;
        return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &e);
}

static void go_down(void) {
        if (listen_fd >= 0)
                (void) close(listen_fd);
        listen_fd = -1;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (connections[i])
                        close_connection(connections[i]);
}

/* ---- what the runner is told ---- */

static void send_message(const char *conversation, const char *method, const char *more) {
        char *json = NULL;

        if (n_history >= HISTORY_MAX)
                abort();
        if (asprintf(
                    &json,
                    "{\"id\":\"m-%u\",\"runnerUid\":\"ru-1\",\"conversationId\":\"%s\",\"createdAt\":\"2026-01-01T00:00:00.000Z\","
                    "\"payload\":{\"jsonrpc\":\"2.0\",\"id\":\"q-%u\",\"method\":\"%s\",\"params\":{\"conversationId\":\"%s\"%s}}}",
                    n_history + 1,
                    conversation,
                    n_history + 1,
                    method,
                    conversation,
                    more) < 0)
                abort();
        history[n_history++] = json;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (connections[i] && connections[i]->stream)
                        write_event(connections[i], n_history - 1);
}

static void flush_streams(void) {
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (connections[i] && connections[i]->stream)
                        (void) flush(connections[i]);
}

static int by_value(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return x < y ? -1 : x > y;
}

static double percentile(uint32_t *samples, uint64_t n, double p) {
        if (n == 0)
                return 0;
        qsort(samples, n, sizeof(*samples), by_value);
        return samples[(uint64_t) ((double) (n - 1) * p)];
}

static void say_counts(bool in_time) {
        const struct {
                const char *name;
                uint64_t value;
        } figures[] = {
                { "lines", counts.lines },
                { "gaps", count_gaps() },
                { "doubled", counts.doubled },
                { "redelivered", counts.redelivered },
                { "disordered", counts.disordered },
                { "unknown", counts.unknown },
                { "events", counts.events },
                { "posts", counts.posts },
                { "bytes", counts.bytes },
                { "responses", counts.responses },
                { "errors", counts.errors },
                { "started", counts.started },
                { "turns", counts.turns },
                { "ended", counts.ended },
                { "registered", counts.registered },
                { "streams", counts.streams },
                { "firstNsec", counts.first_nsec },
                { "lastNsec", counts.last_nsec },
                { "madeFirstNsec", counts.made_first_nsec },
                { "madeLastNsec", counts.made_last_nsec },
                { "registeredNsec", counts.registered_nsec },
                { "wireNsec", counts.wire_nsec },
        };

        (void) printf("{\"inTime\":%s", in_time ? "true" : "false");
        for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
                (void) printf(",\"%s\":%llu", figures[i].name, (unsigned long long) figures[i].value);
        (void) printf(",\"p50Usec\":%.0f", percentile(latencies, counts.n_latencies, 0.5));
        (void) printf(",\"p99Usec\":%.0f", percentile(latencies, counts.n_latencies, 0.99));
        (void) printf(",\"startP50Usec\":%.0f", percentile(starts, counts.n_starts, 0.5));
        (void) printf(
                ",\"starts\":%llu,\"lastError\":\"%s\"}\n",
                (unsigned long long) counts.n_starts,
                last_error);
        (void) fflush(stdout);
}

static uint64_t *counter_of(const char *name) {
        return strcmp(name, "lines") == 0       ? &counts.lines :
                strcmp(name, "started") == 0    ? &counts.started :
                strcmp(name, "turns") == 0      ? &counts.turns :
                strcmp(name, "ended") == 0      ? &counts.ended :
                strcmp(name, "registered") == 0 ? &counts.registered :
                strcmp(name, "streams") == 0    ? &counts.streams :
                                                  &counts.events;
}

/* start, say, stop: of each conversation PREFIX-FROM … PREFIX-TO. */
static void tell(const char *verb, const char *prefix, unsigned from, unsigned to, const char *text) {
        char id[64], more[512] = "";

        counts.wire_nsec = now_nsec();
        for (unsigned i = from; i <= to; i++) {
                (void) snprintf(id, sizeof(id), "%s-%u", prefix, i);
                if (strcmp(verb, "start") == 0) {
                        (void) snprintf(more, sizeof(more), ",\"agent\":\"%s\"", text);
                        Conversation *c = find_conversation(id, strlen(id), true);
                        c->started_nsec = now_nsec();
                        c->answered = false;
                        send_message(id, "conversation.start", more);
                } else if (strcmp(verb, "say") == 0) {
                        (void) snprintf(more, sizeof(more), ",\"content\":\"%s\"", text);
                        send_message(id, "message.user", more);
                } else
                        send_message(id, "conversation.stop", ",\"graceMs\":200");
        }
        flush_streams();
}

static void command(const char *line) {
        char verb[16] = "", word[32] = "", text[256] = "";
        unsigned a = 0, b = 0;
        bool ok = true;

        if (sscanf(line, "await %31s %u %u", word, &a, &b) == 3) {
                waiting.active = true;
                waiting.counter = counter_of(word);
                waiting.wanted = a;
                waiting.until_nsec = now_nsec() + (uint64_t) b * 1000000;
                return;
        }
        if (strcmp(line, "stats") == 0) {
                say_counts(true);
                return;
        }
        if (sscanf(line, "%15s %31s %u %u %255[^\n]", verb, word, &a, &b, text) >= 4)
                tell(verb, word, a, b, text);
        else if (sscanf(line, "delay %u", &a) == 1)
                delay_ms = a;
        else if (sscanf(line, "rude %u", &a) == 1) {
                rude = a;
                posts_until_rude = 0;
        } else if (strcmp(line, "down") == 0)
                go_down();
        else if (strcmp(line, "up") == 0)
                ok = go_up() == 0;
        else if (strcmp(line, "reset") == 0)
                counts = (Counts){};
        else
                ok = false;
        (void) printf("{\"ok\":%s}\n", ok ? "true" : "false");
        (void) fflush(stdout);
}

static void on_commands(void) {
        static char buffer[4096];
        static size_t size;
        char *end;
        ssize_t n = read(STDIN_FILENO, buffer + size, sizeof(buffer) - size);

        if (n <= 0)
                exit(0);
        size += (size_t) n;
        while ((end = memchr(buffer, '\n', size))) {
                *end = 0;
                command(buffer);
                size -= (size_t) (end + 1 - buffer);
                memmove(buffer, end + 1, size);
        }
}

/* What is due: answers held back, comments on streams, the one who waits. Returns the time to the next. */
static struct timespec look(void) {
        static uint64_t comment_nsec;
        uint64_t now = now_nsec(), next = now + COMMENT_NSEC;

        if (now - comment_nsec > COMMENT_NSEC) {
                comment_nsec = now;
                for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                        if (connections[i] && connections[i]->stream)
                                reply(connections[i], ":\n\n");
                flush_streams();
        }
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
                Connection *c = connections[i];

                if (!c || c->due_nsec == 0)
                        continue;
                if (c->due_nsec <= now) {
                        c->due_nsec = 0;
                        (void) flush(c);
                } else if (c->due_nsec < next)
                        next = c->due_nsec;
        }
        if (waiting.active) {
                if (*waiting.counter >= waiting.wanted || now >= waiting.until_nsec) {
                        waiting.active = false;
                        say_counts(*waiting.counter >= waiting.wanted);
                } else if (waiting.until_nsec < next)
                        next = waiting.until_nsec;
        }
        return (struct timespec){ (time_t) ((next - now) / 1000000000), (long) ((next - now) % 1000000000) };
}

int main(int argc, char *argv[]) {
        struct epoll_event events[64], e = { .events = EPOLLIN };

        port = argc == 2 ? (unsigned) atoi(argv[1]) : 0;
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (port == 0 || epoll_fd < 0 || go_up() < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &e) < 0) {
                (void) fprintf(stderr, "orchestrator PORT: %s\n", strerror(errno));
                return 1;
        }
        for (;;) {
                struct timespec next = look();
                int n = epoll_pwait2(epoll_fd, events, 64, &next, NULL);

                for (int i = 0; i < n; i++) {
                        bool there = false;

                        if (!events[i].data.ptr)
                                on_commands();
                        else if (events[i].data.ptr == &listen_fd)
                                on_listener();
                        else {
                                /* One that was closed a moment ago may still be in the list. */
                                for (size_t k = 0; k < CONNECTIONS_MAX && !there; k++)
                                        there = connections[k] == events[i].data.ptr;
                                if (there)
                                        on_connection(events[i].data.ptr, events[i].events);
                        }
                }
        }
}
