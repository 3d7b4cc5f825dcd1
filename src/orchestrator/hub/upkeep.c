/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "orchestrator/hub/hub-internal.h"
#include "orchestrator/hub/takeover.h"
#include "orchestrator/hub/upkeep.h"

#define SWEEP_USEC (5 * USEC_PER_SEC)

struct Upkeep {
        Hub *hub;
        sd_event_source *timer;
};

/* Forgets what is old, a little at a time. */
static int prune(Hub *h) {
        uint64_t now = now_usec(CLOCK_REALTIME), limit = now - MIN(now, h->config.keep_usec);
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *id = NULL;
        int r;

        /* One at a time: a conversation may be large, and the loop must continue. */
        r = db_lookup(h->db, &id, "SELECT id FROM conversations WHERE ended<? LIMIT 1", "i", limit);
        if (r < 0)
                return r;
        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        if (id) {
                (void) db_run(h->db, "DELETE FROM events WHERE conversation=?", "s", id);
                (void) db_run(h->db, "DELETE FROM messages WHERE conversation=?", "s", id);
                (void) db_run(h->db, "DELETE FROM questions WHERE conversation=?", "s", id);
                (void) db_run(h->db, "DELETE FROM conversations WHERE id=?", "s", id);
                log_debug("Conversation %s, which ended long ago, was removed.", id);
        }
        (void) db_run(
                h->db,
                "DELETE FROM events WHERE n IN (SELECT n FROM events WHERE conversation IS NULL AND received<? LIMIT 100)",
                "i",
                limit);
        (void) db_run(
                h->db,
                "DELETE FROM messages WHERE n IN"
                " (SELECT n FROM messages WHERE conversation IS NULL AND answered<? LIMIT 100)",
                "i",
                limit);
        return transaction_commit(&t);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Upkeep *u = userdata;
        int r;

        r = sweep_dead(u->hub, NULL);
        if (r < 0)
                log_warning_errno(r, "Failed to reassign work of dead runners, trying again later: %m");
        r = prune(u->hub);
        if (r < 0)
                log_warning_errno(r, "Failed to remove old conversations, trying again later: %m");
        oneshot_arm(source, SWEEP_USEC);
        return 0;
}

int upkeep_new(sd_event *event, Hub *h, Upkeep **ret) {
        _cleanup_(upkeep_freep) Upkeep *u = new0(Upkeep, 1);
        int r;

        if (!u)
                return -ENOMEM;
        u->hub = h;
        r = oneshot_start(&u->timer, event, SWEEP_USEC, on_timer, u);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

Upkeep *upkeep_free(Upkeep *u) {
        if (!u)
                return NULL;
        sd_event_source_disable_unref(u->timer);
        free(u);
        return NULL;
}
