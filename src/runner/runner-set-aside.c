/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/runner-set-aside.h"
#include "runner/store/store-events.h"

/* Events that the orchestrator refused for good while it took others: kept, listed, and sent again on command, one at a
 * time, so that each refusal is known by its event. */

struct Resend {
        Store *store;
        Sender *sender;        /* NULL: there is no orchestrator */
        SendSource *source;    /* from the first command on */
        int64_t at, now, upto; /* those up to upto are sent again; now is under way */
        unsigned count;
        bool refused;       /* that one, again */
        char *conversation; /* whose it is; or NULL */
};

static int list_one(const SetAside *e, void *userdata) {
        Json *o = json_object_new_object();
        char stamp[TIMESTAMP_MAX];

        if (!o || json_object_array_add(userdata, o) < 0) {
                json_object_put(o);
                return -ENOMEM;
        }
        (void) json_set_string(o, "messageId", e->message_id);
        (void) json_set_string(o, "conversationId", e->conversation);
        (void) json_set_string(o, "why", e->why);
        (void) json_set_string(o, "when", format_timestamp(e->when_usec, stamp));
        (void) json_set_u64(o, "size", strlen(e->json));
        return 0;
}

int resend_list(Resend *r, Json **ret) {
        _cleanup_json_ Json *list = json_object_new_array();
        int k;

        if (!list)
                return -ENOMEM;
        k = store_list_set_aside(r->store, list_one, list);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(list);
        return 0;
}

typedef struct Next {
        int64_t after, seq;
        char *message_id, *conversation, *json;
} Next;

static int find_next(const SetAside *e, void *userdata) {
        Next *n = userdata;

        if (e->seq <= n->after)
                return 0;
        n->seq = e->seq;
        n->message_id = strdup(e->message_id);
        n->conversation = strdup(strempty(e->conversation));
        n->json = strdup(e->json);
        return n->message_id && n->conversation && n->json ? 1 : -ENOMEM;
}

static void on_about(void *userdata, LogContext *log) {
        Resend *r = userdata;

        log_context_push_subject(log, &(LogSubject){ .conversation = r->conversation });
}

static int on_fill(void *userdata, SendBatch *batch) {
        Resend *r = userdata;
        Next next = { .after = r->at };
        int k;

        if (r->at >= r->upto)
                return 0;
        k = store_list_set_aside(r->store, find_next, &next);
        if (k > 0 && next.seq <= r->upto) {
                k = send_batch_add(batch, next.message_id, next.json, strlen(next.json));
                r->now = next.seq;
                r->refused = false;
                free(r->conversation);
                r->conversation = TAKE_PTR(next.conversation);
        } else if (k >= 0)
                r->at = r->upto;
        free(next.message_id);
        free(next.conversation);
        free(next.json);
        return k < 0 ? k : 0;
}

static void on_acked(void *userdata) {
        Resend *r = userdata;

        if (!r->refused) {
                int k = store_delete_set_aside(r->store, r->now);
                if (k < 0)
                        log_warning_errno(
                                k, "Failed to delete an acknowledged event that was set aside: %m");
        }
        r->at = r->now;
        sender_wake(r->source);
}

static void on_lost(void *userdata) {
}

static int
on_set_aside(void *userdata, const char *message_id, const char *json, size_t size, const char *why) {
        Resend *r = userdata;
        LOG_ABOUT(.conversation = r->conversation);

        log_warning("Event %s was refused again: %s", message_id, strempty(why));
        r->refused = true;
        return 0;
}

static const SendSourceOps resend_ops = {
        .about = on_about,
        .fill = on_fill,
        .acked = on_acked,
        .lost = on_lost,
        .set_aside = on_set_aside,
};

static int count_one(const SetAside *e, void *userdata) {
        Resend *r = userdata;

        r->upto = MAX(r->upto, e->seq);
        r->count++;
        return 0;
}

int resend_begin(Resend *r, unsigned *ret_count) {
        int k;

        if (!r->sender)
                return -ENOTCONN;
        if (!r->source) {
                k = send_source_new(r->sender, &resend_ops, r, &r->source);
                if (k < 0)
                        return k;
        }
        r->at = 0;
        r->count = 0;
        k = store_list_set_aside(r->store, count_one, r);
        if (k < 0)
                return k;
        *ret_count = r->count;
        sender_wake(r->source);
        return 0;
}

void resend_wake(Resend *r) {
        if (r && r->source)
                sender_wake(r->source);
}

int resend_new(Store *store, Sender *sender, Resend **ret) {
        Resend *r = new0(Resend, 1);

        if (!r)
                return -ENOMEM;
        *r = (Resend){ .store = store, .sender = sender };
        *ret = r;
        return 0;
}

Resend *resend_free(Resend *r) {
        if (!r)
                return NULL;
        send_source_free(r->source);
        free(r->conversation);
        free(r);
        return NULL;
}
