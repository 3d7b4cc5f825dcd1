/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/log.h"
#include "orchestrator/hub/hub-internal.h"

#define SWEEP_USEC (5 * USEC_PER_SEC)

int rpc_refuse(RpcError *e, int code, const char *format, ...) {
        va_list ap;

        e->code = code;
        va_start(ap, format);
        (void) vsnprintf(e->text, sizeof(e->text), format, ap);
        va_end(ap);
        return 1;
}

void random_id(const char *prefix, char ret[static RANDOM_ID_SIZE]) {
        (void) snprintf(ret,
                        RANDOM_ID_SIZE,
                        "%.4s%016" PRIx64 "%016" PRIx64,
                        prefix,
                        random_u64(),
                        random_u64());
}

int row_string(Json *o, const char *name, Statement *s, int column) {
        return json_set_string(o, name, db_text(s, column));
}

int row_time(Json *o, const char *name, Statement *s, int column) {
        char buf[TIMESTAMP_MAX];

        if (!db_text(s, column))
                return 0;
        return json_set_string(o, name, format_timestamp((uint64_t) db_int(s, column), buf));
}

void hub_listen(Hub *h, HubListener *l) {
        if (l->topic == HUB_RUNNER)
                for (HubListener *i = h->listeners, *next; i; i = next) {
                        next = i->next;
                        if (i->topic == HUB_RUNNER && streq(i->key, l->key))
                                i->close(i);
                }
        l->previous = NULL;
        l->next = h->listeners;
        if (l->next)
                l->next->previous = l;
        h->listeners = l;
}

void hub_unlisten(Hub *h, HubListener *l) {
        if (l->topic == HUB_RUNNER) /* it was alive up to now */
                (void) db_run(h->db,
                              "UPDATE runners SET seen=? WHERE uid=?",
                              "is",
                              now_usec(CLOCK_REALTIME),
                              l->key);
        if (l->previous)
                l->previous->next = l->next;
        else if (h->listeners == l)
                h->listeners = l->next;
        if (l->next)
                l->next->previous = l->previous;
        l->next = l->previous = NULL;
}

void hub_wake_runner(Hub *h, const char *uid) {
        for (HubListener *l = h->listeners; l; l = l->next)
                if (l->topic == HUB_RUNNER && streq(l->key, uid))
                        l->wake(l);
}

void hub_wake_topic(Hub *h, HubTopic topic) {
        for (HubListener *l = h->listeners; l; l = l->next)
                if (l->topic == topic)
                        l->wake(l);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Hub *h = userdata;
        int r;

        r = sweep_dead(h, NULL);
        if (r < 0)
                log_warning_errno(r, "Failed to look for work of dead runners, trying again later: %m");
        r = prune(h);
        if (r < 0)
                log_warning_errno(r, "Failed to remove old conversations, trying again later: %m");
        r = sd_event_source_set_time_relative(source, SWEEP_USEC);
        if (r < 0)
                log_error_errno(r, "Failed to arm the hub's timer: %m");
        return 0;
}

int hub_new(sd_event *event, Database *db, const HubConfig *config, Hub **ret) {
        _cleanup_(hub_freep) Hub *h = new0(Hub, 1);
        int r;

        if (!h)
                return -ENOMEM;
        h->event = sd_event_ref(event);
        h->db = db;
        h->config = *config;
        h->started = now_usec(CLOCK_REALTIME);
        r = db_lookup(db, &h->epoch, "SELECT value FROM meta WHERE key='epoch'", "");
        if (r <= 0)
                return r < 0 ? r : -EUCLEAN;
        r = sd_event_add_time_relative(event, &h->timer, CLOCK_MONOTONIC, SWEEP_USEC, 0, on_timer, h);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(h->timer, SD_EVENT_ON);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

Hub *hub_free(Hub *h) {
        if (!h)
                return NULL;
        sd_event_source_disable_unref(h->timer);
        sd_event_unref(h->event);
        free(h->epoch);
        free(h);
        return NULL;
}
