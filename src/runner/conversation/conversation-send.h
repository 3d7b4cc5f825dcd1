/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/conversation/conversation.h"
#include "runner/conversation/event-reader.h"
#include "runner/link/sender.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store.h"

/* The way to the orchestrator: out.log is the queue, a cursor in the store says how much of it was acknowledged, and the
 * events between are made again whenever they have to be sent. An outage of any length costs disk and no memory. */
typedef struct ConversationSend {
        SendSource *source; /* NULL: it has no receiver */
        EventReader *reader;
        RunRow row;     /* of the run that is being sent, without driven_state … */
        uint64_t lines; /* … but how many lines that was behind */
        int outfd;
        uint64_t ack_offset;
        int64_t ack_own;
        char *ack_state;
        bool ack_pending;
        bool dirty;                           /* conversation_flush() has something to store */
        bool counted;                         /* in ended_sending */
        bool failed;                          /* the last time, and that was said */
        sd_event_source *again;               /* after an error … */
        uint64_t again_usec;                  /* … so much later; 0: there was none */
        uint64_t queued_since_usec;           /* CLOCK_REALTIME, 0: nothing is queued */
        bool rests;                           /* of one that has ended nothing is in memory … */
        uint64_t queued_bytes, queued_events; /* … but these statistics */
} ConversationSend;

/* Stops reading: what was read and is not acknowledged is read again. */
void conversation_send_stop_reading(ConversationSend *s);

int conversation_send_open(Conversation *c);
void conversation_send_close(Conversation *c);
void conversation_send_wake(Conversation *c);
/* Of one that rests: gives back what is not under way. */
void conversation_send_rest(Conversation *c);
/* A new run begins, and the one before it may still have to be sent. */
void conversation_send_next_run(Conversation *c);
/* Stores cursors that were not worth a transaction of their own. */
int conversation_flush(Conversation *c);
/* The transaction that it was a part of was taken back. */
void conversation_flush_undone(Conversation *c);
uint64_t conversation_queued_bytes(Conversation *c);
/* Lines of output and own events that were not acknowledged. */
uint64_t conversation_queued_events(Conversation *c);
