/* SPDX-License-Identifier: MIT */
#include <systemd/sd-daemon.h>

#include "runner/runner-announce.h"

struct Announcer {
        sd_event_source *source;
        void (*update)(void *userdata);
        void *userdata;
        const RunnerObserver *observer;
        void *observer_data;
        char *status; /* the last STATUS= */
};

static int on_changed(sd_event_source *source, void *userdata) {
        Announcer *a = userdata;

        a->update(a->userdata);
        if (a->observer)
                a->observer->runner_changed(a->observer_data);
        return 0;
}

int announcer_new(sd_event *event, void (*update)(void *userdata), void *userdata, Announcer **ret) {
        Announcer *a = new0(Announcer, 1);
        int r;

        if (!a)
                return -ENOMEM;
        a->update = update;
        a->userdata = userdata;
        r = sd_event_add_defer(event, &a->source, on_changed, a);
        if (r >= 0) {
                (void) sd_event_source_set_description(a->source, "status");
                /* Once for many changes: after everything else of the turn. */
                r = sd_event_source_set_priority(a->source, SD_EVENT_PRIORITY_IDLE);
        }
        if (r < 0) {
                announcer_free(a);
                return r;
        }
        *ret = a;
        return 0;
}

Announcer *announcer_free(Announcer *a) {
        if (!a)
                return NULL;
        sd_event_source_disable_unref(a->source);
        free(a->status);
        free(a);
        return NULL;
}

void announcer_set_observer(Announcer *a, const RunnerObserver *observer, void *userdata) {
        if (!a)
                return;
        a->observer = observer;
        a->observer_data = userdata;
}

void announcer_changed(Announcer *a) {
        if (a)
                (void) sd_event_source_set_enabled(a->source, SD_EVENT_ONESHOT);
}

void announcer_set_status(Announcer *a, const char *text) {
        if (!a || !text || streq_ptr(text, a->status))
                return;
        (void) sd_notifyf(0, "STATUS=%s", text);
        (void) free_and_strdup(&a->status, text);
}

void announcer_conversation_added(Announcer *a, Conversation *c) {
        if (a && a->observer)
                a->observer->conversation_added(c, a->observer_data);
}

void announcer_conversation_changed(Announcer *a, Conversation *c) {
        if (a && a->observer)
                a->observer->conversation_changed(c, a->observer_data);
}

void announcer_conversation_removed(Announcer *a, Conversation *c) {
        if (a && a->observer)
                a->observer->conversation_removed(c, a->observer_data);
}

void announcer_events_available(Announcer *a, Conversation *c) {
        if (a && a->observer)
                a->observer->events_available(c, a->observer_data);
}
