/* SPDX-License-Identifier: MIT */
#include "runner/link/sender-batch-internal.h"
#include "runner/link/sender-batch.h"

#define BODY_KEEP (2 * SENDER_BATCH_BYTES)
#define IDS_KEEP (64 * 1024)
#define EVENTS_KEEP 1024

void send_batch_clear(SendBatch *b) {
        buffer_clear(&b->body, BODY_KEEP);
        buffer_clear(&b->ids, IDS_KEEP);
        if (b->n_allocated > EVENTS_KEEP) {
                free(b->events);
                b->events = NULL;
                b->n_allocated = 0;
        }
        b->n_events = b->first = b->count = b->refused_end = 0;
        b->limit = BATCH_EVENTS_MAX;
        b->full = b->neighbour_taken = b->suspect = false;
        b->refused_status = 0;
        b->source = NULL;
        b->state = BATCH_FREE;
}

void send_batch_done(SendBatch *b) {
        buffer_done(&b->body);
        buffer_done(&b->ids);
        free(b->events);
        b->events = NULL;
        b->n_allocated = b->n_events = 0;
}

/* Where the next event begins: behind the bracket or the comma, which stands there already. */
static size_t next_start(SendBatch *b) {
        return b->n_events == 0 ? 1 : b->events[b->n_events - 1].start + b->events[b->n_events - 1].size + 1;
}

Buffer *send_batch_buffer(SendBatch *b) {
        size_t start = next_start(b);

        if (b->body.size < start)
                (void) buffer_append(&b->body, b->n_events == 0 ? "[" : ",", 1);
        return &b->body;
}

int send_batch_event_done(SendBatch *b, const char *message_id) {
        size_t start = next_start(b), n;

        if (b->body.failed)
                return -ENOMEM;
        assert(b->body.size > start);
        if (b->n_events >= b->n_allocated) {
                n = MAX(b->n_allocated * 2, (size_t) 64);
                BatchEvent *events = reallocarray(b->events, n, sizeof(BatchEvent));
                if (!events)
                        return -ENOMEM;
                b->events = events;
                b->n_allocated = n;
        }
        n = b->ids.size;
        if (buffer_append(&b->ids, message_id, strlen(message_id) + 1) < 0)
                return -ENOMEM;
        b->events[b->n_events++] = (BatchEvent){
                .start = start,
                .size = b->body.size - start,
                .message_id = n,
        };
        if (b->body.size >= SENDER_BATCH_BYTES || b->n_events >= BATCH_EVENTS_MAX)
                b->full = true;
        return 0;
}

int send_batch_add(SendBatch *b, const char *message_id, const char *json, size_t size) {
        if (buffer_append(send_batch_buffer(b), json, size) < 0)
                return -ENOMEM;
        return send_batch_event_done(b, message_id);
}

bool send_batch_full(SendBatch *b) {
        return b->full;
}

void send_batch_pick(SendBatch *b) {
        size_t bytes = 0, end = b->first < b->refused_end ? b->refused_end : b->n_events;

        for (b->count = 0; b->first + b->count < end && b->count < b->limit; b->count++) {
                size_t size = b->events[b->first + b->count].size + 1;

                /* The event that fills it to the brim still belongs in; one that is a batch by itself goes alone. */
                if (b->count > 0 && (bytes >= SENDER_BATCH_BYTES || size > SENDER_BATCH_BYTES))
                        break;
                bytes += size;
        }
}

const char *send_batch_open_run(SendBatch *b, size_t *ret_size) {
        const BatchEvent *first = b->events + b->first, *last = first + b->count - 1;
        size_t end = last->start + last->size;

        assert(b->count > 0);
        /* Behind the very last event is room for the bracket: there is a NUL, or what a source left half written. */
        b->body.data[first->start - 1] = '[';
        b->body.data[end] = ']';
        *ret_size = end + 1 - (first->start - 1);
        return b->body.data + first->start - 1;
}

void send_batch_close_run(SendBatch *b) {
        const BatchEvent *first = b->events + b->first, *last = first + b->count - 1;

        if (b->count == 0)
                return;
        b->body.data[first->start - 1] = b->first == 0 ? '[' : ',';
        b->body.data[last->start + last->size] = b->first + b->count == b->n_events ? 0 : ',';
}

const char *send_batch_message_id(SendBatch *b, size_t i) {
        return b->ids.data + b->events[i].message_id;
}
