/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/runner.h"

/* Adds and removes conversations: the registry knows them, the sender has their events, and the observer is
 * notified. */

/* Steps through the conversations that live here or ended lately, in the order of their start: NULL begins. */
Conversation *runner_next_conversation(Runner *r, Conversation *after);
/* Adds the conversation, and takes ownership of it. */
void runner_add_conversation(Runner *r, Conversation *c);
/* Removes the conversation and frees it. A conversation that is to come back is in the store. */
void runner_remove_conversation(Runner *r, Conversation *c);
void runner_forget_all(Runner *r);
