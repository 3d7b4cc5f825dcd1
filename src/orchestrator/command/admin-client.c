/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <curl/curl.h>

#include "common/buffer.h"
#include "orchestrator/command/admin-client.h"

#define SYSTEM_SOCKET "/run/northflare-orchestrator/admin.socket"
#define ANSWER_MAX ((size_t) 256 * 1024 * 1024)
#define CALL_TIMEOUT_SEC 60L
/* A stream sends something every 15 s. */
#define SILENCE_SEC 75L
#define WAIT_DEFAULT_SEC 60

typedef struct Transfer {
        CURL *curl;
        struct curl_slist *headers;
        Buffer in;
        size_t scanned; /* so much of it has no end of a line */
        int (*line)(const char *text, size_t size, void *userdata);
        void *userdata;
        int stopped; /* what line() returned */
        bool failed;
} Transfer;

static void transfer_done(Transfer *t) {
        curl_easy_cleanup(t->curl);
        curl_slist_free_all(t->headers);
        buffer_done(&t->in);
}

static const char *socket_path(const Options *o, char **ret_free) {
        const char *e = getenv("NORTHFLARE_ORCHESTRATOR_SOCKET"), *run = getenv("XDG_RUNTIME_DIR");

        if (o->socket)
                return o->socket;
        if (!isempty(e))
                return e;
        if (access(SYSTEM_SOCKET, F_OK) < 0 && !isempty(run)) {
                *ret_free = xasprintf("%s/northflare-orchestrator/admin.socket", run);
                if (*ret_free && access(*ret_free, F_OK) >= 0)
                        return *ret_free;
        }
        return SYSTEM_SOCKET;
}

static size_t on_data(char *data, size_t one, size_t size, void *userdata) {
        Transfer *t = userdata;
        long status = 0;
        char *end;

        if (t->in.size + size > ANSWER_MAX || buffer_append(&t->in, data, size) < 0) {
                t->failed = true;
                return 0;
        }
        (void) curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
        if (!t->line || status != 200)
                return size;
        size_t at = 0;
        while ((end = memchr(t->in.data + t->scanned, '\n', t->in.size - t->scanned))) {
                size_t n = (size_t) (end - t->in.data) - at;

                if (n > 0)
                        t->stopped = t->line(t->in.data + at, n, t->userdata);
                if (t->stopped != 0)
                        return 0;
                at += n + 1;
                t->scanned = at;
        }
        buffer_consume(&t->in, at);
        t->scanned = t->in.size;
        return size;
}

static int out_of_memory(void) {
        (void) fprintf(stderr, "Out of memory.\n");
        return EXIT_REFUSED;
}

static int setup(Transfer *t, const char *socket, const char *method, const char *path, const char *body) {
        _cleanup_free_ char *url = xasprintf("http://localhost%s", path);

        t->curl = curl_easy_init();
        t->headers = curl_slist_append(NULL, "Expect:");
        if (t->headers && body)
                t->headers = curl_slist_append(t->headers, "Content-Type: application/json");
        if (!url || !t->curl || !t->headers)
                return out_of_memory();
        (void) curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH, socket);
        (void) curl_easy_setopt(t->curl, CURLOPT_URL, url);
        (void) curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, method);
        (void) curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
        (void) curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(t->curl, CURLOPT_NOPROXY, "*");
        (void) curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, on_data);
        (void) curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
        (void) curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        (void) curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME, SILENCE_SEC);
        if (body || streq(method, "POST")) {
                (void) curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, strempty(body));
                (void) curl_easy_setopt(
                        t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(strempty(body)));
        }
        return 0;
}

Slice answer_of(const Buffer *answer) {
        Slice s = { strempty(answer->data), answer->size };

        /* Lists come in pieces, with blanks where nothing came for a while. */
        while (s.size > 0 && (s.data[0] == '\n' || s.data[0] == ' ')) {
                s.data++;
                s.size--;
        }
        while (s.size > 0 && s.data[s.size - 1] == '\n')
                s.size--;
        return s;
}

Slice answer_member(Slice object, const char *name) {
        Slice v = {};

        (void) json_members(object, &(JsonMember){ name, &v }, 1);
        return json_is_there(v) ? v : (Slice){};
}

static int report(Transfer *t, const Options *o, CURLcode c, const char *socket) {
        _cleanup_free_ char *text = NULL;
        long status = 0;

        if (c != CURLE_OK) {
                (void) fprintf(
                        stderr,
                        "Failed to connect to the orchestrator at %s: %s.\n",
                        socket,
                        curl_easy_strerror(c));
                return EXIT_UNREACHABLE;
        }
        (void) curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status == 200)
                return 0;
        Slice answer = answer_of(&t->in);
        if (!json_scan_valid(answer.data, answer.size))
                answer = (Slice){};
        if (o->json && answer.size > 0)
                print_json(answer);
        text = json_member_string(answer_member(answer, "error"), "message");
        if (text)
                (void) fprintf(stderr, "Refused: %s.\n", text);
        else
                (void) fprintf(stderr, "The orchestrator answered with HTTP status %ld.\n", status);
        return status == 403 ? EXIT_UNREACHABLE : EXIT_REFUSED;
}

int admin_call(const Options *o, const char *method, const char *path, Json *body, Buffer *ret) {
        _cleanup_(transfer_done) Transfer t = {};
        _cleanup_free_ char *memory = NULL;
        const char *socket = socket_path(o, &memory);
        int r;

        r = setup(&t, socket, method, path, body ? json_text(body) : NULL);
        if (r != 0)
                return r;
        /* A call that waits at the other end says so in its query. */
        if (!strstr(path, "?wait="))
                (void) curl_easy_setopt(t.curl, CURLOPT_TIMEOUT, CALL_TIMEOUT_SEC);
        else
                (void) curl_easy_setopt(t.curl, CURLOPT_LOW_SPEED_TIME, 0L);
        CURLcode c = curl_easy_perform(t.curl);
        if (t.failed)
                return out_of_memory();
        r = report(&t, o, c, socket);
        if (r != 0)
                return r;
        const char *wrong = json_scan_check(strempty(t.in.data), t.in.size, NULL);
        if (wrong) {
                (void) fprintf(stderr, "Failed to parse the answer of the orchestrator: %s.\n", wrong);
                return EXIT_REFUSED;
        }
        *ret = t.in;
        t.in = (Buffer){};
        return 0;
}

int admin_stream(
        const Options *o,
        const char *path,
        int (*line)(const char *text, size_t size, void *userdata),
        void *userdata) {
        _cleanup_(transfer_done) Transfer t = { .line = line, .userdata = userdata };
        _cleanup_free_ char *memory = NULL;
        const char *socket = socket_path(o, &memory);
        int r;

        r = setup(&t, socket, "GET", path, NULL);
        if (r != 0)
                return r;
        CURLcode c = curl_easy_perform(t.curl);
        if (t.stopped != 0)
                return t.stopped;
        return t.failed ? out_of_memory() : report(&t, o, c, socket);
}

char *admin_path(const char *format, const char *piece) {
        char *escaped = curl_easy_escape(NULL, piece, 0), *path;

        if (!escaped)
                return NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        path = xasprintf(format, escaped);
#pragma GCC diagnostic pop
        curl_free(escaped);
        return path;
}

static int finish_answered(const Options *o, Slice answer, const char *headline, bool print_result) {
        Slice error = answer_member(answer, "error"), result = answer_member(answer, "result");
        _cleanup_free_ char *text = json_member_string(error, "message"),
                            *state = json_member_string(answer, "state");

        if (o->json)
                print_json(answer);
        if (!streq_ptr(state, "answered")) {
                (void) fprintf(
                        stderr, "No answer was received in time; the message is %s.\n", strempty(state));
                return EXIT_TIMED_OUT;
        }
        if (error.size > 0) {
                (void) fprintf(stderr, "The runner refused: ");
                (void) fflush(stderr);
                if (text)
                        (void) fprintf(stderr, "%s.\n", text);
                else
                        (void) fprintf(stderr, "%.*s.\n", (int) error.size, error.data);
                return EXIT_REFUSED;
        }
        if (o->json)
                return 0;
        if (headline)
                (void) printf("%s\n", headline);
        if (print_result && result.size > 0)
                print_json(result);
        return 0;
}

int admin_finish(const Options *o, Slice made, const char *headline, bool print_result) {
        _cleanup_free_ char *path = NULL, *id = json_member_string(made, "messageId");
        _cleanup_buffer_ Buffer answer = {};
        int r;

        if (!o->wait) {
                if (o->json)
                        print_json(made);
                else if (headline || print_result)
                        (void) printf("%s\n", headline ? headline : strempty(id));
                return 0;
        }
        path = xasprintf(
                "/v1/messages/%s?wait=%llu",
                strempty(id),
                (unsigned long long) (o->timeout_sec > 0 ? o->timeout_sec : WAIT_DEFAULT_SEC));
        if (!path)
                return out_of_memory();
        r = admin_call(o, "GET", path, NULL, &answer);
        return r != 0 ? r : finish_answered(o, answer_of(&answer), headline, print_result);
}

int admin_order(const Options *o, const char *method, char *path_consume) {
        _cleanup_free_ char *path = path_consume;
        _cleanup_buffer_ Buffer answer = {};
        int r;

        if (!path)
                return EXIT_REFUSED;
        r = admin_call(o, method, path, NULL, &answer);
        if (r == 0 && o->json)
                print_json(answer_of(&answer));
        return r;
}

int admin_list(
        const Options *o,
        const char *path,
        const char *member,
        void (*head)(void),
        void (*row)(Slice element)) {
        _cleanup_buffer_ Buffer answer = {};
        Slice list, element;
        size_t iter = 0;
        int r;

        r = admin_call(o, "GET", path, NULL, &answer);
        if (r != 0)
                return r;
        list = answer_member(answer_of(&answer), member);
        if (o->json) {
                print_json(list);
                return 0;
        }
        head();
        while (json_scan_element(list, &iter, &element))
                row(element);
        return 0;
}

void print_json(Slice v) {
        (void) fwrite(v.data, 1, v.size, stdout);
        (void) putchar('\n');
        (void) fflush(stdout);
}

void print_safe(const char *text, size_t size, size_t max) {
        size_t n;

        for (size_t i = 0; i < size; i += n) {
                unsigned char c = (unsigned char) text[i];

                n = utf8_sequence(text + i, size - i);
                if (i >= max) {
                        (void) printf("…");
                        return;
                }
                if (n == 0) {
                        (void) printf("\\x%02x", c);
                        n = 1;
                } else if (c == '\n')
                        (void) printf("\\n");
                else if (c < 0x20 || c == 0x7f)
                        (void) printf("\\x%02x", c);
                else if (n == 2 && c == 0xc2 && (unsigned char) text[i + 1] < 0xa0) /* C1 controls */
                        (void) printf("\\x%02x", (unsigned char) text[i + 1]);
                else
                        (void) printf("%.*s", (int) n, text + i);
        }
}
