/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation-context.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store.h"

/* Takes over the row, also where it fails. It has no run yet. */
int conversation_new(ConversationContext *ctx, ConversationRow *row_consume, Conversation **ret);
/* It must not be on the stack: its streams, its sender and its run go with it. Its processes continue. */
Conversation *conversation_free(Conversation *c);
