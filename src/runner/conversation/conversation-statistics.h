/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/run/run-statistics.h"

/* What a conversation uses: statistics of its scope as far as the kernel gives them, read at most once a second, and
 * what waits. Names are those of ListResources() on the bus, and static. */
typedef Statistics ConversationStatistics;
void conversation_statistics(Conversation *c, ConversationStatistics *ret);
