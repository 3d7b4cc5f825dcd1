/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/conversation/conversation.h"
#include "runner/scope/launcher-queue.h"
#include "runner/store/state.h"

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
/* For conversation.stop. */
#define STOP_GRACE_MAX_MS UINT64_C(3600000)
/* Begins to end a conversation that lives, or resumes that. The cause of the first order counts, and the first words;
 * they are stored with the run, so that a runner that starts in the middle of it resumes the same stop. */
void conversation_stop(Conversation *c, const StopOrder *order);
/* Of a conversation that a runner before this one was stopping: reads what was ordered. conversation_stop_resume() begins it
 * again, at its first step. */
int conversation_stop_restore(Conversation *c);
void conversation_stop_resume(Conversation *c);
/* It has ended, or is about to: nothing is stored of a stop any more. Part of the open transaction. */
int conversation_stop_unstore(Conversation *c);
/* The result of a stop: the conversation has ended for that reason. For the caller to put; NULL: out of memory. */
Json *conversation_stopped_result(Conversation *c, EndReason reason);
/* Nothing more is done for it. The stage, the cause and the words stay. */
void conversation_stop_forget(Conversation *c);
/* All of its processes are frozen or were thawed, by any party: its clocks stop with it. */
void conversation_set_frozen(Conversation *c, bool frozen);
/* That it is thawed for the stop was answered. */
void conversation_stop_thawed(Conversation *c, int error);
