/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store.h"

/* Makes the conversation's run of its row, which is taken over also where that fails. What the run reports has its effect on the
 * conversation. */
int conversation_make_run(Conversation *c, RunRow *row_consume);
