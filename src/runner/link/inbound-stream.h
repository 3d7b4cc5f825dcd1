/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/backoff.h"
#include "runner/link/endpoint.h"
#include "runner/link/inbox.h"
#include "runner/link/link-record.h"

/* The event stream; and pages of messages where there is none, or where streams break off before they are of use. What comes
 * goes into the inbox. */
typedef struct InboundStream InboundStream;

typedef struct InboundStreamConfig {
        size_t max_message_bytes;
        uint64_t silence_usec;      /* an event stream this long without a byte is dead */
        uint64_t reopen_usec;       /* a stream that had worked is opened again after this */
        uint64_t held_usec;         /* a stream that lasted this long was a success */
        uint64_t poll_usec;         /* between catch-up requests where there is no stream */
        uint64_t stream_again_usec; /* where there was no stream, try again after this */
        Backoff backoff;            /* of what failed */
} InboundStreamConfig;

typedef struct InboundStreamOps {
        /* The orchestrator has answered. */
        void (*reached)(void *userdata);
        /* inbound_stream_is_connected() or inbound_stream_is_failing() may be another. */
        void (*changed)(void *userdata);
} InboundStreamOps;

/* endpoint, record and inbox are borrowed. */
int inbound_stream_new(
        sd_event *event,
        Endpoint *endpoint,
        LinkRecord *record,
        Inbox *inbox,
        const InboundStreamConfig *config,
        const InboundStreamOps *ops,
        void *userdata,
        InboundStream **ret);
InboundStream *inbound_stream_free(InboundStream *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(InboundStream *, inbound_stream_free);

/* On: failures of before are forgotten, and it may be opened. Off (as when it is new): it is closed, and stays so. */
void inbound_stream_set_enabled(InboundStream *s, bool enabled);
/* Opens the stream, or asks for a page, now, from the stored cursor on: what waits in the inbox is read again. */
void inbound_stream_open(InboundStream *s);
/* Ends it, whatever it is doing. */
void inbound_stream_close(InboundStream *s);

/* What became of the messages: one could not be accepted (back to the stored cursor, after a while, or at once for -ERESTART);
 * the store has another cursor; nothing waits any more. */
void inbound_stream_drop(InboundStream *s, int error);
void inbound_stream_advanced(InboundStream *s);
void inbound_stream_emptied(InboundStream *s);

bool inbound_stream_is_connected(InboundStream *s); /* the event stream stands */
/* The last attempt failed, and no other has succeeded since. */
bool inbound_stream_is_failing(InboundStream *s);

typedef struct InboundStreamStats {
        uint64_t reconnects;
        uint64_t ignored; /* events of a type that means nothing here */
} InboundStreamStats;
void inbound_stream_get_stats(InboundStream *s, InboundStreamStats *ret);
