/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "orchestrator/hub/hub-internal.h"

void random_id(const char *prefix, char ret[static RANDOM_ID_SIZE]) {
        (void) snprintf(
                ret, RANDOM_ID_SIZE, "%.4s%016" PRIx64 "%016" PRIx64, prefix, random_u64(), random_u64());
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
                (void) db_run(
                        h->db,
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

bool hub_is_connected(Hub *h, const char *uid) {
        for (HubListener *l = h->listeners; l; l = l->next)
                if (l->topic == HUB_RUNNER && streq(l->key, uid))
                        return true;
        return false;
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

int hub_new(Database *db, const HubConfig *config, Hub **ret) {
        _cleanup_(hub_freep) Hub *h = new0(Hub, 1);
        int r;

        if (!h)
                return -ENOMEM;
        h->db = db;
        h->config = *config;
        h->started = now_usec(CLOCK_REALTIME);
        r = db_lookup(db, &h->epoch, "SELECT value FROM meta WHERE key='epoch'", "");
        if (r <= 0)
                return r < 0 ? r : -EUCLEAN;
        *ret = TAKE_PTR(h);
        return 0;
}

Hub *hub_free(Hub *h) {
        if (!h)
                return NULL;
        free(h->epoch);
        free(h);
        return NULL;
}
