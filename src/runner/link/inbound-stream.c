/* SPDX-License-Identifier: MIT */
#include <strings.h>

#include "common/log.h"
#include "common/oneshot.h"
#include "runner/link/inbound-stream.h"
#include "runner/link/sse.h"

#define UNHELD_MAX 3
#define PAGE_OVERHEAD (64 * 1024)

/* Messages that are asked for in one page. */
#define LINK_PAGE 100

struct InboundStream {
        sd_event *event;
        Endpoint *endpoint;
        LinkRecord *record;
        Inbox *inbox;
        InboundStreamConfig config;
        const InboundStreamOps *ops;
        void *userdata;
        SseParser *parser;
        HttpRequest *stream, *page;
        sd_event_source *timer, *silence_timer;
        bool enabled;
        bool connected, no_stream, event_seen;
        bool waits_for_inbox; /* continue when the inbox is empty */
        bool catch_up_due;    /* a page is to be asked for before the stream is opened */
        int inbound_error;    /* why the stream was ended from here, or 0 */
        unsigned failures;    /* attempts in a row without a response */
        unsigned unheld;      /* streams in a row that broke off before they were of use */
        unsigned drops;       /* times in a row that a message could not be accepted */
        unsigned page_limit;
        uint64_t opened_usec, received_usec, stream_again_usec;
        InboundStreamStats stats;
};

static void ask_page(InboundStream *s);

static uint64_t now(InboundStream *s) {
        uint64_t usec = 0;

        (void) sd_event_now(s->event, CLOCK_MONOTONIC, &usec);
        return usec;
}

/* ---- what an attempt came to ---- */

static void open_later(InboundStream *s, uint64_t delay) {
        s->stats.reconnects++;
        oneshot_arm(s->timer, delay);
}

static void failed(InboundStream *s, uint64_t retry_after, const char *what, long status) {
        uint64_t delay = backoff_next(&s->config.backoff, ++s->failures, retry_after);

        log_debug(
                "Failed to read the orchestrator's messages (%s, HTTP %ld), next attempt in %.1f s.",
                what ? what : "refused",
                status,
                (double) delay / USEC_PER_SEC);
        open_later(s, delay);
        s->ops->changed(s->userdata);
}

/* A stream that stood has ended. */
static void broke_off(InboundStream *s, const char *why) {
        bool held = s->event_seen || now(s) - s->opened_usec >= s->config.held_usec;
        uint64_t retry = sse_parser_retry_msec(s->parser), delay = s->config.reopen_usec;

        if (!held) {
                if (++s->unheld >= UNHELD_MAX)
                        s->catch_up_due = true;
                failed(s, 0, why, 200);
                return;
        }
        s->failures = s->unheld = 0;
        if (retry != UINT64_MAX)
                delay = MIN(retry, s->config.backoff.max_usec / USEC_PER_MSEC) * USEC_PER_MSEC;
        log_debug("The event stream has ended (%s), opening it again.", why);
        open_later(s, delay + s->config.backoff.jitter(delay, s->config.backoff.userdata));
        s->ops->changed(s->userdata);
}

static void close_requests(InboundStream *s) {
        s->stream = http_request_free(s->stream);
        s->page = http_request_free(s->page);
        s->connected = false;
        oneshot_disarm(s->silence_timer);
}

void inbound_stream_close(InboundStream *s) {
        close_requests(s);
        oneshot_disarm(s->timer);
        s->waits_for_inbox = false;
}

void inbound_stream_drop(InboundStream *s, int error) {
        if (!s->enabled)
                return;
        inbound_stream_close(s);
        inbox_clear(s->inbox);
        if (error == -ERESTART) {
                inbound_stream_open(s);
                return;
        }
        uint64_t delay = backoff_next(&s->config.backoff, ++s->drops, 0);
        log_debug_errno(
                error,
                "Failed to accept a message, reading it again in %.1f s: %m",
                (double) delay / USEC_PER_SEC);
        open_later(s, delay);
}

void inbound_stream_emptied(InboundStream *s) {
        if (!s->waits_for_inbox)
                return;
        s->waits_for_inbox = false;
        inbound_stream_open(s);
}

/* ---- the stream ---- */

static int on_event(const SseEvent *event, void *userdata) {
        InboundStream *s = userdata;

        s->event_seen = true;
        if (!streq(event->type, "message") && !streq(event->type, "runner.message")) {
                s->stats.ignored++;
                return inbox_advance(s->inbox, event->id);
        }
        if (event->too_large) {
                log_warning(
                        "A message of more than %zu bytes was skipped (cursor \"%s\").",
                        s->config.max_message_bytes,
                        event->id);
                return inbox_skip(s->inbox, event->id);
        }
        return inbox_take(s->inbox, event->data, event->size, NULL, event->id);
}

static int on_stream_data(HttpRequest *request, const char *data, size_t size, void *userdata) {
        InboundStream *s = userdata;
        const char *type;
        int r;

        s->received_usec = now(s);
        if (size == 0) {
                type = http_request_content_type(request);
                if (!type || strncasecmp(type, "text/event-stream", strlen("text/event-stream")) != 0)
                        return -EPROTOTYPE;
                s->connected = true;
                s->ops->reached(s->userdata);
                s->ops->changed(s->userdata);
                return 0;
        }
        r = sse_parser_feed(s->parser, data, size);
        s->inbound_error = r;
        return r;
}

static void on_stream_done(HttpRequest *request, const HttpResult *result, void *userdata) {
        InboundStream *s = userdata;
        bool stood = s->connected;
        long status = result->status;

        close_requests(s);
        if (s->inbound_error == -ENOBUFS) {
                log_debug("Too many messages wait for a claim, reading continues when they are processed.");
                s->waits_for_inbox = true;
                if (inbox_is_empty(s->inbox))
                        inbound_stream_emptied(s);
        } else if (s->inbound_error < 0)
                inbound_stream_drop(s, s->inbound_error);
        else if (stood)
                broke_off(s, strempty(result->error_text));
        else if (endpoint_is_refused(s->endpoint, result))
                return;
        else if (result->error == -EPROTOTYPE && ++s->unheld < UNHELD_MAX)
                /* Something on the way answered in its place, perhaps, and does so once. */
                failed(s, 0, "the response is not an event stream", status);
        else if (
                result->error == -EPROTOTYPE || status == 404 || status == 405 || status == 406 ||
                status == 501) {
                log_info(
                        "The orchestrator offers no event stream (HTTP %ld), polling for messages instead.",
                        status);
                s->no_stream = true;
                s->stream_again_usec = now(s) + s->config.stream_again_usec;
                inbound_stream_open(s);
        } else
                failed(s, result->retry_after_usec, result->error_text, status);
}

static int open_stream(InboundStream *s) {
        sse_parser_reset(s->parser);
        s->inbound_error = 0;
        s->event_seen = false;
        s->opened_usec = s->received_usec = now(s);
        oneshot_arm(s->silence_timer, s->config.silence_usec);
        return endpoint_get(
                s->endpoint,
                &(EndpointQuery){
                        .cursor = link_record_cursor(s->record),
                        .data = on_stream_data,
                        .done = on_stream_done,
                        .userdata = s,
                },
                &s->stream);
}

/* Not moved with every byte: when it fires, it checks how long the stream has really been silent. */
static int on_silence(sd_event_source *source, uint64_t usec, void *userdata) {
        InboundStream *s = userdata;
        uint64_t silent = now(s) - s->received_usec;
        bool stood = s->connected;

        if (!s->stream)
                return 0;
        if (silent < s->config.silence_usec) {
                oneshot_arm(s->silence_timer, s->config.silence_usec - silent);
                return 0;
        }
        close_requests(s);
        if (stood)
                broke_off(s, "no data received in time");
        else
                failed(s, 0, "no answer", 0);
        return 0;
}

/* ---- pages ---- */

/* 1 where there is more to be asked for at once. */
static int take_page(InboundStream *s, Json *root) {
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
        moved = !streq_ptr(cursor, link_record_cursor(s->record));
        for (size_t i = 0; i < n; i++) {
                /* The page's cursor stands behind its last message. */
                r = inbox_take(
                        s->inbox,
                        NULL,
                        0,
                        json_object_array_get_idx(messages, i),
                        i + 1 == n ? cursor : NULL);
                if (r < 0) {
                        s->inbound_error = r;
                        return r;
                }
        }
        r = inbox_advance(s->inbox, cursor);
        if (r < 0)
                s->inbound_error = r;
        return r < 0 ? r : more && n > 0 && moved;
}

static void page_taken(InboundStream *s, bool more) {
        s->failures = s->unheld = 0;
        s->page_limit = LINK_PAGE;
        s->ops->reached(s->userdata);
        s->ops->changed(s->userdata);
        if (!more && s->catch_up_due) {
                s->catch_up_due = false;
                more = true;
        }
        if (!more)
                oneshot_arm(s->timer, s->config.poll_usec);
        else if (!inbox_is_empty(s->inbox))
                s->waits_for_inbox = true;
        else
                inbound_stream_open(s);
}

static void on_page(HttpRequest *request, const HttpResult *result, void *userdata) {
        InboundStream *s = userdata;
        _cleanup_json_ Json *root = NULL;
        int r;

        s->page = http_request_free(s->page);
        if (endpoint_is_refused(s->endpoint, result))
                return;
        if (result->error == -EMSGSIZE && s->page_limit > 1) {
                s->page_limit = 1;
                ask_page(s);
                return;
        }
        if (result->error < 0 || result->status < 200 || result->status >= 300) {
                /* Where there is nothing but streams, streams it is. */
                if (s->catch_up_due && result->error == 0 && result->status >= 400 && result->status < 500) {
                        s->catch_up_due = false;
                        s->unheld = 0;
                }
                failed(s, result->retry_after_usec, result->error_text, result->status);
                return;
        }
        r = json_parse_from(JSON_OF_ORCHESTRATOR, result->body, result->body_size, &root, NULL);
        if (r >= 0)
                r = take_page(s, root);
        if (s->inbound_error < 0)
                inbound_stream_drop(s, s->inbound_error);
        else if (r < 0)
                failed(s, 0, "the list of messages is not valid", result->status);
        else
                page_taken(s, r > 0);
}

static void ask_page(InboundStream *s) {
        int r;

        s->inbound_error = 0;
        r = endpoint_get(
                s->endpoint,
                &(EndpointQuery){
                        .cursor = link_record_cursor(s->record),
                        .limit = s->page_limit,
                        .max_body = s->config.max_message_bytes + PAGE_OVERHEAD,
                        .done = on_page,
                        .userdata = s,
                },
                &s->page);
        if (r < 0)
                failed(s, 0, strerror(-r), 0);
}

/* ---- both ---- */

void inbound_stream_open(InboundStream *s) {
        int r;

        if (!s->enabled || s->stream || s->page)
                return;
        oneshot_disarm(s->timer);
        s->waits_for_inbox = false;
        /* To ask for what comes behind a cursor says that all before it has arrived, which is true of what was accepted,
         * not of what waits in memory: that is asked for again. A claim that was granted is granted again. */
        inbox_clear(s->inbox);
        if (s->no_stream && now(s) >= s->stream_again_usec)
                s->no_stream = false;
        if (s->no_stream || s->catch_up_due) {
                ask_page(s);
                return;
        }
        r = open_stream(s);
        if (r < 0)
                failed(s, 0, strerror(-r), 0);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        inbound_stream_open(userdata);
        return 0;
}

void inbound_stream_set_enabled(InboundStream *s, bool enabled) {
        s->enabled = enabled;
        if (!enabled) {
                inbound_stream_close(s);
                return;
        }
        s->failures = s->unheld = s->drops = 0;
        s->no_stream = false;
}

void inbound_stream_advanced(InboundStream *s) {
        s->drops = 0;
}

bool inbound_stream_is_connected(InboundStream *s) {
        return s->connected;
}

bool inbound_stream_is_failing(InboundStream *s) {
        return s->failures > 0 && !s->connected;
}

void inbound_stream_get_stats(InboundStream *s, InboundStreamStats *ret) {
        *ret = s->stats;
}

int inbound_stream_new(
        sd_event *event,
        Endpoint *endpoint,
        LinkRecord *record,
        Inbox *inbox,
        const InboundStreamConfig *config,
        const InboundStreamOps *ops,
        void *userdata,
        InboundStream **ret) {
        _cleanup_(inbound_stream_freep) InboundStream *s = new0(InboundStream, 1);
        int r;

        if (!s)
                return -ENOMEM;
        *s = (InboundStream){
                .event = sd_event_ref(event),
                .endpoint = endpoint,
                .record = record,
                .inbox = inbox,
                .config = *config,
                .ops = ops,
                .userdata = userdata,
                .page_limit = LINK_PAGE,
        };
        r = sse_parser_new(config->max_message_bytes, on_event, s, &s->parser);
        if (r >= 0)
                r = oneshot_new(event, "link-stream", on_timer, s, &s->timer);
        if (r >= 0)
                r = oneshot_new(event, "link-silence", on_silence, s, &s->silence_timer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

InboundStream *inbound_stream_free(InboundStream *s) {
        if (!s)
                return NULL;
        http_request_free(s->stream);
        http_request_free(s->page);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->silence_timer);
        sse_parser_free(s->parser);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}
