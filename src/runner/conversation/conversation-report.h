/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* Own events of a conversation. What is stored is announced once, by conversation_announce(), after the transaction
 * that it is a part of: no notification is sent before the commit. */

/* Stores an own event of the present run; params: what it says, an object, borrowed. Part of an open transaction where
 * there is one. message_id NULL: one is made. */
int conversation_emit(Conversation *c, const char *message_id, const char *method, Json *params);
/* conversation.state, where that is another one than was said last. */
int conversation_emit_state(Conversation *c);
/* error.report with a stable code. message_id: of the message that it is about, or NULL. */
int conversation_report(Conversation *c, const char *code, const char *text, const char *message_id);

/* Wakes those who read its events and notifies of a changed state, as far as there is something new. */
void conversation_announce(Conversation *c);
/* The same, and something of its state is new. */
void conversation_changed(Conversation *c);
