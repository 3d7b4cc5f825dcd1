/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/conversation/conversation.h"

/* Reports changes: STATUS= to the service manager, and the observer (the bus objects). Code that changes something may
 * say so any number of times: the change is announced once, after everything else of the turn. In all calls the
 * announcer may be NULL: no notification is sent. */
typedef struct Announcer Announcer;

/* The party that is notified of changes. Called after the change was stored. */
typedef struct RunnerObserver {
        void (*runner_changed)(void *userdata);
        void (*conversation_added)(Conversation *c, void *userdata);
        void (*conversation_changed)(Conversation *c, void *userdata);
        void (*conversation_removed)(Conversation *c, void *userdata); /* before it is freed */
        void (*events_available)(Conversation *c, void *userdata);     /* may come often: coalesce */
} RunnerObserver;

/* update is called before the observer is notified that the runner changed, so that values that follow from the change
 * are updated; it may call announcer_set_status(). */
int announcer_new(sd_event *event, void (*update)(void *userdata), void *userdata, Announcer **ret);
Announcer *announcer_free(Announcer *a);
/* observer NULL: there is none any more. */
void announcer_set_observer(Announcer *a, const RunnerObserver *observer, void *userdata);

/* A property of the runner has changed. */
void announcer_changed(Announcer *a);
/* Sets the line for `systemctl status`; it is sent if it differs from the last one. NULL: no change. */
void announcer_set_status(Announcer *a, const char *text);

/* These notify the observer at once. */
void announcer_conversation_added(Announcer *a, Conversation *c);
void announcer_conversation_changed(Announcer *a, Conversation *c);
void announcer_conversation_removed(Announcer *a, Conversation *c);
void announcer_events_available(Announcer *a, Conversation *c);
