/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "runner/link/sender.h"

#define BATCH_EVENTS_MAX 4096

typedef struct BatchEvent {
        size_t start, size; /* in the body */
        size_t message_id;  /* offset in the ids */
} BatchEvent;

typedef enum BatchState {
        BATCH_FREE,
        BATCH_FILLING,
        BATCH_SENDING,
        BATCH_PROBING, /* one event was refused, and so may be everything: a ping finds out */
        BATCH_WAITING, /* for the back-off to end */
} BatchState;

struct SendBatch {
        Sender *sender;
        SendSource *source;
        BatchState state;
        Buffer body, ids;
        BatchEvent *events;
        size_t n_events, n_allocated;
        bool full; /* the source may have more */

        size_t first, count;  /* the run that is under way; before first all is dealt with */
        size_t limit;         /* halving: at most so many in the next run … */
        size_t refused_end;   /* … and none from here on: a run that ended here was refused */
        bool neighbour_taken; /* a run of this batch got a 2xx since the first refusal */
        bool suspect;         /* it is alone, and a ping got a 2xx since it was refused */
        long refused_status;
        HttpRequest *request;
};
