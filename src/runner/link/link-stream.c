/* SPDX-License-Identifier: MIT */
#include <strings.h>

#include "common/log.h"
#include "runner/link/link-internal.h"

/* The event stream; and pages of messages where there is none, or where streams break off before they are of use. */

#define UNHELD_MAX 3
#define PAGE_OVERHEAD (64 * 1024)

static void ask_page(Link *l);

static uint64_t now(Link *l) {
        uint64_t usec = 0;

        (void) sd_event_now(l->event, CLOCK_MONOTONIC, &usec);
        return usec;
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
static char *make_url(Link *l, const char *path, const char *cursor, unsigned limit) {
        _cleanup_buffer_ Buffer b = {};
        const char *separator = strchr(path, '?') ? "&" : "?";

        (void) buffer_printf(&b, "%s%s", l->config.url, path);
        if (!isempty(cursor)) {
                (void) buffer_printf(&b, "%ssince=", separator);
                append_escaped(&b, cursor);
                separator = "&";
        }
        if (limit > 0)
                (void) buffer_printf(&b, "%slimit=%u", separator, limit);
        return buffer_steal(&b);
}

/* ---- what an attempt came to ---- */

static void open_later(Link *l, uint64_t delay) {
        l->stats.reconnects++;
        link_timer_arm(l->stream_timer, delay);
}

static void failed(Link *l, uint64_t retry_after, const char *what, long status) {
        uint64_t delay = link_backoff(l, ++l->failures, retry_after);

        log_debug("The orchestrator's messages cannot be read (%s, HTTP %ld), next attempt in %.1f s.",
                  what ? what : "refused",
                  status,
                  (double) delay / USEC_PER_SEC);
        open_later(l, delay);
        link_update_state(l);
}

/* A stream that stood has ended. */
static void broke_off(Link *l, const char *why) {
        bool held = l->event_seen || now(l) - l->opened_usec >= l->timing.held;
        uint64_t retry = sse_parser_retry_msec(l->parser), delay = l->timing.reopen;

        if (!held) {
                if (++l->unheld >= UNHELD_MAX)
                        l->catch_up_due = true;
                failed(l, 0, why, 200);
                return;
        }
        l->failures = l->unheld = 0;
        if (retry != UINT64_MAX)
                delay = MIN(retry, l->timing.retry_max / USEC_PER_MSEC) * USEC_PER_MSEC;
        log_debug("The event stream has ended (%s), opening it again.", why);
        open_later(l, delay + l->timing.jitter(delay, l->timing.jitter_userdata));
        link_update_state(l);
}

static void close_requests(Link *l) {
        l->stream = http_request_free(l->stream);
        l->page = http_request_free(l->page);
        l->connected = false;
        link_timer_disarm(l->silence_timer);
}

void link_stream_close(Link *l) {
        close_requests(l);
        link_timer_disarm(l->stream_timer);
        l->waits_for_queue = false;
}

void link_stream_drop(Link *l, int error) {
        if (!l->running)
                return;
        link_stream_close(l);
        link_claim_stop(l);
        link_inbound_clear(l);
        if (error == -ERESTART) {
                link_stream_open(l);
                return;
        }
        uint64_t delay = link_backoff(l, ++l->drops, 0);
        log_debug_errno(error,
                        "A message cannot be accepted, reading it again in %.1f s: %m",
                        (double) delay / USEC_PER_SEC);
        open_later(l, delay);
}

void link_stream_queue_empty(Link *l) {
        if (!l->waits_for_queue)
                return;
        l->waits_for_queue = false;
        link_stream_open(l);
}

/* ---- the stream ---- */

static int on_event(const SseEvent *event, void *userdata) {
        Link *l = userdata;

        l->event_seen = true;
        if (!streq(event->type, "message") && !streq(event->type, "runner.message")) {
                l->stats.ignored++;
                return link_inbound_cursor(l, event->id);
        }
        if (event->too_large) {
                l->stats.bad_messages++;
                log_warning("A message of more than %zu bytes was skipped (cursor \"%s\").",
                            l->config.max_message_bytes,
                            event->id);
                return link_inbound_cursor(l, event->id);
        }
        return link_inbound(l, event->data, event->size, NULL, event->id);
}

static int on_stream_data(HttpRequest *request, const char *data, size_t size, void *userdata) {
        Link *l = userdata;
        const char *type;
        int r;

        l->received_usec = now(l);
        if (size == 0) {
                type = http_request_content_type(request);
                if (!type || strncasecmp(type, "text/event-stream", strlen("text/event-stream")) != 0)
                        return -EPROTOTYPE;
                l->connected = true;
                sender_retry_now(l->sender);
                link_update_state(l);
                return 0;
        }
        r = sse_parser_feed(l->parser, data, size);
        l->inbound_error = r;
        return r;
}

static void on_stream_done(HttpRequest *request, const HttpResult *result, void *userdata) {
        Link *l = userdata;
        bool stood = l->connected;
        long status = result->status;

        close_requests(l);
        if (l->inbound_error == -ENOBUFS) {
                log_debug("Too many messages wait for a claim, reading on when they are dealt with.");
                l->waits_for_queue = true;
                if (!l->queue)
                        link_stream_queue_empty(l);
        } else if (l->inbound_error < 0)
                link_stream_drop(l, l->inbound_error);
        else if (stood)
                broke_off(l, strempty(result->error_text));
        else if (http_status_is_identity(status) && result->error == 0)
                link_lost_registration(l, status);
        else if (result->error == -EPROTOTYPE && ++l->unheld < UNHELD_MAX)
                /* Something on the way answered in its place, perhaps, and does so once. */
                failed(l, 0, "the answer is no event stream", status);
        else if (result->error == -EPROTOTYPE || status == 404 || status == 405 || status == 406 ||
                 status == 501) {
                log_info("The orchestrator offers no event stream (HTTP %ld), asking it for messages instead.",
                         status);
                l->no_stream = true;
                l->stream_again_usec = now(l) + l->timing.stream_again;
                link_stream_open(l);
        } else
                failed(l, result->retry_after_usec, result->error_text, status);
}

static int open_stream(Link *l) {
        _cleanup_free_ char *url = make_url(l, l->config.events_path, l->cursor, 0);
        _cleanup_strv_free_ char **headers = strv_copy(l->get_headers);

        if (!url || !headers || strv_extend(&headers, "Accept: text/event-stream") < 0 ||
            strv_extend(&headers, "Cache-Control: no-cache") < 0 ||
            (!isempty(l->cursor) && strv_consume(&headers, xasprintf("Last-Event-ID: %s", l->cursor)) < 0))
                return -ENOMEM;
        sse_parser_reset(l->parser);
        l->inbound_error = 0;
        l->event_seen = false;
        l->opened_usec = l->received_usec = now(l);
        link_timer_arm(l->silence_timer, l->timing.silence);
        return http_request_start(
                        l->http,
                        &(HttpParams){
                                        .method = "GET",
                                        .url = url,
                                        .headers = (const char *const *) headers,
                                        .max_body = LINK_ANSWER_MAX,
                                        .data = on_stream_data,
                                        .done = on_stream_done,
                                        .userdata = l,
                        },
                        &l->stream);
}

/* Not moved with every byte: it looks when it strikes how long it has really been. */
static int on_silence(sd_event_source *source, uint64_t usec, void *userdata) {
        Link *l = userdata;
        uint64_t silent = now(l) - l->received_usec;
        bool stood = l->connected;

        if (!l->stream)
                return 0;
        if (silent < l->timing.silence) {
                link_timer_arm(l->silence_timer, l->timing.silence - silent);
                return 0;
        }
        close_requests(l);
        if (stood)
                broke_off(l, "no sign of life");
        else
                failed(l, 0, "no answer", 0);
        return 0;
}

/* ---- pages ---- */

/* 1 where there is more to be asked for at once. */
static int take_page(Link *l, Json *root) {
        Json *messages = json_get(root, "messages");
        const char *cursor = json_get_string(root, "cursor");
        bool more = false, moved;
        size_t n;
        int r;

        if (!json_object_is_type(messages, json_type_array) || isempty(cursor) ||
            strlen(cursor) > SSE_ID_MAX)
                return -EBADMSG;
        (void) json_get_bool(root, "more", &more);
        n = json_object_array_length(messages);
        moved = !streq_ptr(cursor, l->cursor);
        for (size_t i = 0; i < n; i++) {
                /* The page's cursor stands behind its last message. */
                r =
                                link_inbound(l,
                                             NULL,
                                             0,
                                             json_object_array_get_idx(messages, i),
                                             i + 1 == n ? cursor : NULL);
                if (r < 0) {
                        l->inbound_error = r;
                        return r;
                }
        }
        r = link_inbound_cursor(l, cursor);
        if (r < 0)
                l->inbound_error = r;
        return r < 0 ? r : more && n > 0 && moved;
}

static void page_taken(Link *l, bool more) {
        l->failures = l->unheld = 0;
        l->page_limit = LINK_PAGE;
        sender_retry_now(l->sender);
        link_update_state(l);
        if (!more && l->catch_up_due) {
                l->catch_up_due = false;
                more = true;
        }
        if (!more)
                link_timer_arm(l->stream_timer, l->timing.poll);
        else if (l->queue)
                l->waits_for_queue = true;
        else
                link_stream_open(l);
}

static void on_page(HttpRequest *request, const HttpResult *result, void *userdata) {
        Link *l = userdata;
        _cleanup_json_ Json *root = NULL;
        int r;

        l->page = http_request_free(l->page);
        if (result->error == 0 && http_status_is_identity(result->status)) {
                link_lost_registration(l, result->status);
                return;
        }
        if (result->error == -EMSGSIZE && l->page_limit > 1) {
                l->page_limit = 1;
                ask_page(l);
                return;
        }
        if (result->error < 0 || result->status < 200 || result->status >= 300) {
                /* Where there is nothing but streams, streams it is. */
                if (l->catch_up_due && result->error == 0 && result->status >= 400 && result->status < 500) {
                        l->catch_up_due = false;
                        l->unheld = 0;
                }
                failed(l, result->retry_after_usec, result->error_text, result->status);
                return;
        }
        r = json_parse_from(JSON_OF_ORCHESTRATOR, result->body, result->body_size, &root, NULL);
        if (r >= 0)
                r = take_page(l, root);
        if (l->inbound_error < 0)
                link_stream_drop(l, l->inbound_error);
        else if (r < 0)
                failed(l, 0, "its list of messages cannot be read", result->status);
        else
                page_taken(l, r > 0);
}

static void ask_page(Link *l) {
        _cleanup_free_ char *url = make_url(l, l->config.messages_path, l->cursor, l->page_limit);
        _cleanup_strv_free_ char **headers = strv_copy(l->get_headers);
        int r = -ENOMEM;

        l->inbound_error = 0;
        if (url && headers && strv_extend(&headers, "Accept: application/json") >= 0)
                r = http_request_start(
                                l->http,
                                &(HttpParams){
                                                .method = "GET",
                                                .url = url,
                                                .headers = (const char *const *) headers,
                                                .max_body = l->config.max_message_bytes + PAGE_OVERHEAD,
                                                .timeout_usec = l->timing.request,
                                                .done = on_page,
                                                .userdata = l,
                                },
                                &l->page);
        if (r < 0)
                failed(l, 0, strerror(-r), 0);
}

/* ---- both ---- */

void link_stream_open(Link *l) {
        int r;

        if (!l->running || l->stream || l->page)
                return;
        link_timer_disarm(l->stream_timer);
        l->waits_for_queue = false;
        /* To ask for what comes behind a cursor says that all before it has arrived, which is true of what was accepted,
         * not of what waits in memory: that is asked for again. A claim that was granted is granted again. */
        link_claim_stop(l);
        link_inbound_clear(l);
        if (l->no_stream && now(l) >= l->stream_again_usec)
                l->no_stream = false;
        if (l->no_stream || l->catch_up_due) {
                ask_page(l);
                return;
        }
        r = open_stream(l);
        if (r < 0)
                failed(l, 0, strerror(-r), 0);
}

static int on_stream_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        link_stream_open(userdata);
        return 0;
}

int link_stream_init(Link *l) {
        int r;

        r = sse_parser_new(l->config.max_message_bytes, on_event, l, &l->parser);
        if (r < 0)
                return r;
        r = link_timer_new(l, on_stream_timer, "link-stream", &l->stream_timer);
        return r < 0 ? r : link_timer_new(l, on_silence, "link-silence", &l->silence_timer);
}

void link_stream_done(Link *l) {
        l->stream = http_request_free(l->stream);
        l->page = http_request_free(l->page);
        l->stream_timer = sd_event_source_disable_unref(l->stream_timer);
        l->silence_timer = sd_event_source_disable_unref(l->silence_timer);
        l->parser = sse_parser_free(l->parser);
}
