/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/log.h"
#include "runner/link/http.h"
#include "runner/link/sender-batch.h"

/* Takes events from sources (one per conversation, one for responses and the runner's own) to the orchestrator:
 * JSON arrays of up to SENDER_BATCH_BYTES, up to SENDER_IN_FLIGHT at a time, a source in one of them at most (two
 * would reorder at the first loss). It holds no queue: what is not in a batch stays in its source. */
typedef struct Sender Sender;
typedef struct SendSource SendSource;

#define SENDER_IN_FLIGHT 4

typedef struct SendSourceOps {
        /* Pushes what lines of the journal about its events are about (log_context_push_subject()). NULL: there is nothing. */
        void (*about)(void *userdata, LogContext *log);
        /* Puts events into the batch until it is full or there are none. 0 or negative errno (what it has put in is lost,
         * and the source is asked again after the next sender_wake). */
        int (*fill)(void *userdata, SendBatch *b);
        /* All that the last fill put in was acknowledged or set aside. */
        void (*acked)(void *userdata);
        /* The batch was given up (the link was closed, or the fill failed): the next fill begins where the last acked one
         * ended. */
        void (*lost)(void *userdata);
        /* One event was refused for good, others are taken: keep it. Negative errno: it is sent again later. */
        int (*set_aside)(
                void *userdata,
                const char *message_id,
                const char *json,
                size_t size,
                const char *why);
} SendSourceOps;

typedef struct SenderTiming {
        uint64_t retry_min_usec, retry_max_usec; /* back-off */
        uint64_t timeout_usec;                   /* of a POST, beside what its size may take */
} SenderTiming;
#define SENDER_TIMING_DEFAULT                                 \
        ((SenderTiming){ .retry_min_usec = USEC_PER_SEC / 2,  \
                         .retry_max_usec = 60 * USEC_PER_SEC, \
                         .timeout_usec = 30 * USEC_PER_SEC })

typedef enum SenderTrouble {
        SENDER_FINE,
        SENDER_STOPPED, /* 401, 403, 409 or 410 is about who we are, not what we send: the sender has switched itself off */
        SENDER_REFUSED, /* everything is refused as malformed: it continues with a backoff */
} SenderTrouble;
/* Called from the loop, whenever it changes. */
typedef void (*SenderTroubleFunc)(SenderTrouble t, long status, void *userdata);

/* http must outlive the sender. */
int sender_new(
        sd_event *event,
        HttpClient *http,
        const SenderTiming *timing,
        SenderTroubleFunc trouble,
        void *userdata,
        Sender **ret);
/* Sources that are left are only to be freed after it. */
Sender *sender_free(Sender *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(Sender *, sender_free);

/* Where to post to and with which headers; copied. Used from the next request on. */
int sender_set_target(Sender *s, const char *url, char *const *headers);
/* Off: what is under way is given up (lost) and nothing is sent. A new sender is off. */
void sender_set_enabled(Sender *s, bool enabled);
/* The orchestrator is there again: no use in waiting. */
void sender_retry_now(Sender *s);

/* ops and userdata are borrowed until send_source_free(), which never calls back. */
int send_source_new(Sender *s, const SendSourceOps *ops, void *userdata, SendSource **ret);
SendSource *send_source_free(SendSource *src);
/* There may be something to fill. Cheap; may be called at any time, also from fill and acked. */
void sender_wake(SendSource *src);

typedef struct SenderStats {
        uint64_t last_ack_usec; /* CLOCK_REALTIME, 0: never */
        uint64_t acked_events, retries, set_aside;
        unsigned in_flight;
        bool refused;        /* the orchestrator refuses everything: backing off */
        long refused_status; /* with this HTTP status */
} SenderStats;
void sender_get_stats(Sender *s, SenderStats *ret);
