/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/run/run-figures.h"

/* What a conversation uses: figures of its scope as far as the kernel gives them, read at most once a second, and what waits.
 * Names are those of ListResources() on the bus, and static. */
typedef Figures ConversationFigures;
void conversation_figures(Conversation *c, ConversationFigures *ret);
