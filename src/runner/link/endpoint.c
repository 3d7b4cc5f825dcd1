/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
#include "common/util.h"
#include "runner/link/endpoint.h"
#include "runner/link/http-status.h"
#include "runner/link/rpc.h"

struct Endpoint {
        EndpointConfig config;
        HttpClient *http;
        Sender *sender;
        char *token;
        char *messages_url;
        char **post_headers, **get_headers;
        uint64_t last_request_id;
        bool can_claim;
};

static void token_free(char *token) {
        if (token)
                explicit_bzero(token, strlen(token));
        free(token);
}

int endpoint_new(sd_event *event, const EndpointConfig *config, Endpoint **ret) {
        _cleanup_(endpoint_freep) Endpoint *e = new0(Endpoint, 1);
        int r;

        if (!e)
                return -ENOMEM;
        e->config = *config;
        e->config.token = NULL;
        e->token = strdup(strempty(config->token));
        e->messages_url = xasprintf("%s%s", config->url, config->messages_path);
        if (!e->token || !e->messages_url)
                return -ENOMEM;
        r = http_client_new(event, config->ca_file, &e->http);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

Endpoint *endpoint_free(Endpoint *e) {
        if (!e)
                return NULL;
        http_client_free(e->http);
        token_free(e->token);
        free(e->messages_url);
        strv_free(e->post_headers);
        strv_free(e->get_headers);
        free(e);
        return NULL;
}

HttpClient *endpoint_get_http(Endpoint *e) {
        return e->http;
}

void endpoint_set_sender(Endpoint *e, Sender *s) {
        e->sender = s;
}

/* ---- who we are ---- */

static int build_headers(Endpoint *e, const char *token, const char *runner_id) {
        _cleanup_strv_free_ char **common = NULL, **post = NULL, **get = NULL;

        if (strv_consume(&common, xasprintf("Authorization: Bearer %s", token)) < 0 ||
            (runner_id && strv_consume(&common, xasprintf("X-Northflare-Runner-Id: %s", runner_id)) < 0))
                return -ENOMEM;
        post = strv_copy(common);
        get = strv_copy(common);
        if (!post || !get || strv_extend(&post, "Content-Type: application/json") < 0 ||
            strv_extend(&post, "Accept: application/json") < 0)
                return -ENOMEM;
        int r = e->sender ? sender_set_target(e->sender, e->messages_url, post) : 0;
        if (r < 0)
                return r;
        strv_free(e->post_headers);
        strv_free(e->get_headers);
        e->post_headers = TAKE_PTR(post);
        e->get_headers = TAKE_PTR(get);
        return 0;
}

int endpoint_set_runner_id(Endpoint *e, const char *runner_id) {
        return build_headers(e, e->token, runner_id);
}

int endpoint_set_token(Endpoint *e, const char *token, const char *runner_id) {
        char *copy;
        int r;

        for (const char *c = token; *c; c++)
                if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f)
                        return -EINVAL;
        copy = strdup(token);
        if (!copy)
                return -ENOMEM;
        r = build_headers(e, copy, runner_id);
        token_free(r < 0 ? copy : e->token);
        if (r >= 0)
                e->token = copy;
        return r;
}

bool endpoint_is_refused(Endpoint *e, const HttpResult *result) {
        if (result->error != 0 || !http_status_is_identity(result->status))
                return false;
        e->config.refused(e->config.userdata, result->status);
        return true;
}

bool endpoint_can_claim(Endpoint *e) {
        return e->can_claim;
}

void endpoint_set_can_claim(Endpoint *e, bool can_claim) {
        e->can_claim = can_claim;
}

/* ---- requests ---- */

int endpoint_post(
        Endpoint *e,
        const char *method,
        Json *params,
        uint64_t *ret_id,
        HttpDone done,
        void *userdata,
        HttpRequest **ret) {
        uint64_t id = ret_id ? ++e->last_request_id : 0;
        size_t size = 0;
        char *body;

        if (ret_id)
                *ret_id = id;
        body = rpc_request(id, method, params, &size);
        if (!body)
                return -ENOMEM;
        return http_request_start(
                e->http,
                &(HttpParams){
                        .method = "POST",
                        .url = e->messages_url,
                        .headers = (const char *const *) e->post_headers,
                        .body_consume = body,
                        .body_size = size,
                        .max_body = LINK_ANSWER_MAX,
                        .timeout_usec = e->config.timeout_usec,
                        .done = done,
                        .userdata = userdata,
                },
                ret);
}

static void append_escaped(Buffer *b, const char *s) {
        for (; *s; s++)
                if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
                    strchr("-._~", *s))
                        (void) buffer_append(b, s, 1);
                else
                        (void) buffer_printf(b, "%%%02X", (unsigned char) *s);
}

/* base + path + ?since=…[&limit=…] */
static char *make_url(Endpoint *e, const char *path, const char *cursor, unsigned limit) {
        _cleanup_buffer_ Buffer b = {};
        const char *separator = strchr(path, '?') ? "&" : "?";

        (void) buffer_printf(&b, "%s%s", e->config.url, path);
        if (!isempty(cursor)) {
                (void) buffer_printf(&b, "%ssince=", separator);
                append_escaped(&b, cursor);
                separator = "&";
        }
        if (limit > 0)
                (void) buffer_printf(&b, "%slimit=%u", separator, limit);
        return buffer_steal(&b);
}

static int add_stream_headers(char ***headers, const char *cursor) {
        if (strv_extend(headers, "Accept: text/event-stream") < 0 ||
            strv_extend(headers, "Cache-Control: no-cache") < 0)
                return -ENOMEM;
        return isempty(cursor) ? 0 : strv_consume(headers, xasprintf("Last-Event-ID: %s", cursor));
}

int endpoint_get(Endpoint *e, const EndpointQuery *q, HttpRequest **ret) {
        _cleanup_free_ char *url = q->data ? make_url(e, e->config.events_path, q->cursor, 0) :
                                             make_url(e, e->config.messages_path, q->cursor, q->limit);
        _cleanup_strv_free_ char **headers = strv_copy(e->get_headers);
        int r;

        if (!url || !headers)
                return -ENOMEM;
        r = q->data ? add_stream_headers(&headers, q->cursor) :
                      strv_extend(&headers, "Accept: application/json");
        if (r < 0)
                return r;
        return http_request_start(
                e->http,
                &(HttpParams){
                        .method = "GET",
                        .url = url,
                        .headers = (const char *const *) headers,
                        .max_body = q->data ? LINK_ANSWER_MAX : q->max_body,
                        .timeout_usec = q->data ? 0 : e->config.timeout_usec,
                        .data = q->data,
                        .done = q->done,
                        .userdata = q->userdata,
                },
                ret);
}
