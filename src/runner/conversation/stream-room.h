/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Room in memory that all streams of events for people share. A stream may always hold short lines; before it makes the
 * events of a longer one it asks for room. Where there is none it waits until another one has given back, and a stream
 * whose reader takes nothing meanwhile is let go. */

#define EVENT_STREAMS_BYTES_MAX ((size_t) 64 * 1024 * 1024)
/* A line up to this needs no room. */
#define STREAM_SHORT_BYTES ((size_t) 64 * 1024)
/* So long may a reader take nothing while others wait for what its stream holds. */
#define STREAM_ROOM_USEC (10 * USEC_PER_SEC)

typedef struct StreamShare StreamShare;

typedef struct StreamRoom {
        StreamShare *shares;
        size_t held; /* by all of them, in bytes */
} StreamRoom;

/* One stream's part. Embedded in the stream, which opens it once and closes it before it is freed. */
struct StreamShare {
        StreamRoom *room;
        StreamShare *next;
        size_t held;         /* bytes */
        size_t wanted;       /* it waits for so much; 0: it does not wait */
        uint64_t taken_usec; /* when its reader took something last, or it was opened; CLOCK_MONOTONIC */
};

void stream_share_open(StreamShare *s, StreamRoom *room, uint64_t now);
void stream_share_close(StreamShare *s);
/* What the stream holds now. Never fails: what was asked for may come out longer. */
void stream_share_hold(StreamShare *s, size_t bytes);
/* Whether a line of so many bytes may be made into events now. Where not, s->wanted says so until it is asked again. */
bool stream_share_ask(StreamShare *s, size_t bytes);
/* The share of another reader, above a short line, whose reader has taken nothing for STREAM_ROOM_USEC, or NULL. */
StreamShare *stream_share_stalled(const StreamShare *s, uint64_t now);
