/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "common/oneshot.h"
#include "runner/link/http.h"

/* How a transfer moves: libcurl says which sockets it waits for and when it wants to be called again; both become
 * event sources, whose callbacks call curl_multi_socket_action() and then handle the results. While libcurl is on the
 * stack no callback of a user runs: streamed bytes are gathered and handed out afterwards. So a user may start and free
 * whatever he likes from his callbacks, and libcurl is never entered twice. Finished transfers are taken one in each
 * turn of the loop, as the last thing of the turn; the `kick` source brings about the next turn.
 *
 * libcurl's own time limits are not used: one that strikes while a name is resolved joins the resolver's thread, which
 * getaddrinfo() may hold for half a minute. Deadlines are kept here instead, and a transfer that is given up while its
 * name is resolved is parked: it has no request any more and ends when it would open its socket. */

#define SPARE_MAX 8
#define CONNECTIONS_MAX 8L
#define KEEPALIVE_SECS 60L
#define STREAM_KEEP (64 * 1024)

typedef struct Transfer {
        HttpClient *client;
        HttpRequest *request; /* NULL: parked */
        struct Transfer *prev, *next;
        CURL *easy;
        struct curl_slist *headers;
        char *body_owned;
        bool resolving; /* a resolver may have been started for it */
        char error_text[CURL_ERROR_SIZE];
} Transfer;

struct HttpRequest {
        Transfer *transfer; /* NULL once it is done */
        size_t max_body;
        uint64_t deadline_usec; /* CLOCK_MONOTONIC; USEC_INFINITY: none */
        HttpData data;
        HttpDone done;
        void *userdata;
        Buffer answer;   /* or the streamed bytes not handed out yet */
        int error;       /* why a callback of ours ended the transfer */
        bool truncated;  /* an answer that is no 2xx was cut off; no error */
        bool answered;   /* the answer's header is complete */
        bool header_due; /* the streamed answer has begun, which the user is still to hear */
        bool in_callback, freed;
};

struct HttpClient {
        unsigned n_ref; /* the owner, each transfer, and who calls back */
        sd_event *event;
        CURLM *multi; /* NULL: closed */
        sd_event_source *timer, *kick, *deadline;
        bool timer_due;
        Transfer *transfers;
        CURL *spare[SPARE_MAX];
        size_t n_spare;
        char *ca_file, *ca_path;
};

static void client_unref(HttpClient *c) {
        assert(c->n_ref > 0);
        if (--c->n_ref > 0)
                return;
        free(c->ca_file);
        free(c->ca_path);
        free(c);
}

static void client_kick(HttpClient *c) {
        (void) sd_event_source_set_enabled(c->kick, SD_EVENT_ONESHOT);
}

static void client_watch_deadline(HttpClient *c, uint64_t usec) {
        /* Only moved to an earlier time: where it fires too early, it finds the next deadline itself. */
        if (usec < oneshot_time(c->deadline))
                oneshot_arm_at(c->deadline, usec);
}

/* ---- transfers ---- */

static void transfer_link(Transfer *t) {
        HttpClient *c = t->client;

        t->next = c->transfers;
        if (t->next)
                t->next->prev = t;
        c->transfers = t;
}

/* Takes it out of the multi and out of the list. */
static void transfer_detach(Transfer *t) {
        (void) curl_multi_remove_handle(t->client->multi, t->easy);
        if (t->prev)
                t->prev->next = t->next;
        else
                t->client->transfers = t->next;
        if (t->next)
                t->next->prev = t->prev;
        t->prev = t->next = NULL;
}

/* Of one that is in no multi. */
static Transfer *transfer_free(Transfer *t) {
        HttpClient *c;

        if (!t)
                return NULL;
        c = t->client;
        if (t->easy && c->multi && c->n_spare < SPARE_MAX) {
                curl_easy_reset(t->easy);
                c->spare[c->n_spare++] = t->easy;
        } else if (t->easy)
                curl_easy_cleanup(t->easy);
        curl_slist_free_all(t->headers);
        free(t->body_owned);
        client_unref(c);
        free(t);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Transfer *, transfer_free);

/* Whether taking the transfer out of the multi would wait for a resolver's thread. */
static bool transfer_is_resolving(Transfer *t) {
        curl_off_t looked_up = 0;

        if (!t->resolving)
                return false;
        return curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up) != CURLE_OK ||
                looked_up <= 0;
}

/* Ends a transfer that is under way, or parks it. */
static void transfer_drop(Transfer *t) {
        t->request = NULL;
        if (transfer_is_resolving(t)) {
                /* The body may be gone when libcurl gets there; it never sends it. */
                (void) curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, "");
                (void) curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) 0);
                return;
        }
        transfer_detach(t);
        transfer_free(t);
}

static long transfer_status(Transfer *t) {
        long status = 0;

        (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

/* ---- what libcurl calls ---- */

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;
        HttpRequest *r = t->request;
        long status = transfer_status(t);

        size *= n;
        if (!r)
                return CURL_WRITEFUNC_ERROR;
        bool good = status >= 200 && status < 300;
        size_t room = good && r->data ? size : r->max_body - MIN(r->answer.size, r->max_body);
        size_t take = MIN(size, room);
        if (buffer_append(&r->answer, data, take) < 0) {
                r->error = -ENOMEM;
                return CURL_WRITEFUNC_ERROR;
        }
        if (take == size)
                return size;
        if (good)
                r->error = -EMSGSIZE;
        else
                r->truncated = true;
        return CURL_WRITEFUNC_ERROR;
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;
        long status;

        size *= n;
        if (!t->request)
                return CURL_WRITEFUNC_ERROR;
        if (size == 0 || (line[0] != '\r' && line[0] != '\n'))
                return size;
        status = transfer_status(t);
        if (status >= 200)
                t->request->answered = true;
        if (status >= 200 && status < 300)
                t->request->header_due = true;
        return size;
}

static int on_resolver_start(void *resolver, void *reserved, void *userdata) {
        Transfer *t = userdata;

        t->resolving = true;
        return 0;
}

static curl_socket_t on_open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        Transfer *t = userdata;

        t->resolving = false;
        if (!t->request)
                return CURL_SOCKET_BAD;
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- handing out ---- */

static void request_destroy(HttpRequest *r) {
        buffer_done(&r->answer);
        free(r);
}

HttpRequest *http_request_free(HttpRequest *r) {
        if (!r)
                return NULL;
        if (r->transfer)
                transfer_drop(TAKE_PTR(r->transfer));
        if (r->in_callback)
                r->freed = true;
        else
                request_destroy(r);
        return NULL;
}

const char *http_request_content_type(HttpRequest *r) {
        char *type = NULL;

        if (r->transfer)
                (void) curl_easy_getinfo(r->transfer->easy, CURLINFO_CONTENT_TYPE, &type);
        return type;
}

static int error_from_curl(Transfer *t, CURLcode code) {
        long os_error = 0;

        switch (code) {
        case CURLE_OK:
                return 0;
        case CURLE_OUT_OF_MEMORY:
                return -ENOMEM;
        case CURLE_URL_MALFORMAT:
                return -EINVAL;
        case CURLE_UNSUPPORTED_PROTOCOL:
                return -EPROTONOSUPPORT;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
                return -EHOSTUNREACH;
        case CURLE_COULDNT_CONNECT:
                (void) curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_error);
                return os_error > 0 ? (int) -os_error : -ECONNREFUSED;
        case CURLE_OPERATION_TIMEDOUT:
                return -ETIMEDOUT;
        case CURLE_GOT_NOTHING:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
        case CURLE_PARTIAL_FILE:
                return -ECONNRESET;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_WEIRD_SERVER_REPLY:
                return -EPROTO;
        default:
                return -EIO;
        }
}

/* Notifies the owner of r; t is its transfer, taken out of the multi, or NULL. Both are the caller's. */
static void request_finish(HttpRequest *r, Transfer *t, CURLcode code, int error) {
        HttpResult result = {};
        curl_off_t retry_after = 0;
        char *type = NULL;

        if (r->error < 0)
                error = r->error;
        else if (error == 0 && code == CURLE_OK && !r->answered)
                /* Cut off in the header, which libcurl takes for an answer. A status alone acknowledges nothing. */
                error = -ECONNRESET;
        else if (error == 0 && !r->truncated)
                error = error_from_curl(t, code);
        result.error = error;
        if (t) {
                result.status = transfer_status(t);
                if (curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK &&
                    retry_after > 0)
                        result.retry_after_usec = (uint64_t) MIN(retry_after, (curl_off_t) 365 * 24 * 3600) *
                                USEC_PER_SEC;
                if (curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK)
                        result.content_type = type;
        }
        if (error < 0)
                result.error_text = t && r->error == 0 && code != CURLE_OK ?
                        (isempty(t->error_text) ? curl_easy_strerror(code) : t->error_text) :
                        strerror(-error);
        if (!(r->data && result.status >= 200 && result.status < 300)) {
                result.body = strempty(r->answer.data);
                result.body_size = r->answer.size;
        }
        r->in_callback = true;
        r->done(r, &result, r->userdata);
        r->in_callback = false;
        if (r->freed)
                request_destroy(r);
        else
                buffer_done(&r->answer);
}

/* Ends a transfer that libcurl is through with, or that we have had enough of. */
static void transfer_end(Transfer *transfer_consume, CURLcode code, int error) {
        _cleanup_(transfer_freep) Transfer *t = transfer_consume;
        HttpRequest *r = TAKE_PTR(t->request);

        transfer_detach(t);
        if (!r)
                return;
        r->transfer = NULL;
        request_finish(r, t, code, error);
}

static bool transfer_has_news(Transfer *t) {
        HttpRequest *r = t->request;
        long status;

        if (!r || !r->data || r->error < 0 || (!r->header_due && r->answer.size == 0))
                return false;
        status = transfer_status(t);
        return status >= 200 && status < 300;
}

/* Hands out what a stream has brought. */
static void request_deliver(HttpRequest *r) {
        Buffer chunk = r->answer;
        bool begun = r->header_due;
        int k = 0;

        r->answer = (Buffer){};
        r->header_due = false;
        r->in_callback = true;
        if (begun)
                k = r->data(r, "", 0, r->userdata);
        if (k >= 0 && r->transfer && chunk.size > 0)
                k = r->data(r, chunk.data, chunk.size, r->userdata);
        r->in_callback = false;
        buffer_clear(&chunk, STREAM_KEEP);
        if (r->freed || !r->transfer) {
                buffer_done(&chunk);
                if (r->freed)
                        request_destroy(r);
                return;
        }
        r->answer = chunk; /* for its memory */
        if (k < 0) {
                r->error = k;
                transfer_end(r->transfer, CURLE_OK, k);
        }
}

/* After libcurl was called: hands out what it brought and takes one finished transfer. The client may be gone after. */
static void client_advance(HttpClient *c) {
        Transfer *t;
        CURLMsg *m;
        int left;

        c->n_ref++;
        do {
                if (!c->multi)
                        goto finish;
                for (t = c->transfers; t && !transfer_has_news(t); t = t->next)
                        ;
                if (t)
                        request_deliver(t->request);
        } while (t);

        m = curl_multi_info_read(c->multi, &left);
        if (!m || m->msg != CURLMSG_DONE)
                goto finish;
        if (left > 0)
                client_kick(c);
        CURLcode code = m->data.result;
        if (curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **) &t) == CURLE_OK)
                transfer_end(t, code, 0);
finish:
        client_unref(c);
}

static void client_action(HttpClient *c, curl_socket_t fd, int bits) {
        int running;

        (void) curl_multi_socket_action(c->multi, fd, bits, &running);
        client_advance(c);
}

/* ---- the loop ---- */

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int bits = 0;

        if (revents & EPOLLIN)
                bits |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                bits |= CURL_CSELECT_OUT;
        /* On EPOLLERR or EPOLLHUP alone no bit is set: libcurl checks the socket itself. */
        client_action(userdata, fd, bits);
        return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data) {
        HttpClient *c = userdata;
        sd_event_source *source = socket_data;
        uint32_t events = 0;

        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(source);
                (void) curl_multi_assign(c->multi, fd, NULL);
                return 0;
        }
        if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
                events |= EPOLLIN;
        if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
                events |= EPOLLOUT;
        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
        if (sd_event_add_io(c->event, &source, fd, events, on_io, c) < 0)
                return -1;
        (void) sd_event_source_set_description(source, "http-socket");
        if (curl_multi_assign(c->multi, fd, source) != CURLM_OK) {
                sd_event_source_disable_unref(source);
                return -1;
        }
        return 0;
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *userdata) {
        HttpClient *c = userdata;

        c->timer_due = timeout_ms == 0;
        if (timeout_ms <= 0)
                (void) sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        if (timeout_ms == 0)
                client_kick(c); /* "now" is cheaper without a timer */
        else if (timeout_ms > 0)
                oneshot_arm(c->timer, (uint64_t) timeout_ms * USEC_PER_MSEC);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        client_action(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static int on_kick(sd_event_source *source, void *userdata) {
        HttpClient *c = userdata;

        if (c->timer_due) {
                c->timer_due = false;
                client_action(c, CURL_SOCKET_TIMEOUT, 0);
        } else
                client_advance(c);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpClient *c = userdata;
        uint64_t now = now_usec(CLOCK_MONOTONIC), next = USEC_INFINITY;
        Transfer *late = NULL;

        for (Transfer *t = c->transfers; t; t = t->next)
                if (t->request && t->request->deadline_usec <= now && !late)
                        late = t;
                else if (t->request)
                        next = MIN(next, t->request->deadline_usec);
        client_watch_deadline(c, next);
        if (!late)
                return 0;
        if (!transfer_is_resolving(late)) {
                transfer_end(late, CURLE_OK, -ETIMEDOUT);
                return 0;
        }
        HttpRequest *r = late->request;
        r->transfer = NULL;
        transfer_drop(late);
        request_finish(r, NULL, CURLE_OK, -ETIMEDOUT);
        return 0;
}

/* ---- set-up ---- */

#define SETOPT(easy, option, value)                                          \
        do {                                                                 \
                if (curl_easy_setopt((easy), (option), (value)) != CURLE_OK) \
                        return -EINVAL;                                      \
        } while (false)

static int transfer_set_headers(Transfer *t, const char *const *headers, bool post) {
        struct curl_slist *l;

        for (const char *const *h = headers; h && *h; h++) {
                l = curl_slist_append(t->headers, *h);
                if (!l)
                        return -ENOMEM;
                t->headers = l;
        }
        if (post) {
                /* Without "Expect: 100-continue", which would hold a large body back for a second. */
                l = curl_slist_append(t->headers, "Expect:");
                if (!l)
                        return -ENOMEM;
                t->headers = l;
        }
        SETOPT(t->easy, CURLOPT_HTTPHEADER, t->headers);
        return 0;
}

static int transfer_set_up(Transfer *t, const HttpParams *p) {
        HttpClient *c = t->client;
        CURL *e = t->easy;
        bool post = streq(p->method, "POST");
        int r;

        SETOPT(e, CURLOPT_ERRORBUFFER, t->error_text);
        SETOPT(e, CURLOPT_URL, p->url);
        SETOPT(e, CURLOPT_NOSIGNAL, 1L);
        SETOPT(e, CURLOPT_PROTOCOLS_STR, "http,https");
        SETOPT(e, CURLOPT_FOLLOWLOCATION, 0L);
        SETOPT(e, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        SETOPT(e, CURLOPT_USERAGENT, "northflare-runner/" PROJECT_VERSION);
        SETOPT(e, CURLOPT_TCP_KEEPALIVE, 1L);
        SETOPT(e, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SECS);
        SETOPT(e, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_SECS);
        SETOPT(e, CURLOPT_RESOLVER_START_FUNCTION, on_resolver_start);
        SETOPT(e, CURLOPT_RESOLVER_START_DATA, t);
        SETOPT(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        SETOPT(e, CURLOPT_OPENSOCKETDATA, t);
        SETOPT(e, CURLOPT_WRITEFUNCTION, on_body);
        SETOPT(e, CURLOPT_WRITEDATA, t);
        SETOPT(e, CURLOPT_HEADERFUNCTION, on_header);
        SETOPT(e, CURLOPT_HEADERDATA, t);
        /* The directory of hashed certificates is read on demand; the bundle costs tens of milliseconds each time. */
        if (c->ca_file) {
                SETOPT(e, CURLOPT_CAINFO, c->ca_file);
                SETOPT(e, CURLOPT_CAPATH, NULL);
        } else if (c->ca_path) {
                SETOPT(e, CURLOPT_CAINFO, NULL);
                SETOPT(e, CURLOPT_CAPATH, c->ca_path);
        }
        if (post) {
                const char *body = t->body_owned ? t->body_owned : p->body;

                SETOPT(e, CURLOPT_POST, 1L);
                SETOPT(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (body ? p->body_size : 0));
                SETOPT(e, CURLOPT_POSTFIELDS, body ? body : "");
        } else
                SETOPT(e, CURLOPT_HTTPGET, 1L);
        r = transfer_set_headers(t, p->headers, post);
        if (r < 0)
                return r;
        SETOPT(e, CURLOPT_PRIVATE, t);
        return 0;
}

int http_request_start(HttpClient *c, const HttpParams *p, HttpRequest **ret) {
        _cleanup_(transfer_freep) Transfer *t = new0(Transfer, 1);
        _cleanup_free_ HttpRequest *r = new0(HttpRequest, 1);
        int k;

        assert(streq(p->method, "GET") || streq(p->method, "POST"));
        if (!t) {
                free(p->body_consume);
                return -ENOMEM;
        }
        t->client = c;
        t->body_owned = p->body_consume;
        c->n_ref++;
        if (!r)
                return -ENOMEM;
        t->easy = c->n_spare > 0 ? c->spare[--c->n_spare] : curl_easy_init();
        if (!t->easy)
                return -ENOMEM;
        *r = (HttpRequest){
                .transfer = t,
                .max_body = p->max_body,
                .deadline_usec = p->timeout_usec == 0 || p->timeout_usec == USEC_INFINITY ?
                        USEC_INFINITY :
                        now_usec(CLOCK_MONOTONIC) + p->timeout_usec,
                .data = p->data,
                .done = p->done,
                .userdata = p->userdata,
        };
        t->request = r;
        k = transfer_set_up(t, p);
        if (k < 0)
                return k;
        if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)
                return -EIO;
        transfer_link(t);
        client_watch_deadline(c, r->deadline_usec);
        t = NULL;
        *ret = TAKE_PTR(r);
        return 0;
}

/* libcurl's own directory of certificates, where it has hashed names in it. */
static int find_ca_path(char **ret) {
        const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
        const char *path = v->age >= CURLVERSION_SEVENTH ? v->capath : NULL;
        struct dirent *entry;
        bool found = false;
        DIR *d;

        if (!path)
                return 0;
        d = opendir(path);
        if (!d)
                return 0;
        while (!found && (entry = readdir(d)))
                found = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.' &&
                        isdigit((unsigned char) entry->d_name[9]);
        closedir(d);
        return found ? free_and_strdup(ret, path) : 0;
}

int http_client_new(sd_event *event, const char *ca_file, HttpClient **ret) {
        _cleanup_(http_client_freep) HttpClient *c = NULL;
        static bool initialised = false;
        int r;

        if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        initialised = true;
        c = new0(HttpClient, 1);
        if (!c)
                return -ENOMEM;
        c->n_ref = 1;
        c->event = sd_event_ref(event);
        c->multi = curl_multi_init();
        if (!c->multi)
                return -ENOMEM;
        if (curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
            curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) != CURLM_OK ||
            curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted) != CURLM_OK ||
            curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) != CURLM_OK ||
            curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX) != CURLM_OK)
                return -EINVAL;
        r = ca_file ? free_and_strdup(&c->ca_file, ca_file) : find_ca_path(&c->ca_path);
        if (r < 0)
                return r;
        r = oneshot_new(event, "http-timer", on_timer, c, &c->timer);
        if (r < 0)
                return r;
        r = oneshot_new(event, "http-deadline", on_deadline, c, &c->deadline);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &c->kick, on_kick, c);
        if (r < 0)
                return r;
        (void) sd_event_source_set_enabled(c->kick, SD_EVENT_OFF);
        (void) sd_event_source_set_description(c->kick, "http-kick");
        *ret = TAKE_PTR(c);
        return 0;
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;
        while (c->transfers) {
                Transfer *t = c->transfers;

                if (t->request)
                        t->request->transfer = NULL;
                /* A resolver that is at work is left behind, not waited for. */
                (void) curl_easy_setopt(t->easy, CURLOPT_QUICK_EXIT, 1L);
                transfer_detach(t);
                transfer_free(t);
        }
        while (c->n_spare > 0)
                curl_easy_cleanup(c->spare[--c->n_spare]);
        if (c->multi)
                (void) curl_multi_cleanup(c->multi); /* takes the sockets' sources away */
        c->multi = NULL;
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->deadline);
        sd_event_source_disable_unref(c->kick);
        c->timer = c->deadline = c->kick = NULL;
        sd_event_unref(c->event);
        c->event = NULL;
        client_unref(c);
        return NULL;
}
