/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/socket.h>

#include "common/ident.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "orchestrator/http/admin-api.h"
#include "orchestrator/hub/conversations.h"
#include "orchestrator/hub/events.h"
#include "orchestrator/hub/messages.h"
#include "orchestrator/hub/runners.h"
#include "orchestrator/hub/takeover.h"
#include "orchestrator/hub/tokens.h"
#include "orchestrator/wire/json-members.h"

#define WAIT_MAX_SEC 600
#define LIST_DEFAULT 1000
#define STREAM_CHUNK ((size_t) 64 * 1024)
#define GROUPS_MAX 1024
#define SEGMENTS_MAX 4

typedef struct AdminRequest {
        AdminApi *api;
        HttpExchange *exchange;
        Json *body;                       /* borrowed, while the request is checked */
        char *segments[SEGMENTS_MAX + 1]; /* of the path behind /v1/ */
        size_t n_segments;
        HubListener listener;
        bool too_long, listening, timed_out, follow, ended;
        char *token; /* where the list of runners is */
        sd_event_source *timer;
        EventFilter filter;
        int64_t n;
} AdminRequest;

typedef int (*Handler)(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e);

static void admin_request_free(void *p) {
        AdminRequest *q = p;

        if (q->listening)
                hub_unlisten(q->api->hub, &q->listener);
        sd_event_source_disable_unref(q->timer);
        for (size_t i = 0; i < q->n_segments; i++)
                free(q->segments[i]);
        free(q->token);
        free(q);
}

/* ---- who may ---- */

/* The kernel's word on the peer, taken when it connected: no look-up that could block. */
static bool may_administer(int fd, gid_t group) {
        struct ucred peer;
        socklen_t size = sizeof(peer);
        gid_t groups[GROUPS_MAX];

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return false;
        if (peer.uid == 0 || peer.uid == geteuid())
                return true;
        if (group == (gid_t) -1)
                return false;
        if (peer.gid == group)
                return true;
        size = sizeof(groups);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof(gid_t); i++)
                if (groups[i] == group)
                        return true;
        return false;
}

static int split_path(AdminRequest *q, const char *path) {
        const char *p = startswith(path, "/v1/");

        if (!p)
                return 0;
        while (*p && q->n_segments < SEGMENTS_MAX) {
                size_t n = strcspn(p, "/");

                q->segments[q->n_segments] = strndup(p, n);
                if (!q->segments[q->n_segments])
                        return -ENOMEM;
                q->n_segments++;
                p += n + (p[n] == '/');
        }
        q->too_long = *p;
        return 0;
}

static int begin(HttpExchange *x, size_t *max_body, void *userdata) {
        AdminApi *api = userdata;

        *max_body = ADMIN_BODY_MAX;
        if (!may_administer(http_socket(x), api->group)) {
                http_reply_error(
                        x,
                        403,
                        RPC_INVALID_REQUEST,
                        "only root and members of the group %s may do this",
                        ADMIN_GROUP);
                return 403;
        }
        AdminRequest *q = new0(AdminRequest, 1);
        if (q) {
                *q = (AdminRequest){ .api = api, .exchange = x };
                http_set_data(x, q, admin_request_free);
        }
        if (!q || split_path(q, http_path(x)) < 0) {
                http_reply_error(x, 503, RPC_INTERNAL_ERROR, "out of memory");
                return 503;
        }
        return 0;
}

/* ---- handlers: 0 and *ret, 1 and *e, or negative; what answers by itself leaves *ret NULL ---- */

static int list_of(int r, const char *name, Json *list, Json **ret) {
        Json *o = r < 0 ? NULL : json_object_new_object();

        if (r < 0)
                return r;
        r = json_set(o, name, list);
        *ret = o;
        return r;
}

static int done(Json **ret) {
        *ret = json_object_new_object();
        return *ret ? json_set_bool(*ret, "done", true) : -ENOMEM;
}

static int message_made(int r, char *id, Json **ret) {
        _cleanup_free_ char *owned = id;

        if (r != 0)
                return r;
        *ret = json_object_new_object();
        return *ret ? json_set_string(*ret, "messageId", owned) : -ENOMEM;
}

static int get_status(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        *ret = json_object_new_object();
        return *ret ? json_set_string(*ret, "version", PROJECT_VERSION) : -ENOMEM;
}

static int get_tokens(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        Json *list = NULL;
        int r = hub_token_list(q->api->hub, &list);

        return list_of(r, "tokens", list, ret);
}

static int post_tokens(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        return hub_token_create(q->api->hub, json_get_string(q->body, "name"), ret, e);
}

static int delete_token(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        int r = hub_token_revoke(q->api->hub, q->segments[1]);

        if (r < 0)
                return r;
        if (r > 0)
                return done(ret);
        e->code = RPC_INVALID_PARAMS;
        (void) snprintf(
                e->text,
                sizeof(e->text),
                "there is no valid token %.*s",
                utf8_cut(q->segments[1], 64),
                q->segments[1]);
        return 1;
}

/* Those of one token at a time: what runners say of themselves is bounded for each, and their number is large. */
static int fill_runners(HttpExchange *x, Buffer *b, void *userdata) {
        AdminRequest *q = userdata;
        bool first = !q->token;
        int r;

        if (q->ended)
                return -ENODATA;
        if (first)
                q->token = strdup("");
        if (!q->token)
                return -ENOMEM;
        (void) buffer_append_str(b, first ? "{\"runners\":[" : ",");
        r = hub_next_runners(q->api->hub, &q->token, b);
        if (r < 0)
                return log_error_errno(r, "Failed to list runners, ending the answer: %m");
        if (r == 0) {
                if (!first)
                        b->size--; /* the comma before nothing */
                (void) buffer_append_str(b, "]}\n");
                q->ended = true;
        }
        return b->failed ? -ENOMEM : 1;
}

static int get_runners(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        http_stream(x, "application/json", "\n", fill_runners, q);
        return 0;
}

static int post_activate(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        int r = hub_runner_activate(q->api->hub, q->segments[1], e);

        return r != 0 ? r : done(ret);
}

static int delete_runner(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        int r = hub_runner_forget(q->api->hub, q->segments[1], e);

        return r != 0 ? r : done(ret);
}

/* The method, params and kind of a message from the body. params is a reference for the caller to put. */
static int read_message(
        AdminRequest *q,
        const char **ret_method,
        Json **ret_params,
        bool *ret_notification,
        RpcError *e) {
        const char *method = json_get_string(q->body, "method");
        Json *params = json_get(q->body, "params");

        *ret_notification = false;
        if (!method || !ident_is_valid(method) ||
            (params && !json_object_is_type(params, json_type_object)) ||
            json_get_bool(q->body, "notification", ret_notification) < 0) {
                e->code = RPC_INVALID_PARAMS;
                (void) snprintf(e->text, sizeof(e->text), "a method and an object of params are needed");
                return 1;
        }
        params = params ? json_object_get(params) : json_object_new_object();
        if (!params)
                return -ENOMEM;
        *ret_method = method;
        *ret_params = params;
        return 0;
}

static int post_runner_message(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        _cleanup_free_ char *token = NULL;
        _cleanup_json_ Json *params = NULL;
        HubMessage m = {};
        char *id = NULL;
        int r;

        r = read_message(q, &m.method, &params, &m.notification, e);
        if (r != 0)
                return r;
        m.params = params;
        m.task = json_get_string(params, "taskId");
        /* "active" stands for whichever runner takes new work. */
        bool active = streq(q->segments[1], "active");
        if (active)
                r = hub_token_find(q->api->hub, json_get_string(q->body, "token"), &token, e);
        else
                r = hub_runner_token(q->api->hub, q->segments[1], &token, e);
        if (r != 0)
                return r;
        m.token = token;
        m.target = active ? NULL : q->segments[1];
        r = hub_send(q->api->hub, &m, &id, e);
        return message_made(r, id, ret);
}

static int get_conversations(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        const char *all = http_query(x, "all"), *given = http_query(x, "limit");
        uint64_t limit = LIST_DEFAULT;
        Json *list = NULL;

        if (given && safe_atou64(given, &limit) < 0)
                limit = LIST_DEFAULT;
        int r = hub_conversation_list(
                q->api->hub, all && !streq(all, "0"), MIN(limit, (uint64_t) LIST_DEFAULT), &list);
        return list_of(r, "conversations", list, ret);
}

static int post_conversations(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        _cleanup_json_ Json *params = json_object_get(json_get(q->body, "params"));

        if (!json_object_is_type(params, json_type_object)) {
                e->code = RPC_INVALID_PARAMS;
                (void) snprintf(e->text, sizeof(e->text), "params: not an object");
                return 1;
        }
        return hub_conversation_start(
                q->api->hub,
                json_get_string(q->body, "token"),
                json_get_string(q->body, "conversationId"),
                params,
                ret,
                e);
}

static int get_conversation(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        int r = hub_conversation_get(q->api->hub, q->segments[1], ret);

        return r < 0 ? r : 0;
}

static int post_conversation_message(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        _cleanup_json_ Json *params = NULL;
        const char *method;
        bool notification;
        char *id = NULL;
        int r;

        r = read_message(q, &method, &params, &notification, e);
        if (r != 0)
                return r;
        r = hub_conversation_send(q->api->hub, q->segments[1], method, params, notification, &id, e);
        return message_made(r, id, ret);
}

static int post_takeover(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        bool force = false;
        char *id = NULL;

        (void) json_get_bool(q->body, "force", &force);
        int r = hub_conversation_takeover(q->api->hub, q->segments[1], force, &id, e);
        return message_made(r, id, ret);
}

/* ---- waiting ---- */

static AdminRequest *request_of(HubListener *l) {
        return (AdminRequest *) ((char *) l - offsetof(AdminRequest, listener));
}

static void on_wake(HubListener *l) {
        http_wake(request_of(l)->exchange);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        AdminRequest *q = userdata;

        q->timed_out = true;
        http_wake(q->exchange);
        return 0;
}

static void listen_to(AdminRequest *q, HubTopic topic) {
        if (q->listening)
                return;
        q->listener = (HubListener){ .topic = topic, .wake = on_wake, .close = on_wake };
        hub_listen(q->api->hub, &q->listener);
        q->listening = true;
}

static int get_message(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        const char *given = http_query(x, "wait");
        uint64_t wait = 0;
        bool answered;
        int r;

        r = hub_message_get(q->api->hub, q->segments[1], &answered, ret);
        if (r <= 0)
                return r;
        if (answered || q->timed_out || !given || safe_atou64(given, &wait) < 0 || wait == 0)
                return 0;
        json_object_put(TAKE_PTR(*ret));
        if (!q->timer) {
                wait = MIN(wait, (uint64_t) WAIT_MAX_SEC);
                r = oneshot_start(&q->timer, q->api->event, wait * USEC_PER_SEC, on_timeout, q);
                if (r < 0)
                        return r;
        }
        listen_to(q, HUB_ANSWERS);
        http_hold(x);
        return 0;
}

static int fill_events(HttpExchange *x, Buffer *b, void *userdata) {
        AdminRequest *q = userdata;
        bool known;
        int r;

        do
                r = hub_next_event(q->api->hub, &q->filter, &q->n, b);
        while (r > 0 && b->size < STREAM_CHUNK);
        if (r < 0)
                return log_error_errno(r, "Failed to read events, ending the stream: %m");
        if (b->size > 0)
                return 1;
        if (!q->follow)
                return -ENODATA;
        if (!q->filter.conversation)
                return 0;
        r = hub_conversation_has_ended(q->api->hub, q->filter.conversation, &known);
        return r != 0 || !known ? -ENODATA : 0;
}

static int stream_events(HttpExchange *x, AdminRequest *q) {
        const char *follow = http_query(x, "follow"), *given = http_query(x, "since");
        uint64_t n;

        if (given && safe_atou64(given, &n) >= 0)
                q->n = (int64_t) MIN(n, (uint64_t) INT64_MAX);
        q->follow = follow && !streq(follow, "0");
        if (q->follow)
                listen_to(q, HUB_EVENTS);
        http_stream(x, "application/x-ndjson", "\n", fill_events, q);
        return 0;
}

static int get_conversation_events(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        bool known;
        int r = hub_conversation_has_ended(q->api->hub, q->segments[1], &known);

        if (r < 0 || !known)
                return MIN(r, 0);
        q->filter.conversation = q->segments[1];
        return stream_events(x, q);
}

static int get_events(HttpExchange *x, AdminRequest *q, Json **ret, RpcError *e) {
        q->filter.runner = http_query(x, "runner");
        return stream_events(x, q);
}

/* ---- the table ---- */

static const struct {
        const char *method, *path; /* "*" stands for one segment */
        Handler handler;
} routes[] = {
        { "GET", "status", get_status },
        { "GET", "tokens", get_tokens },
        { "POST", "tokens", post_tokens },
        { "DELETE", "tokens/*", delete_token },
        { "GET", "runners", get_runners },
        { "DELETE", "runners/*", delete_runner },
        { "POST", "runners/*/activate", post_activate },
        { "POST", "runners/*/messages", post_runner_message },
        { "GET", "conversations", get_conversations },
        { "POST", "conversations", post_conversations },
        { "GET", "conversations/*", get_conversation },
        { "POST", "conversations/*/messages", post_conversation_message },
        { "POST", "conversations/*/takeover", post_takeover },
        { "GET", "conversations/*/events", get_conversation_events },
        { "GET", "events", get_events },
        { "GET", "messages/*", get_message },
};

static bool path_fits(const AdminRequest *q, const char *path) {
        for (size_t i = 0; i < q->n_segments; i++) {
                size_t n = strcspn(path, "/");

                if (n == 0 ||
                    (!(n == 1 && *path == '*') &&
                     (strlen(q->segments[i]) != n || strncmp(q->segments[i], path, n) != 0)))
                        return false;
                path += n + (path[n] == '/');
        }
        return q->n_segments > 0 && !q->too_long && !*path;
}

static unsigned status_of(const RpcError *e) {
        switch (e->code) {
        case RPC_UNKNOWN_CONVERSATION:
                return 404;
        case RPC_WRONG_STATE:
                return 409;
        case RPC_AT_CAPACITY:
                return 429;
        default:
                return 400;
        }
}

static void run(HttpExchange *x, AdminRequest *q, Handler handler) {
        _cleanup_json_ Json *o = NULL;
        RpcError e;
        int r = handler(x, q, &o, &e);

        if (r < 0) {
                log_error_errno(r, "Failed to serve %s %s: %m", http_method(x), http_path(x));
                http_reply_error(x, 503, RPC_INTERNAL_ERROR, "the orchestrator failed: %s", strerror(-r));
        } else if (r > 0)
                http_reply_error(x, status_of(&e), e.code, "%s", e.text);
        else if (o) {
                char *text = xasprintf("%s\n", json_text(o));

                if (text)
                        http_reply(x, 200, text, NULL, NULL);
        } else if (!http_is_answered(x))
                http_reply_error(x, 404, RPC_INVALID_PARAMS, "there is no %s", http_path(x));
}

static void request(HttpExchange *x, void *userdata) {
        AdminRequest *q = http_get_data(x);
        const Buffer *body = http_body(x);
        _cleanup_free_ char *text = NULL;
        /* Costs more than its text: there is none of those who wait for an answer, or take none. */
        _cleanup_json_ Json *tree = NULL;
        bool found = false;
        int r = 0;

        if (body->size > 0)
                r = json_parse_small(body->data, body->size, &tree, &text);
        q->body = tree;
        if (r < 0) {
                http_reply_error(
                        x,
                        400,
                        r == -E2BIG ? RPC_INVALID_REQUEST : RPC_PARSE_ERROR,
                        "%s",
                        text ? text : "not valid JSON");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
                if (!path_fits(q, routes[i].path))
                        continue;
                if (streq(routes[i].method, http_method(x))) {
                        run(x, q, routes[i].handler);
                        return;
                }
                found = true;
        }
        http_reply_error(
                x,
                found ? 405 : 404,
                RPC_METHOD_NOT_FOUND,
                found ? "the method is not allowed" : "the path does not exist");
}

const HttpServerOps admin_api_ops = {
        .begin = begin,
        .request = request,
};
