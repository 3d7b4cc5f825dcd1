/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/run/run-end.h"
#include "runner/store/state.h"

/* The end of a conversation's run: one transaction stores it for all readers, then it is announced. */

/* Of RunOps: what is known at the end of a run becomes the end of its conversation. */
void conversation_on_ended(const RunEndFacts *facts, void *userdata);
bool conversation_on_ending(void *userdata);
/* Ends one that has no process (yet): workspace failed, launcher refused, … It must have a run. text may be NULL. */
void conversation_fail(Conversation *c, EndReason reason, const char *text);
/* The same of one that cannot be started or is not to be any more: as failed with that text, or as the stop has it
 * where one was ordered. */
void conversation_fail_start(Conversation *c, const char *text);
