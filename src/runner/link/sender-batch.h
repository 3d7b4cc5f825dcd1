/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/sender.h"

/* The events of one source that are under way together, in one buffer: [event,event,…]. Any run of them is a body of its
 * own without copying: the commas around it become brackets for as long as it is sent. */

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

/* Empties it; memory beyond what a usual batch needs is given back. */
void batch_clear(SendBatch *b);
void batch_done(SendBatch *b);
/* Picks the next run: as many events as fit a batch, at most limit, at least one. */
void batch_pick(SendBatch *b);
/* The run as a JSON array, in place; batch_close_run() puts the commas back. */
const char *batch_open_run(SendBatch *b, size_t *ret_size);
void batch_close_run(SendBatch *b);
const char *batch_message_id(SendBatch *b, size_t i);
