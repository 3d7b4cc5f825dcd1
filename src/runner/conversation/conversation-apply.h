/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/run/run-effects.h"

/* A message that can never be delivered. Borrowed. */
typedef struct Refusal {
        int64_t seq;
        const char *envelope_id, *why;
} Refusal;

/* What a piece of the agent's output, a batch of messages or an expired question means for a conversation: a value, which has
 * no effect before conversation_apply(). */
typedef struct ConversationEffects {
        const RunEffects *run;
        const Refusal *refusals;
        size_t n_refusals;
        const char *expired; /* id of a question that was not answered in time and is denied; or NULL */
} ConversationEffects;

/* Stores all of it in one transaction: the run's part, the session, reports, the state. What changed is to be announced then
 * (conversation_announce()). Negative errno: nothing was stored, while what is in memory has moved on: the store has
 * failed. */
int conversation_apply(Conversation *c, const ConversationEffects *e);
