/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/run/run-end.h"

/* The end of a conversation's run: one transaction says it to everybody who will ask, then it is announced. */

/* Of RunOps: what is known at the end of a run becomes the end of its conversation. */
void conversation_on_over(const RunEndFacts *facts, void *userdata);
bool conversation_on_ending(void *userdata);
/* Ends one that has no process (yet): workspace failed, launcher refused, … It must have a run. text may be NULL. */
void conversation_fail(Conversation *c, const char *reason, const char *text);
