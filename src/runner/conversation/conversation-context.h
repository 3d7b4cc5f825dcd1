/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/conversation/event-cache.h"
#include "runner/conversation/stream-room.h"
#include "runner/link/sender.h"
#include "runner/run/run-context.h"
#include "runner/store/state.h"
#include "runner/workspace/workspace.h"

/* How the owner of the conversations is notified. */
typedef struct ConversationHooks {
        void (*changed)(Conversation *c, void *userdata);
        void (*events_available)(Conversation *c, void *userdata);
        /* A deferred response (conversation.stop) is known and stored. */
        void (*responded)(Conversation *c, int64_t seq, EndReason reason, void *userdata);
        /* It stays in memory: the caller that ended it still uses it. */
        void (*ended)(Conversation *c, void *userdata);
        /* The orchestrator has acknowledged more of it. */
        void (*acked)(Conversation *c, void *userdata);
        /* All of it is acknowledged (or has no receiver): it may be forgotten. */
        void (*delivered)(Conversation *c, void *userdata);
        /* The store could not be written: nothing may be announced. */
        void (*store_failed)(int error, void *userdata);
        /* A file could not be written because the disk is full: conversation_advance() and conversation_write_input()
         * are to be called again. */
        void (*no_room)(void *userdata);
        /* A question is being denied because it was not answered, in the transaction that does so; <0 takes it back. */
        int (*question_expiring)(Conversation *c, const char *request_id, void *userdata);
        /* That is stored. */
        void (*question_expired)(Conversation *c, const char *request_id, void *userdata);
} ConversationHooks;

/* Of the conversations that have ended so many are read at a time by the sender, which is more than it has on the wire, and
 * so many by people. */
#define ENDED_READERS_MAX 8

/* The state that all conversations of this runner share. It owns only what conversation_context_done() frees. */
typedef struct ConversationContext {
        RunContext run;
        Sender *sender; /* NULL where there is no orchestrator */
        GitConfig git;
        const ConversationHooks *hooks;
        void *userdata;
        unsigned event_streams;
        StreamRoom stream_room;
        EventCache *event_cache; /* NULL: there is none yet */
        /* of those that have ended: how many the sender reads, and those whose reader waits for a person who reads on */
        unsigned ended_sending;
        Conversation *ended_read[ENDED_READERS_MAX];
        unsigned ended_read_next;
} ConversationContext;

void conversation_context_done(ConversationContext *c);
