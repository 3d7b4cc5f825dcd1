/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/workspace/workspace.h"

/* What the agent left in its checkout: asked when its run is over, before its end is reported. A checkout that cannot be
 * asked costs the answer, never the end. */
typedef struct ConversationGit {
        CheckoutStatus *call;
        Json *status; /* branch, head, dirty, unpushed; NULL: not known */
        bool asked;
} ConversationGit;

/* Asks, once: true where an answer is under way, after which run_conclude() is called. */
bool conversation_ask_git(Conversation *c);
/* Forgets what was asked and known: the next run asks again. */
void conversation_git_done(ConversationGit *g);
