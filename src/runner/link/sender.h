/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/link/http.h"

/* Takes events from sources (one per conversation, one for responses and the runner's own) to the orchestrator:
 * JSON arrays of up to SENDER_BATCH_BYTES, up to SENDER_IN_FLIGHT at a time, a source in one of them at most (two
 * would reorder at the first loss). It holds no queue: what is not in a batch stays in its source. */
typedef struct Sender Sender;
typedef struct SendSource SendSource;

#define SENDER_BATCH_BYTES (256 * 1024)
#define SENDER_IN_FLIGHT 4

/* One batch under way while a source fills it. */
typedef struct SendBatch SendBatch;

/* Appends one event (a whole JSON object, not copied twice: the batch keeps one buffer). 0 or -ENOMEM. */
int send_batch_add(SendBatch *b, const char *message_id, const char *json, size_t size);
/* The same in two steps for who builds in place: write into the buffer, then say that an event ended there. */
Buffer *send_batch_buffer(SendBatch *b);
int send_batch_event_done(SendBatch *b, const char *message_id);
/* True when it is full: stop filling. One event larger than the batch goes alone. */
bool send_batch_full(SendBatch *b);

typedef struct SendSourceOps {
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
