/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/workspace/workspace.h"

/* The state of the agent's checkout: queried when its run has ended, before the end is reported. If the query fails, the end
 * has no state of the checkout. */
typedef struct ConversationGit {
        CheckoutStatus *call;
        Json *status; /* branch, head, dirty, unpushed; NULL: not known */
        bool asked;
} ConversationGit;

/* Asks, once: true where an answer is under way, after which run_conclude() is called. */
bool conversation_ask_git(Conversation *c);
/* Forgets what was asked and known: the next run asks again. */
void conversation_git_done(ConversationGit *g);
