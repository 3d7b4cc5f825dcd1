/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/scope/launcher-queue.h"

/* What is done to the scope of a conversation that lives. */

/* Orders it; limits are for LAUNCHER_SET_LIMITS. What comes of it shows in the conversation, or is an error.report. */
void conversation_order(Conversation *c, LauncherVerb verb, const LauncherLimit *limits, size_t n_limits);
/* It was carried out, or not: error and the launcher's text. */
void conversation_control_done(Conversation *c, LauncherVerb verb, int error, const char *text);
