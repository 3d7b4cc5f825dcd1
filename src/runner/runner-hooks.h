/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation-internal.h"
#include "runner/runner.h"

/* The actions of the runner when something happens to a conversation, to the store, or to a scope. */

/* userdata: the Runner */
extern const ConversationHooks runner_conversation_hooks;
/* The store could not be written: conversations wait until all was read from it again, which is tried from now on.
 * -EUCLEAN: the store is damaged, and this program ends in order to be started again. */
void runner_store_failed(Runner *r, int error);
/* systemd reports a change of a scope. userdata: the Runner */
void runner_unit_changed(const char *unit, void *userdata);
