/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/conversation/event-cache.h"
#include "runner/conversation/event-reader.h"

/* Events for people on this machine: the same that the orchestrator gets, read again from out.log and the store. */

/* Written "run:offset:own" or, where some events of the item there are behind it, "run:offset:own+n". */
typedef struct Cursor {
        EventPlace at;
        unsigned n;
} Cursor;

/* For the caller to free; NULL: out of memory. */
char *cursor_format(EventPlace at, unsigned n);
/* "end" is what there is now. -EINVAL: not a cursor of that conversation. */
int cursor_open(Conversation *c, const char *text, Cursor *ret);

/* A reader of one conversation's events that goes from run to run. */
typedef struct Follower {
        Conversation *c;
        EventReader *reader;
        int outfd;
        EventPlace at;
        uint64_t limit; /* of a run that is not the present one */
} Follower;

/* Begins at a cursor's place. Zero its members and set outfd to -EBADF before. */
void follower_done(Follower *f);
/* Reads on until out is full or nothing is left. 1: more is there; 0: all that is there now was read. */
int follower_read(Follower *f, const EventOut *out);
