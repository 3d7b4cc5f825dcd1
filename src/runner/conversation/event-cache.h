/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/util.h"

/* A place between the items of a conversation's events: an item is a line of output, which may make several events, or an
 * event of the runner's own. */
typedef struct EventPlace {
        unsigned run;
        uint64_t offset;
        int64_t own_seq;
} EventPlace;

/* The events of one item that did not fit a reply, for the calls that fetch the rest: without it each of these would read
 * the run from its beginning. There is one of a runner, for the caller that asked last; it is given up a minute after
 * its last use. */
typedef struct EventCache EventCache;

/* In all; one event may have more, and then is alone. */
#define EVENT_CACHE_MAX ((size_t) 16 * 1024 * 1024)

/* *cache (may be NULL) becomes that of an item of a conversation, empty. */
int event_cache_begin(EventCache **cache, sd_event *event, const char *conversation, EventPlace at);
/* The next event, the n-th of the item, counted from 0; takes text over. What has no room is dropped. */
int event_cache_add(EventCache *c, unsigned n, char *text_consume);
/* The item has so many events, and behind it is the place next. */
void event_cache_end(EventCache *c, unsigned n_events, EventPlace next);

/* Borrowed; NULL: not here. */
const char *event_cache_get(EventCache *c, const char *conversation, EventPlace at, unsigned n);
/* The n-th event is the last one of the item; then ret_next is the place behind it. */
bool event_cache_is_last(EventCache *c, unsigned n, EventPlace *ret_next);
/* Of that conversation, or (NULL) whatever it has. */
void event_cache_drop(EventCache *c, const char *conversation);
EventCache *event_cache_free(EventCache *c);
