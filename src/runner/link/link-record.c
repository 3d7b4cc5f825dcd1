/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/link/link-record.h"
#include "runner/store/transaction.h"

struct LinkRecord {
        Store *store;
        uint64_t flush_usec;
        char *runner_id, *runner_uid, *active_uid, *store_id;
        bool registered;
        char *cursor, *last_processed_at;
        bool cursor_dirty, last_processed_dirty; /* not stored yet */
        sd_event_source *flush_timer;
};

/* ---- who we are ---- */

const char *link_record_runner_id(LinkRecord *r) {
        return r->runner_id;
}

const char *link_record_runner_uid(LinkRecord *r) {
        return r->runner_uid;
}

bool link_record_is_registered(LinkRecord *r) {
        return r->registered;
}

bool link_record_is_active(LinkRecord *r) {
        return r->runner_uid && streq_ptr(r->runner_uid, r->active_uid);
}

int link_record_describe(LinkRecord *r, Json *params) {
        uint64_t generation = 0;
        int k;

        /* A new one for each attempt: an answer that was lost on its way must not make the next attempt look like a
         * copy of this machine. */
        k = store_next_generation(r->store, &generation);
        if (k >= 0)
                k = json_set_string(params, "storeId", r->store_id);
        if (k >= 0)
                k = json_set_u64(params, "generation", generation);
        if (k >= 0)
                k = json_set_string(params, "previousRunnerUid", r->runner_uid);
        return k;
}

int link_record_take(LinkRecord *r, const Registered *g) {
        /* A floor is taken once: with a cursor of our own we know better. */
        bool floor = isempty(r->cursor) && !isempty(g->cursor);
        bool stamp = !r->last_processed_at && g->last_processed_at;
        const char *active = g->is_active ? g->runner_uid :
                streq_ptr(r->active_uid, r->runner_uid) || streq_ptr(r->active_uid, g->runner_uid) ?
                                            NULL :
                                            r->active_uid;
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *active_copy = NULL, *max_body = NULL;
        int k;

        if (g->max_body_bytes > 0) {
                max_body = xasprintf("%llu", (unsigned long long) g->max_body_bytes);
                if (!max_body)
                        return -ENOMEM;
        }
        if (active) {
                active_copy = strdup(active);
                if (!active_copy)
                        return -ENOMEM;
        }
        k = transaction_begin(r->store, &t);
        if (k < 0)
                return k;
        (void) store_set(r->store, "runnerId", g->runner_id);
        (void) store_set(r->store, "runnerUid", g->runner_uid);
        (void) store_set(r->store, "activeUid", active_copy);
        (void) store_set(r->store, "registered", "1");
        (void) store_set(r->store, STORE_MAX_BODY_BYTES, max_body);
        if (floor)
                (void) store_set(r->store, "cursor", g->cursor);
        if (stamp)
                (void) store_set(r->store, "lastProcessedAt", g->last_processed_at);
        k = transaction_finish(&t, 0);
        if (k < 0)
                return k;
        k = free_and_strdup(&r->runner_id, g->runner_id);
        if (k >= 0)
                k = free_and_strdup(&r->runner_uid, g->runner_uid);
        if (k >= 0 && floor)
                k = free_and_strdup(&r->cursor, g->cursor);
        if (k >= 0 && stamp)
                k = free_and_strdup(&r->last_processed_at, g->last_processed_at);
        if (k < 0)
                return k;
        link_record_set_active(r, TAKE_PTR(active_copy));
        return 0;
}

int link_record_store_active(LinkRecord *r, const char *uid) {
        return store_set(r->store, "activeUid", uid);
}

void link_record_set_active(LinkRecord *r, char *uid_consume) {
        free(r->active_uid);
        r->active_uid = uid_consume;
}

/* ---- how far we are ---- */

const char *link_record_cursor(LinkRecord *r) {
        return r->cursor;
}

const char *link_record_last_processed_at(LinkRecord *r) {
        return r->last_processed_at;
}

int link_record_flush(LinkRecord *r) {
        _cleanup_(transaction_done) Transaction t = {};
        int k;

        if (!r->cursor_dirty && !r->last_processed_dirty)
                return 0;
        k = transaction_begin(r->store, &t);
        if (k < 0)
                return k;
        if (r->cursor_dirty)
                (void) store_set(r->store, "cursor", r->cursor);
        if (r->last_processed_dirty)
                (void) store_set(r->store, "lastProcessedAt", r->last_processed_at);
        k = transaction_finish(&t, 0);
        if (k < 0)
                return k;
        r->cursor_dirty = r->last_processed_dirty = false;
        return 0;
}

static int on_flush(sd_event_source *source, uint64_t usec, void *userdata) {
        int k = link_record_flush(userdata);

        /* Nothing is lost by that: what was skipped comes again and is skipped again. */
        if (k < 0)
                log_debug_errno(k, "Failed to store the cursor, ignoring: %m");
        return 0;
}

int link_record_advance(LinkRecord *r, const char *cursor, const char *created_at, bool stored) {
        int k;

        if (created_at && !streq_ptr(created_at, r->last_processed_at)) {
                k = free_and_strdup(&r->last_processed_at, created_at);
                if (k < 0)
                        return k;
                r->last_processed_dirty = true; /* stored with the next heartbeat */
        }
        if (isempty(cursor) || streq_ptr(cursor, r->cursor))
                return 0;
        k = free_and_strdup(&r->cursor, cursor);
        if (k < 0)
                return k;
        if (stored) {
                r->cursor_dirty = false;
                return 1;
        }
        if (!r->cursor_dirty) {
                r->cursor_dirty = true;
                oneshot_arm(r->flush_timer, r->flush_usec);
        }
        return 0;
}

/* ---- made and freed ---- */

static int load(LinkRecord *r) {
        const struct {
                const char *key;
                char **value;
        } values[] = {
                { "runnerId", &r->runner_id },   { "runnerUid", &r->runner_uid },
                { "activeUid", &r->active_uid }, { "storeId", &r->store_id },
                { "cursor", &r->cursor },        { "lastProcessedAt", &r->last_processed_at },
        };
        _cleanup_free_ char *registered = NULL;
        int k;

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                k = store_get(r->store, values[i].key, values[i].value);
                if (k < 0)
                        return k;
        }
        k = store_get(r->store, "registered", &registered);
        if (k < 0)
                return k;
        r->registered = k > 0;
        return 0;
}

int link_record_new(sd_event *event, Store *store, uint64_t flush_usec, LinkRecord **ret) {
        _cleanup_(link_record_freep) LinkRecord *r = new0(LinkRecord, 1);
        int k;

        if (!r)
                return -ENOMEM;
        r->store = store;
        r->flush_usec = flush_usec;
        k = load(r);
        if (k >= 0)
                k = oneshot_new(event, "link-flush", on_flush, r, &r->flush_timer);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(r);
        return 0;
}

LinkRecord *link_record_free(LinkRecord *r) {
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->flush_timer);
        free(r->runner_id);
        free(r->runner_uid);
        free(r->active_uid);
        free(r->store_id);
        free(r->cursor);
        free(r->last_processed_at);
        free(r);
        return NULL;
}
