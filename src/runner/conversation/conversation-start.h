/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* What happens between the acceptance of a conversation and its agent's first byte. */

/* Makes the rows of a new run (number row.run + 1), inside the caller's transaction. Of the run before, its stop and its git
 * status nothing is left in memory. resume_session: session to resume, or NULL. */
int conversation_prepare_run(Conversation *c, const char *resume_session);
/* Resumes the start in whatever state the rows say. */
void conversation_advance(Conversation *c);
/* Ends one that has not begun, and cannot any more. True where it was so. */
bool conversation_refuse_start(Conversation *c);
/* After a restart in the middle of a start: the scope is there, or was. */
int conversation_adopt_started(Conversation *c, const char *unit);
/* Its agent runs from now on; part of an open transaction. */
int conversation_begin_clocks(Conversation *c);
/* The same for an agent that a runner before this one has started. What fails is in the journal. */
int conversation_restore_clocks(Conversation *c);

/* Of RunOps. */
int conversation_on_starting(void *userdata);
void conversation_on_started(const char *unit, const char *invocation, void *userdata);
void conversation_on_launcher_lost(void *userdata);
void conversation_on_start_again(void *userdata);
void conversation_on_start_failed(const char *text, void *userdata);
