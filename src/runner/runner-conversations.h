/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/runner.h"

/* How a conversation comes and goes: the registry knows it, the sender has its events, and the observer is notified. */

/* Steps through the conversations that live here or ended lately, in the order of their start: NULL begins. */
Conversation *runner_next_conversation(Runner *r, Conversation *after);
/* Takes it over. */
void runner_add_conversation(Runner *r, Conversation *c);
/* Frees it. It is in the store, if it is to come back. */
void runner_remove_conversation(Runner *r, Conversation *c);
void runner_forget_all(Runner *r);
