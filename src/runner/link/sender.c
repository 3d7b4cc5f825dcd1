/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"
#include "common/oneshot.h"
#include "runner/link/backoff.h"
#include "runner/link/http-status.h"
#include "runner/link/rpc.h"
#include "runner/link/sender-batch-internal.h"
#include "runner/link/sender.h"

#define ANSWER_MAX (64 * 1024)
/* What a slow line is given in time for a large body: 64 KiB a second. */
#define SLOWEST_BYTES_PER_SEC (64 * 1024)

struct SendSource {
        Sender *sender;          /* NULL once that is gone */
        SendSource *prev, *next; /* all of the sender's */
        SendSource *ready_prev, *ready_next;
        bool ready; /* in the queue of those that may have something */
        bool woken; /* since its batch was filled */
        SendBatch *batch;
        const SendSourceOps *ops;
        void *userdata;
};

struct Sender {
        sd_event *event;
        HttpClient *http;
        SenderTiming timing;
        SenderTroubleFunc on_trouble;
        void *userdata;
        char *url;
        char **headers;
        bool enabled, backing_off;
        SenderTrouble trouble;
        unsigned attempts; /* that failed since the last success */
        uint64_t wait_until_usec;
        sd_event_source *pump, *timer;
        HttpRequest *ping;
        uint64_t last_ping_id;
        SendSource *sources, *ready_first, *ready_last;
        size_t n_ready;
        SendBatch batches[SENDER_IN_FLIGHT];
        SenderStats stats;
};

static void batch_send(SendBatch *b);

static void push_about(const SendSource *src, LogContext *log) {
        if (src && src->ops->about)
                src->ops->about(src->userdata, log);
}
#define LOG_ABOUT_SOURCE(src) \
        LOG_CONTEXT(_about);  \
        push_about(src, &_about)

/* ---- which source is next ---- */

static void ready_push(SendSource *src) {
        Sender *s = src->sender;

        if (src->ready)
                return;
        src->ready = true;
        src->ready_next = NULL;
        src->ready_prev = s->ready_last;
        if (s->ready_last)
                s->ready_last->ready_next = src;
        else
                s->ready_first = src;
        s->ready_last = src;
        s->n_ready++;
}

static void ready_remove(SendSource *src) {
        Sender *s = src->sender;

        if (!src->ready)
                return;
        if (src->ready_prev)
                src->ready_prev->ready_next = src->ready_next;
        else
                s->ready_first = src->ready_next;
        if (src->ready_next)
                src->ready_next->ready_prev = src->ready_prev;
        else
                s->ready_last = src->ready_prev;
        src->ready_prev = src->ready_next = NULL;
        src->ready = false;
        s->n_ready--;
}

static void pump_later(Sender *s) {
        if (s->enabled && !s->backing_off && s->ready_first)
                (void) sd_event_source_set_enabled(s->pump, SD_EVENT_ONESHOT);
}

void sender_wake(SendSource *src) {
        if (!src->sender)
                return;
        if (src->batch) {
                src->woken = true;
                return;
        }
        ready_push(src);
        pump_later(src->sender);
}

/* ---- the way of a batch ---- */

static void set_trouble(Sender *s, SenderTrouble t, long status) {
        bool changed = s->trouble != t;

        s->trouble = t;
        s->stats.refused = t != SENDER_FINE;
        s->stats.refused_status = status;
        if (changed)
                s->on_trouble(t, status, s->userdata);
}

/* The batch rests until the back-off, one for all of them, is over. */
static void batch_wait(SendBatch *b, uint64_t retry_after) {
        Sender *s = b->sender;
        uint64_t now = now_usec(CLOCK_MONOTONIC), until;

        b->state = BATCH_WAITING;
        b->suspect = false;
        if (!s->backing_off)
                s->attempts++;
        until = now +
                backoff_delay(
                        MAX(s->attempts, 1u),
                        s->timing.retry_min_usec,
                        s->timing.retry_max_usec,
                        retry_after,
                        jitter_random,
                        NULL);
        if (s->backing_off && (retry_after == 0 || until <= s->wait_until_usec))
                return;
        s->backing_off = true;
        s->wait_until_usec = until;
        oneshot_arm_at(s->timer, until);
}

/* All of it was taken or set aside. */
static void batch_complete(SendBatch *b) {
        SendSource *src = b->source;
        Sender *s = b->sender;
        bool more = b->full || src->woken;

        send_batch_clear(b);
        src->batch = NULL;
        src->woken = false;
        if (more)
                ready_push(src);
        pump_later(s);
        src->ops->acked(src->userdata);
}

/* Continues after the events that were processed. */
static void batch_continue(SendBatch *b) {
        b->limit = BATCH_EVENTS_MAX;
        b->suspect = false;
        if (b->first >= b->n_events) {
                batch_complete(b);
                return;
        }
        send_batch_pick(b);
        batch_send(b);
}

static void batch_taken(SendBatch *b) {
        Sender *s = b->sender;

        s->attempts = 0;
        s->stats.acked_events += b->count;
        s->stats.last_ack_usec = now_usec(CLOCK_REALTIME);
        if (s->trouble != SENDER_FINE)
                set_trouble(s, SENDER_FINE, 0);
        if (b->refused_status != 0)
                b->neighbour_taken = true;
        b->first += b->count;
        batch_continue(b);
}

/* The run is one event, which is refused for good: others are taken. */
static void batch_set_aside(SendBatch *b) {
        SendSource *src = b->source;
        Sender *s = b->sender;
        const BatchEvent *e = b->events + b->first;
        char why[64];
        int r;

        (void) snprintf(why, sizeof(why), "the orchestrator responded with HTTP %ld", b->refused_status);
        log_warning(
                "The orchestrator refused event %s of %zu bytes (HTTP %ld), setting it aside.",
                send_batch_message_id(b, b->first),
                e->size,
                b->refused_status);
        r = src->ops->set_aside(
                src->userdata, send_batch_message_id(b, b->first), b->body.data + e->start, e->size, why);
        if (b->source != src) /* freed by that */
                return;
        if (r < 0) {
                log_error_errno(
                        r,
                        "Failed to set event %s aside, sending it again later: %m",
                        send_batch_message_id(b, b->first));
                batch_wait(b, 0);
                return;
        }
        s->stats.set_aside++;
        b->first++;
        batch_continue(b);
}

static bool is_taken(const HttpResult *result) {
        bool ok = result->error == 0 || result->error == -EMSGSIZE;

        if (!ok || result->status < 200 || result->status >= 300)
                return false;
        /* The page of some proxy is no answer of an orchestrator. */
        return !result->content_type || !startswith(result->content_type, "text/html");
}

static bool is_malformed(long status) {
        return status == 400 || status == 413 || status == 422;
}

static void give_everything_up(Sender *s);

static void stop(Sender *s, long status) {
        s->enabled = false;
        give_everything_up(s);
        set_trouble(s, SENDER_STOPPED, status);
}

static void on_pinged(HttpRequest *request, const HttpResult *result, void *userdata) {
        Sender *s = userdata;

        s->ping = http_request_free(s->ping);
        if (result->error == 0 && http_status_is_identity(result->status)) {
                stop(s, result->status);
                return;
        }
        if (result->error == 0 && is_malformed(result->status)) {
                if (s->trouble != SENDER_REFUSED)
                        log_debug("The orchestrator responds with HTTP %ld to all events.", result->status);
                for (size_t i = 0; i < SENDER_IN_FLIGHT; i++)
                        if (s->batches[i].state == BATCH_PROBING)
                                batch_wait(s->batches + i, result->retry_after_usec);
                set_trouble(s, SENDER_REFUSED, result->status);
                return;
        }
        for (size_t i = 0; i < SENDER_IN_FLIGHT; i++) {
                SendBatch *b = s->batches + i;

                if (b->state != BATCH_PROBING)
                        continue;
                LOG_ABOUT_SOURCE(b->source);
                if (is_taken(result)) {
                        /* What refused it may have gone meanwhile: only the second refusal is about the event. */
                        s->attempts = 0;
                        b->suspect = true;
                        batch_send(b);
                } else
                        batch_wait(b, result->retry_after_usec);
        }
}

/* Is it this event, or everything? */
static void batch_probe(SendBatch *b) {
        Sender *s = b->sender;
        _cleanup_free_ char *body = NULL;
        size_t size = 0;
        int r;

        b->state = BATCH_PROBING;
        if (s->ping)
                return;
        body = rpc_request(++s->last_ping_id, "runner.ping", NULL, &size);
        r = !body ? -ENOMEM :
                    http_request_start(
                            s->http,
                            &(HttpParams){
                                    .method = "POST",
                                    .url = s->url,
                                    .headers = (const char *const *) s->headers,
                                    .body_consume = TAKE_PTR(body),
                                    .body_size = size,
                                    .max_body = ANSWER_MAX,
                                    .timeout_usec = s->timing.timeout_usec,
                                    .done = on_pinged,
                                    .userdata = s,
                            },
                            &s->ping);
        if (r < 0)
                batch_wait(b, 0);
}

static void batch_refused(SendBatch *b, long status) {
        b->refused_status = status;
        if (b->count > 1) {
                b->refused_end = b->first + b->count;
                b->limit = b->count / 2;
                send_batch_pick(b);
                batch_send(b);
        } else if (b->neighbour_taken || b->suspect)
                batch_set_aside(b);
        else
                batch_probe(b);
}

static void on_posted(HttpRequest *request, const HttpResult *result, void *userdata) {
        SendBatch *b = userdata;
        Sender *s = b->sender;
        LOG_ABOUT_SOURCE(b->source);

        send_batch_close_run(b);
        b->request = http_request_free(b->request);
        s->stats.in_flight--;
        if (is_taken(result))
                batch_taken(b);
        else if (result->error == 0 && http_status_is_identity(result->status))
                stop(s, result->status);
        else if (result->error == 0 && is_malformed(result->status)) {
                log_debug(
                        "The orchestrator refused a batch of %zu events (HTTP %ld).",
                        b->count,
                        result->status);
                batch_refused(b, result->status);
        } else {
                log_debug(
                        "Failed to deliver a batch of %zu events (%s, HTTP %ld), trying again later.",
                        b->count,
                        strempty(result->error_text),
                        result->status);
                batch_wait(b, result->retry_after_usec);
        }
}

static void batch_send(SendBatch *b) {
        Sender *s = b->sender;
        size_t size;
        const char *body = send_batch_open_run(b, &size);
        int r;

        r = http_request_start(
                s->http,
                &(HttpParams){
                        .method = "POST",
                        .url = s->url,
                        .headers = (const char *const *) s->headers,
                        .body = body,
                        .body_size = size,
                        .max_body = ANSWER_MAX,
                        .timeout_usec = s->timing.timeout_usec + size * USEC_PER_SEC / SLOWEST_BYTES_PER_SEC,
                        .done = on_posted,
                        .userdata = b,
                },
                &b->request);
        if (r < 0) {
                log_debug_errno(r, "Failed to send a batch of events, trying again later: %m");
                send_batch_close_run(b);
                batch_wait(b, 0);
                return;
        }
        b->state = BATCH_SENDING;
        s->stats.in_flight++;
}

/* Takes the batch away from its source and from the wire. */
static void batch_cancel(SendBatch *b) {
        if (b->request) {
                b->request = http_request_free(b->request);
                b->sender->stats.in_flight--;
        }
        if (b->source)
                b->source->batch = NULL;
        send_batch_clear(b);
}

/* ---- filling ---- */

static void fill(SendSource *src, SendBatch *b) {
        int r;
        LOG_ABOUT_SOURCE(src);

        send_batch_clear(b);
        b->source = src;
        b->state = BATCH_FILLING;
        src->batch = b;
        src->woken = false;
        r = src->ops->fill(src->userdata, b);
        if (r >= 0 && b->body.failed)
                r = -ENOMEM;
        if (r < 0 || b->n_events == 0) {
                bool again = r >= 0 && src->woken;

                if (r < 0)
                        log_debug_errno(r, "Failed to fill a batch of events: %m");
                batch_cancel(b);
                if (again)
                        ready_push(src);
                if (r < 0)
                        src->ops->lost(src->userdata);
                return;
        }
        send_batch_pick(b);
        batch_send(b);
}

static int on_pump(sd_event_source *source, void *userdata) {
        Sender *s = userdata;

        /* Each source that is ready now is asked once. */
        size_t slot = 0;
        for (size_t n = s->n_ready; n > 0 && s->ready_first && s->enabled && !s->backing_off; n--) {
                while (slot < SENDER_IN_FLIGHT && s->batches[slot].state != BATCH_FREE)
                        slot++;
                if (slot >= SENDER_IN_FLIGHT)
                        return 0;
                SendSource *src = s->ready_first;
                ready_remove(src);
                fill(src, s->batches + slot);
        }
        for (size_t i = 0; i < SENDER_IN_FLIGHT; i++)
                if (s->batches[i].state == BATCH_FREE) {
                        pump_later(s);
                        break;
                }
        return 0;
}

static void end_back_off(Sender *s) {
        s->backing_off = false;
        (void) sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        for (size_t i = 0; i < SENDER_IN_FLIGHT; i++)
                if (s->batches[i].state == BATCH_WAITING) {
                        LOG_ABOUT_SOURCE(s->batches[i].source);

                        s->stats.retries++;
                        batch_send(s->batches + i);
                }
        pump_later(s);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        end_back_off(userdata);
        return 0;
}

/* ---- the sender ---- */

static void give_everything_up(Sender *s) {
        s->ping = http_request_free(s->ping);
        s->backing_off = false;
        s->attempts = 0;
        (void) sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(s->pump, SD_EVENT_OFF);
        for (size_t i = 0; i < SENDER_IN_FLIGHT; i++) {
                SendSource *src = s->batches[i].source;

                if (s->batches[i].state == BATCH_FREE)
                        continue;
                batch_cancel(s->batches + i);
                src->woken = false;
                ready_push(src);
                src->ops->lost(src->userdata);
        }
}

int sender_new(
        sd_event *event,
        HttpClient *http,
        const SenderTiming *timing,
        SenderTroubleFunc trouble,
        void *userdata,
        Sender **ret) {

        _cleanup_(sender_freep) Sender *s = new0(Sender, 1);
        int r;

        if (!s)
                return -ENOMEM;
        s->event = sd_event_ref(event);
        s->http = http;
        s->timing = *timing;
        s->on_trouble = trouble;
        s->userdata = userdata;
        for (size_t i = 0; i < SENDER_IN_FLIGHT; i++)
                s->batches[i].sender = s;
        r = sd_event_add_defer(event, &s->pump, on_pump, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_enabled(s->pump, SD_EVENT_OFF);
        (void) sd_event_source_set_description(s->pump, "sender-pump");
        r = oneshot_new(event, "sender-back-off", on_timer, s, &s->timer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

Sender *sender_free(Sender *s) {
        if (!s)
                return NULL;
        s->enabled = false;
        if (s->pump && s->timer)
                give_everything_up(s);
        while (s->sources) {
                SendSource *src = s->sources;

                ready_remove(src);
                s->sources = src->next;
                src->prev = src->next = NULL;
                src->sender = NULL;
        }
        for (size_t i = 0; i < SENDER_IN_FLIGHT; i++)
                send_batch_done(s->batches + i);
        sd_event_source_disable_unref(s->pump);
        sd_event_source_disable_unref(s->timer);
        sd_event_unref(s->event);
        strv_free(s->headers);
        free(s->url);
        free(s);
        return NULL;
}

int sender_set_target(Sender *s, const char *url, char *const *headers) {
        _cleanup_strv_free_ char **copy = strv_copy(headers);

        if (!copy || free_and_strdup(&s->url, url) < 0)
                return -ENOMEM;
        strv_free(s->headers);
        s->headers = TAKE_PTR(copy);
        return 0;
}

void sender_set_enabled(Sender *s, bool enabled) {
        if (s->enabled == enabled)
                return;
        s->enabled = enabled;
        if (!enabled) {
                give_everything_up(s);
                return;
        }
        s->trouble = SENDER_FINE;
        s->stats.refused = false;
        pump_later(s);
}

void sender_retry_now(Sender *s) {
        if (s->backing_off && s->trouble == SENDER_FINE)
                end_back_off(s);
}

void sender_get_stats(Sender *s, SenderStats *ret) {
        *ret = s->stats;
}

int send_source_new(Sender *s, const SendSourceOps *ops, void *userdata, SendSource **ret) {
        SendSource *src = new0(SendSource, 1);

        if (!src)
                return -ENOMEM;
        *src = (SendSource){
                .sender = s,
                .next = s->sources,
                .ops = ops,
                .userdata = userdata,
        };
        if (src->next)
                src->next->prev = src;
        s->sources = src;
        *ret = src;
        return 0;
}

SendSource *send_source_free(SendSource *src) {
        Sender *s;

        if (!src)
                return NULL;
        s = src->sender;
        if (s) {
                if (src->batch) {
                        assert(src->batch->state != BATCH_FILLING);
                        batch_cancel(src->batch);
                }
                ready_remove(src);
                if (src->prev)
                        src->prev->next = src->next;
                else
                        s->sources = src->next;
                if (src->next)
                        src->next->prev = src->prev;
                pump_later(s);
        }
        free(src);
        return NULL;
}
