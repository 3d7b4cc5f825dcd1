/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/log.h"
#include "runner/conversation/conversation-context.h"
#include "runner/conversation/conversation-git.h"
#include "runner/conversation/conversation-read.h"
#include "runner/conversation/conversation-rest.h"
#include "runner/conversation/conversation-send.h"
#include "runner/conversation/conversation-stop-order.h"
#include "runner/conversation/conversation.h"
#include "runner/conversation/counted.h"
#include "runner/run/run-state.h"
#include "runner/run/run.h"
#include "runner/store/store-conversation.h"

/* Every function that is called for a conversation from outside of this room's own calls begins with it. */
#define LOG_ABOUT_CONVERSATION(c)                  \
        LOG_ABOUT(.conversation = (c)->row.id,     \
                  .task = (c)->row.task,           \
                  .workspace = (c)->row.workspace, \
                  .unit = conversation_scope(c))

struct Conversation {
        ConversationContext *ctx;
        Conversation *prev, *next; /* the runner's list */
        ConversationRow row;
        Json *params;       /* what it was started with, except the prompt; NULL once it has ended */
        Json *agent_config; /* as the configuration had it at the beginning of the run */
        Run *run;           /* NULL where it has ended and rests */
        Ended ended;
        Checkout *checkout;
        ConversationGit git;
        char *held; /* the message that began it: it is claimed once more before anything runs; or NULL */
        unsigned n_pending;               /* messages accepted and not yet done */
        ConversationPhase last_phase;     /* what conversation.state said last */
        bool events_added, state_changed; /* since conversation_announce() */
        uint64_t last_event_usec;
        Counted counted;
        ConversationStop stop;
        ConversationSend send; /* to the orchestrator */
        LocalReader local;     /* to people here */
        struct EventStream *streams;
};
