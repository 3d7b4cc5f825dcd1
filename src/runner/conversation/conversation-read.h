/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/conversation/event-reader.h"

/* The reader of who asked last, for the next call. */
typedef struct LocalReader {
        EventReader *reader; /* NULL: there is none */
        uint64_t limit;
        int outfd;
        char *cursor;
} LocalReader;

void local_reader_done(LocalReader *l);

/* Events of the conversation, neutral form, one JSON object (the whole JSON-RPC notification) each, from a cursor on.
 * cursor: opaque; "" is the beginning, "end" is now. Returns at most max events, and the cursor behind them. All texts are
 * such as sd-bus takes. They have at most EVENT_LIST_MAX bytes, and an event of more than EVENT_INLINE_MAX is the last one
 * and cut (event_cut()). */
int conversation_read_events(
        Conversation *c,
        const char *cursor,
        unsigned max,
        char ***ret_events,
        char **ret_cursor);
/* A piece, from a byte of it on, of the first event behind a cursor, and the size of the event. An empty piece is its end.
 * -EINVAL: not a cursor; -ENOENT: there is no event (yet); -ERANGE: no piece begins there. */
int conversation_read_event(
        Conversation *c,
        const char *cursor,
        uint64_t offset,
        char **ret_piece,
        uint64_t *ret_size);
/* The reader goes, and what is kept for calls that come. Of one that has just ended: the next call opens it again. */
void conversation_read_rest(Conversation *c);
void conversation_read_close(Conversation *c);
