/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation-stop-order.h"

/* For conversation.stop. */
#define STOP_GRACE_MAX_MS UINT64_C(3600000)
/* Begins to end a conversation that lives, or resumes that. The cause of the first order counts, and the first words;
 * they are stored with the run, so that a runner that starts in the middle of it resumes the same stop. */
void conversation_stop(Conversation *c, const StopOrder *order);
/* Begins the stop again, at its first step, that conversation_stop_restore() has read. */
void conversation_stop_resume(Conversation *c);
/* All of its processes are frozen or were thawed, by any party: its clocks stop with it. */
void conversation_set_frozen(Conversation *c, bool frozen);
/* That it is thawed for the stop was answered. */
void conversation_stop_thawed(Conversation *c, int error);
