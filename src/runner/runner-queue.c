/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"
#include "runner/runner-queue.h"
#include "runner/store/store-events.h"

struct QueueCounter {
        const RunContext *ctx;
        const Registry *conversations;
        QueueStatistics statistics; /* as they were in that turn of the loop */
        uint64_t turn;
        bool known;
};

int queue_counter_new(const RunContext *ctx, const Registry *conversations, QueueCounter **ret) {
        QueueCounter *q = new0(QueueCounter, 1);

        if (!q)
                return -ENOMEM;
        *q = (QueueCounter){ .ctx = ctx, .conversations = conversations };
        *ret = q;
        return 0;
}

QueueCounter *queue_counter_free(QueueCounter *q) {
        free(q);
        return NULL;
}

void queue_counter_get(QueueCounter *q, QueueStatistics *ret) {
        uint64_t turn = 0, now;
        QueueStatistics f = {};

        if (sd_event_get_iteration(q->ctx->event, &turn) >= 0 && q->known && q->turn == turn) {
                *ret = q->statistics;
                return;
        }
        now = now_usec(CLOCK_REALTIME);
        for (Conversation *c = registry_next(q->conversations, NULL); c;
             c = registry_next(q->conversations, c)) {
                if (!c->send.source || c->send.queued_since_usec == 0)
                        continue;
                f.bytes += conversation_queued_bytes(c);
                f.events += conversation_queued_events(c);
                f.conversations++;
                if (now > c->send.queued_since_usec)
                        f.oldest_usec = MAX(f.oldest_usec, now - c->send.queued_since_usec);
        }
        f.set_aside = store_count_set_aside(q->ctx->store);
        q->statistics = f;
        q->turn = turn;
        q->known = true;
        *ret = f;
}
