/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/store/store.h"

/* The runner's own events, and those that the orchestrator refused for good. */

typedef struct OwnEvent {
        int64_t seq;        /* grows within the store */
        uint64_t at_offset; /* merged before the output line that begins here */
        char *message_id;
        char *method;
        char *members; /* JSON text inside params, without braces */
} OwnEvent;
void own_event_done(OwnEvent *e);

/* params: what the event says, an object, which is stored as text; the ids of the wire are added to it there. Borrowed; NULL: it
 * says nothing. message_id NULL: "<run_id>:e<seq>", or "<storeId>:e<seq>" where that run is not in the store. conversation "" and run
 * 0: an event of the runner itself. */
int store_add_own_event(
        Store *s,
        const char *conversation,
        unsigned run,
        uint64_t at_offset,
        const char *message_id,
        const char *method,
        Json *params,
        int64_t *ret_seq);
/* The first with a greater seq: 1, or 0. */
int store_next_own_event(Store *s, const char *conversation, unsigned run, int64_t after_seq, OwnEvent *ret);
/* How many have a greater seq, in this run and later ones. */
uint64_t store_count_own_events(Store *s, const char *conversation, unsigned run, int64_t after_seq);
int store_delete_own_events(Store *s, const char *conversation, unsigned run, int64_t upto_seq);

/* Events that the orchestrator refused for good. Above so many the oldest is dropped. */
#define STORE_SET_ASIDE_MAX 10000

typedef struct SetAside {
        int64_t seq;
        char *message_id, *conversation, *json, *why;
        uint64_t when_usec;
} SetAside;
void set_aside_done(SetAside *e);
int store_set_aside(
        Store *s,
        const char *message_id,
        const char *conversation,
        const char *json,
        size_t size,
        const char *why);
typedef int (*SetAsideCallback)(const SetAside *e, void *userdata);
int store_list_set_aside(Store *s, SetAsideCallback cb, void *userdata);
uint64_t store_count_set_aside(Store *s);
int store_delete_set_aside(Store *s, int64_t seq);
