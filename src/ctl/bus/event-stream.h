/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/json.h"

/* The events of a conversation as they come: by a descriptor where one can reach us, by ReadEvents and its signal where
 * not (-H). Where the runner is restarted, reading continues after the last event that was seen. */
typedef struct EventStream EventStream;

typedef struct EventStreamOps {
        /* line: the event's own text; it may change until the call returns. event: the same, taken apart; of one that has too
         * many values for that (whole: false) it has the members that are plain values, and "cut" with the sizes of the
         * others, in params and in params.event. */
        void (*event)(Json *event, bool whole, const char *line, void *userdata);
        /* The conversation has ended and all was read, or (status not 0, after a message) reading failed. No call comes
         * after it. */
        void (*end)(int status, void *userdata);
} EventStreamOps;

/* follow: wait for more, to the end of the conversation; else end() comes after the events that are there. Returns an exit
 * status, not 0 after a message. The bus must be attached to event; ops and userdata are borrowed. */
int event_stream_open(
        sd_event *event,
        const char *id,
        const char *cursor,
        bool follow,
        const EventStreamOps *ops,
        void *userdata,
        EventStream **ret);
EventStream *event_stream_free(EventStream *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(EventStream *, event_stream_free);
/* All of the event at a cursor that a description or an event that was cut names, piece by piece, for the caller to free; NULL
 * after a message, then the exit status is *ret_status. */
char *read_event(const char *id, const char *cursor, int *ret_status);
/* The cursor behind the last event, where it is known (ReadEvents only), borrowed; else NULL. */
const char *event_stream_cursor(EventStream *s);
