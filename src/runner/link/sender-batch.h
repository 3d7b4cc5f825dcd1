/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* The events of one source that are under way together, in one buffer: [event,event,…]. Any run of them is a body of its
 * own without copying: the commas around it become brackets for as long as it is sent. */

#define SENDER_BATCH_BYTES (256 * 1024)

/* One batch under way while a source fills it. */
typedef struct SendBatch SendBatch;

/* ---- for a source ---- */

/* Appends one event (a whole JSON object, not copied twice: the batch keeps one buffer). 0 or -ENOMEM. */
int send_batch_add(SendBatch *b, const char *message_id, const char *json, size_t size);
/* The same in two steps for who builds in place: write into the buffer, then say that an event ended there. */
Buffer *send_batch_buffer(SendBatch *b);
int send_batch_event_done(SendBatch *b, const char *message_id);
/* True when it is full: stop filling. One event larger than the batch goes alone. */
bool send_batch_full(SendBatch *b);

/* ---- for the sender ---- */

/* Empties it; memory beyond what a usual batch needs is given back. */
void send_batch_clear(SendBatch *b);
void send_batch_done(SendBatch *b);
/* Picks the next run: as many events as fit a batch, at most limit, at least one. */
void send_batch_pick(SendBatch *b);
/* The run as a JSON array, in place; send_batch_close_run() puts the commas back. */
const char *send_batch_open_run(SendBatch *b, size_t *ret_size);
void send_batch_close_run(SendBatch *b);
const char *send_batch_message_id(SendBatch *b, size_t i);
