/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation-internal.h"
#include "runner/runner.h"

/* What the runner does when something happens to a conversation or to what it stands on. */

/* userdata: the Runner */
extern const ConversationHooks runner_conversation_hooks;
/* The store could not be written: conversations wait until all was read from it again, which is tried from now on.
 * -EUCLEAN: it is damaged, and this program ends in order to be started again. */
void runner_store_failed(Runner *r, int error);
/* PID 1 says that something happened to a scope. userdata: the Runner */
void runner_unit_changed(const char *unit, void *userdata);
