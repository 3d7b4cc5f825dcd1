/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/scope/launcher-queue.h"

/* Orders for the scope of a live conversation. */

/* Orders it; limits are for LAUNCHER_SET_LIMITS. A success changes the conversation; a failure is an error.report. */
void conversation_order(Conversation *c, LauncherVerb verb, const LauncherLimit *limits, size_t n_limits);
/* The order has finished. error: 0 or a negative errno, with the launcher's text. */
void conversation_control_done(Conversation *c, LauncherVerb verb, int error, const char *text);
