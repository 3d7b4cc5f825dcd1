/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/envelope.h"
#include "runner/link/http.h"
#include "runner/link/link.h"
#include "runner/link/registration.h"
#include "runner/link/rpc.h"
#include "runner/link/sender-internal.h"
#include "runner/link/sse.h"

/* The parts of a link, one file each: link.c (the object, its state), link-register.c, link-stream.c (the event stream
 * and catching up without one), link-inbound.c (from envelope to effect), link-claim.c, link-heartbeat.c. */

/* Messages that wait for a claim, and what they cost to keep; the first one may have any size. */
#define LINK_QUEUE_MAX 1024
#define LINK_QUEUE_BYTES_MAX ((size_t) 16 * 1024 * 1024)
#define LINK_CLAIM_MAX 64
#define LINK_ANSWER_MAX (1024 * 1024)
#define LINK_PAGE 100

/* All in µs; other values than the defaults are for tests. */
typedef struct LinkTiming {
        uint64_t silence;              /* an event stream this long without a byte is dead */
        uint64_t reopen;               /* a stream that had worked is opened again after this */
        uint64_t retry_min, retry_max; /* back-off of what failed */
        uint64_t held;                 /* a stream that lasted this long was a success */
        uint64_t poll;                 /* between catch-up requests where there is no stream */
        uint64_t stream_again;         /* where there was no stream, try again after this */
        uint64_t request;              /* time limit of a request */
        uint64_t flush;                /* a cursor of skipped messages is stored after this */
        SenderTiming sender;
        JitterFunc jitter;
        void *jitter_userdata;
} LinkTiming;
extern const LinkTiming link_timing_default;

/* One message that waits behind a claim. */
typedef struct Inbound {
        struct Inbound *next;
        ParsedEnvelope *parsed;
        enum {
                CLAIM_NONE,
                CLAIM_ASKED,
                CLAIM_GRANTED,
                CLAIM_REFUSED,
        } claim;
        char *owner; /* of a refused one, or NULL */
} Inbound;

struct Link {
        sd_event *event;
        Store *store;
        LinkConfig config;
        LinkTiming timing;
        const LinkOps *ops;
        void *userdata;
        HttpClient *http;
        Sender *sender;

        LinkState state;
        bool running; /* registered in this process, and not thrown out since */
        bool started;
        char *token;
        char *messages_url;
        char **post_headers, **get_headers;
        char *runner_id, *runner_uid, *active_uid, *store_id;
        char *cursor, *last_processed_at;
        bool cursor_dirty, last_processed_dirty; /* not stored yet */
        sd_event_source *flush_timer;
        uint64_t last_request_id;
        bool can_claim;
        LinkStats stats;

        /* link-register.c */
        Registration registration;
        long registration_status; /* of the last attempt that failed */
        LinkState registering_state;
        HttpRequest *register_request;
        sd_event_source *register_timer;
        uint64_t register_id;

        /* link-stream.c */
        SseParser *parser;
        HttpRequest *stream, *page;
        sd_event_source *stream_timer, *silence_timer;
        bool connected, no_stream, event_seen;
        bool waits_for_queue; /* go on where the queue of inbound messages is empty */
        bool catch_up_due;    /* a page is to be asked for before the stream is opened */
        int inbound_error;    /* why the stream was ended from here, or 0 */
        unsigned failures;    /* attempts in a row that reached nobody */
        unsigned unheld;      /* streams in a row that broke off before they were of use */
        unsigned drops;       /* times in a row that a message could not be accepted */
        unsigned page_limit;
        uint64_t opened_usec, received_usec, stream_again_usec;

        /* link-inbound.c */
        Inbound *queue, **queue_tail;
        Inbound *queue_last;
        size_t queue_count, queue_bytes;

        /* link-claim.c */
        HttpRequest *claim_request;
        sd_event_source *claim_timer;
        uint64_t claim_id;
        unsigned claim_failures;
        HttpRequest *confirm_request;
        sd_event_source *confirm_timer;
        Json *confirm_ids; /* those that were asked for */
        uint64_t confirm_id;
        unsigned confirm_failures;

        /* link-heartbeat.c */
        HttpRequest *heartbeat;
        sd_event_source *heartbeat_timer;
        uint64_t heartbeat_usec;
};

int link_new_with_timing(
                sd_event *event,
                Store *store,
                const LinkConfig *config,
                const LinkTiming *timing,
                const LinkOps *ops,
                void *userdata,
                Link **ret);

/* ---- link.c ---- */

bool link_is_active(Link *l);
/* Works the state out anew and tells the owner of a change. */
void link_update_state(Link *l);
int link_build_headers(Link *l);
int link_post(Link *l, char *body_consume, size_t size, HttpDone done, HttpRequest **ret);
uint64_t link_backoff(Link *l, unsigned failures, uint64_t retry_after);
/* One-shot timers: made once, off; armed; disarmed. */
int link_timer_new(Link *l, sd_event_time_handler_t callback, const char *name, sd_event_source **ret);
void link_timer_arm(sd_event_source *timer, uint64_t delay_usec);
void link_timer_disarm(sd_event_source *timer);
/* The link stands: after a registration. */
void link_run(Link *l);
/* 401, 403, 409, 410 to anything: stops all and registers again. */
void link_lost_registration(Link *l, long status);
/* All up to cursor (may be NULL) is dealt with. stored: the store has it already. */
int link_advance(Link *l, const char *cursor, const char *created_at, bool stored);
int link_flush(Link *l);

/* ---- link-register.c ---- */

int link_register_init(Link *l);
void link_register_now(Link *l);
void link_register_failed(Link *l, const RegistrationFailure *f, const char *text);
void link_register_done(Link *l);

/* ---- link-stream.c ---- */

int link_stream_init(Link *l);
/* Opens the stream, or asks for a page, now. */
void link_stream_open(Link *l);
/* Ends it, whatever it is doing. */
void link_stream_close(Link *l);
/* A message could not be accepted: back to the old cursor, after a while. */
void link_stream_drop(Link *l, int error);
/* The queue has run empty. */
void link_stream_queue_empty(Link *l);
void link_stream_done(Link *l);

/* ---- link-inbound.c ---- */

/* One message. Text from the stream, or an object from a page (then text is NULL). Negative errno: the stream has to be
 * dropped; -ENOBUFS: the queue is full (never for an object). */
int link_inbound(Link *l, const char *text, size_t size, Json *object, const char *cursor);
/* All that came before it is dealt with as soon as the queue is empty. */
int link_inbound_cursor(Link *l, const char *cursor);
/* Goes on with the queue. Negative errno as above. */
int link_inbound_run(Link *l);
void link_inbound_clear(Link *l);
/* Would it have to be claimed, and was not yet asked for? */
bool link_inbound_wants_claim(Link *l, Inbound *i);

/* ---- link-claim.c ---- */

int link_claim_init(Link *l);
void link_claim_start(Link *l);
void link_claim_stop(Link *l);
void link_claim_done(Link *l);
/* Held work is no part of the stream, and not forgotten with it. */
void link_confirm_stop(Link *l);

/* ---- link-heartbeat.c ---- */

int link_heartbeat_init(Link *l);
void link_heartbeat_stop(Link *l);
void link_heartbeat_done(Link *l);
