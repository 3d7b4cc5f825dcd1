/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store-conversation.h"

/* The only places where a state or a reason changes, in memory; storing the row is the caller's.
 *
 * A step that the tables of state.h do not have is a mistake of this program. It is logged as an error that begins with
 * STATE_STEP_FORBIDDEN, and is carried out nevertheless: what the caller reports has happened, and a row that does not say so
 * would be read wrongly after a restart. Where forbidden steps are critical, the program aborts. */

#define STATE_STEP_FORBIDDEN "Forbidden step: "

void conversation_row_set_state(ConversationRow *row, ConversationState to);
void conversation_row_set_reason(ConversationRow *row, EndReason to);
void run_row_set_state(RunRow *row, RunState to);

/* Without this call they are critical in builds of type "debug" only. For tests. */
void state_steps_set_critical(bool critical);
