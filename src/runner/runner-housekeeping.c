/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/conversation/conversation-input.h"
#include "runner/runner-conversations.h"
#include "runner/runner-housekeeping.h"
#include "runner/runner-internal.h"
#include "runner/runner-retention.h"
#include "runner/store/transaction.h"

#define FLUSH_USEC (250 * USEC_PER_MSEC)
#define HOUSEKEEPING_USEC (60 * USEC_PER_SEC)
#define RETENTION_USEC (3600 * USEC_PER_SEC)
#define SEEN_KEEP_USEC (7 * 24 * 3600 * USEC_PER_SEC)
#define SEEN_KEEP_ROWS 100000

struct Housekeeping {
        Runner *runner;
        sd_event_source *flush, *timer;
        uint64_t removed_usec; /* last search for old conversations, CLOCK_MONOTONIC */
};

/* Keeps the newest that ended and drops the rest from memory; those with events to send stay. Never where a caller
 * still uses a conversation. */
static void forget_old(Runner *r) {
        for (Conversation *c = registry_next(r->conversations, NULL), *next;
             c && registry_count_ended(r->conversations) > ENDED_KEPT_MAX;
             c = next) {
                next = registry_next(r->conversations, c);
                if (!conversation_is_live(c) && c->row.delivered && !c->streams)
                        runner_remove_conversation(r, c);
        }
}

void runner_flush_cursors(Runner *r) {
        _cleanup_(transaction_done) Transaction t = {};
        int k;

        if (r->ctx->run.broken)
                return;
        k = transaction_begin(r->store, &t);
        if (k >= 0) {
                for (Conversation *c = registry_next(r->conversations, NULL); c && k >= 0;
                     c = registry_next(r->conversations, c))
                        k = conversation_flush(c);
                k = transaction_finish(&t, k);
                for (Conversation *c = registry_next(r->conversations, NULL); c && k < 0;
                     c = registry_next(r->conversations, c))
                        conversation_flush_undone(c);
        }
        if (k < 0 && k != -EUCLEAN)
                log_warning_errno(k, "Failed to store cursors, some events may be sent again: %m");
        forget_old(r);
        /* What was acknowledged may have been all that a drain waited for. */
        drain_check(r->drain);
        /* What could not be read for a batch, which no timer of its own tries again. */
        control_wake(r->control);
        resend_wake(r->resend);
}

int runner_flush(Runner *r) {
        runner_flush_cursors(r);
        control_wake(r->control);
        for (Conversation *c = registry_next(r->conversations, NULL); c;
             c = registry_next(r->conversations, c))
                if (c->send.source)
                        sender_wake(c->send.source);
        if (r->link)
                link_heartbeat(r->link);
        return 0;
}

static int on_flush(sd_event_source *source, uint64_t usec, void *userdata) {
        Housekeeping *h = userdata;

        disk_check(h->runner->disk);
        runner_flush_cursors(h->runner);
        return 0;
}

static int on_housekeeping(sd_event_source *source, uint64_t usec, void *userdata) {
        Housekeeping *h = userdata;
        Runner *r = h->runner;

        disk_check(r->disk);
        if (!r->ctx->run.broken) {
                runner_flush_cursors(r);
                (void) store_prune_inbound(
                        r->store, now_usec(CLOCK_REALTIME) - SEEN_KEEP_USEC, SEEN_KEEP_ROWS);
                (void) store_checkpoint(r->store);
                if (h->removed_usec == 0 || now_usec(CLOCK_MONOTONIC) - h->removed_usec >= RETENTION_USEC) {
                        h->removed_usec = now_usec(CLOCK_MONOTONIC);
                        runner_remove_old(r);
                }
                for (Conversation *c = registry_next(r->conversations, NULL); c;
                     c = registry_next(r->conversations, c))
                        if (conversation_is_live(c))
                                (void) conversation_write_input(c);
        }
        oneshot_arm(source, HOUSEKEEPING_USEC);
        return 0;
}

void housekeeping_arm(Housekeeping *h) {
        if (!oneshot_is_armed(h->flush))
                oneshot_arm(h->flush, FLUSH_USEC);
}

int housekeeping_new(sd_event *event, Runner *r, Housekeeping **ret) {
        Housekeeping *h = new0(Housekeeping, 1);
        int k;

        if (!h)
                return -ENOMEM;
        h->runner = r;
        k = oneshot_new(event, "cursors", on_flush, h, &h->flush);
        if (k >= 0)
                k = oneshot_start(&h->timer, event, HOUSEKEEPING_USEC, on_housekeeping, h);
        if (k >= 0)
                k = sd_event_source_set_time_accuracy(h->timer, USEC_PER_SEC);
        if (k < 0) {
                housekeeping_free(h);
                return k;
        }
        *ret = h;
        return 0;
}

Housekeeping *housekeeping_free(Housekeeping *h) {
        if (!h)
                return NULL;
        sd_event_source_disable_unref(h->flush);
        sd_event_source_disable_unref(h->timer);
        free(h);
        return NULL;
}
