/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/json.h"
#include "runner/conversation/conversation.h"
#include "runner/store/state.h"

/* The stop of a conversation, as it was ordered: in memory, and in the store. The steps are in conversation-stop.h. */

typedef enum StopStage {
        STOP_NONE,
        STOP_ASKED,  /* interrupt and end went to the agent */
        STOP_TERM,   /* SIGTERM by the supervisor */
        STOP_KILL,   /* cgroup.kill by the supervisor */
        STOP_FORCED, /* SIGKILL to the whole scope by the launcher */
} StopStage;

/* Interrupt and end → SIGTERM → cgroup.kill by the supervisor → SIGKILL to the whole scope by the launcher. Each step has its
 * time; the answer is given when the cgroup was seen empty, never before. One that has no process is answered at once; where the
 * launcher was asked for it and its answer was lost, the launcher is ordered to kill what may come of that. */
typedef struct ConversationStop {
        StopCause cause; /* of the first order; STOP_BY_NONE: none was given */
        char *words;     /* the first that came with an order, or NULL */
        uint64_t grace_usec;
        StopStage stage;    /* STOP_NONE as well where it is ordered and has no process to begin with */
        uint64_t left_usec; /* while the timer stands still; 0: it does not */
        sd_event_source *timer;
        bool thaws; /* what is frozen is thawed for it */
} ConversationStop;

/* The cause decides how the conversation ends, and the words decide nothing. */
typedef struct StopOrder {
        StopCause cause;
        const char *words; /* of the party that ordered it, for people; or NULL; copied */
        uint64_t grace_usec;
} StopOrder;

/* Nothing is known of a stop any more: it goes, or lives again. */
void conversation_stop_done(ConversationStop *s);

/* Of the words of a stop so many bytes are kept at the most, up to the end of a character: a message has room for 16 MiB. */
#define STOP_WORDS_MAX 1024

/* Takes an order: the cause of the first one counts, and the first words. */
void conversation_stop_take(Conversation *c, const StopOrder *order);
/* Stores what was ordered, with the run. Part of the open transaction. */
int conversation_stop_store(Conversation *c);
/* Reads what was ordered of a conversation that an earlier runner was stopping. */
int conversation_stop_restore(Conversation *c);
/* The conversation has ended, or is about to: removes the order from the store. Part of the open transaction. */
int conversation_stop_unstore(Conversation *c);
/* Stops the clock: no step follows. The stage, the cause and the words stay. */
void conversation_stop_forget(Conversation *c);
/* Makes the result of a stop: the conversation has ended for that reason. For the caller to put; NULL: out of memory. */
Json *conversation_stopped_result(Conversation *c, EndReason reason);
