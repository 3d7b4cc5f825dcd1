/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/conversation/conversation.h"
#include "runner/scope/launcher-queue.h"

typedef enum StopStage {
        STOP_NONE,
        STOP_ASKED,  /* interrupt and end went to the agent */
        STOP_TERM,   /* SIGTERM by the supervisor */
        STOP_KILL,   /* cgroup.kill by the supervisor */
        STOP_FORCED, /* SIGKILL to the whole scope by the launcher */
} StopStage;

/* Interrupt and end → SIGTERM → cgroup.kill by the supervisor → SIGKILL to the whole scope by the launcher. Each step has its
 * time; the answer is given when the cgroup was seen empty, never before. */
typedef struct ConversationStop {
        StopStage stage;
        char *reason; /* NULL: none was given */
        uint64_t grace_usec;
        uint64_t left_usec; /* while the timer stands still; 0: it does not */
        sd_event_source *timer;
        bool silent; /* for its agent said nothing */
        bool thaws;  /* what is frozen is thawed for it */
} ConversationStop;

/* Nothing is known of a stop any more: it goes, or lives again. */
void conversation_stop_done(ConversationStop *s);

/* Of the reason of a stop so many bytes are kept at the most, up to the end of a character: a message has room for 16 MiB. */
#define STOP_REASON_MAX 1024
/* Begins to end a conversation that lives, or resumes that: the first reason counts, which may be NULL. */
void conversation_stop(Conversation *c, const char *reason, uint64_t grace_usec);
/* The result of a stop: the conversation has ended for that reason. For the caller to put; NULL: out of memory. */
Json *conversation_stopped_result(Conversation *c, const char *reason);
/* Nothing more is done for it. The stage and the reason stay. */
void conversation_stop_forget(Conversation *c);
/* Everything of it is frozen, or is not any more, whoever ordered that: its clocks stop with it. */
void conversation_set_frozen(Conversation *c, bool frozen);
/* That it is thawed for the stop was answered. */
void conversation_stop_thawed(Conversation *c, int error);
