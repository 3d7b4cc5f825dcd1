/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/backoff.h"
#include "runner/link/endpoint.h"
#include "runner/link/envelope.h"
#include "runner/link/link-record.h"

/* From envelope to effect, in the order of the stream. A message that has to be claimed stops the line: what comes behind
 * it waits in a queue, so that a conversation.start is never overtaken by the message for it. */
typedef struct Inbox Inbox;

/* Messages that wait for a claim, and what they cost to keep; the first one may have any size. */
#define LINK_QUEUE_MAX 1024
#define LINK_QUEUE_BYTES_MAX ((size_t) 16 * 1024 * 1024)

typedef struct InboxOps {
        /* Whether this conversation lives here: 1 or 0. Negative errno: that is unknown now. */
        int (*knows)(void *userdata, const char *conversation);
        /* Accepts a message and acts. Negative errno: it could not be accepted. */
        int (*process)(void *userdata, const Envelope *e);
        /* A response was stored of which the owner does not know yet. */
        void (*responded)(void *userdata);
        /* The store has another cursor with a message that was accepted. */
        void (*advanced)(void *userdata);
        /* Another runner is the active one. */
        void (*active_changed)(void *userdata);
        /* Nothing waits any more. */
        void (*emptied)(void *userdata);
        /* A message that had waited could not be accepted: negative errno as of inbox_take(). */
        void (*failed)(void *userdata, int error);
} InboxOps;

/* store, endpoint and record are borrowed. */
int inbox_new(
        sd_event *event,
        Store *store,
        Endpoint *endpoint,
        LinkRecord *record,
        const Backoff *backoff,
        const InboxOps *ops,
        void *userdata,
        Inbox **ret);
Inbox *inbox_free(Inbox *i);
DEFINE_TRIVIAL_CLEANUP_FUNC(Inbox *, inbox_free);

/* One message. Text from the stream, or an object from a page (then text is NULL). Negative errno: it, and all that waits, has
 * to be read again, from the stored cursor on; -ERESTART: at once, as another cursor is the stored one now; -ENOBUFS: the
 * queue is full (never for an object). */
int inbox_take(Inbox *i, const char *text, size_t size, Json *object, const char *cursor);
/* A message that is left out, since it is too long. */
int inbox_skip(Inbox *i, const char *cursor);
/* All that came before this cursor is dealt with as soon as nothing waits. */
int inbox_advance(Inbox *i, const char *cursor);
bool inbox_is_empty(Inbox *i);
/* Forgets what waits, and the claim for it. */
void inbox_clear(Inbox *i);

typedef struct InboxStats {
        uint64_t duplicates, skipped, bad_messages;
        uint64_t last_event_usec; /* CLOCK_REALTIME, 0: never */
        size_t waiting, waiting_bytes;
} InboxStats;
void inbox_get_stats(Inbox *i, InboxStats *ret);
