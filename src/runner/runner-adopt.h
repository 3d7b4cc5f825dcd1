/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/runner.h"

/* Makes conversations from the store: at the start of the runner, after a failure of the store, and when a caller asks
 * for a conversation that ended long ago. */

/* Ids of messages that are calls from this machine begin with this. */
#define LOCAL_MESSAGE_PREFIX "local-"
/* A number of this many hexadecimal digits follows; such a message is no request of the wire. */
#define LOCAL_MESSAGE_DIGITS 16

/* Lists the scopes that systemd has now: before the rows are read, or an end between the two looks like a loss. Negative
 * errno: systemd does not answer, which is logged. */
int runner_list_scopes(Runner *r, char ***ret);
/* Makes all conversations that live and the newest that have ended, and kills those of the scopes that belong to none.
 * Negative errno: the store could not be read or written; runner_store_failed() tries again. */
int runner_adopt(Runner *r, char *const *scopes);
/* Resumes all conversations that live, once scopes may be started. */
void runner_begin_all(Runner *r);
/* Returns the conversation; if it ended long ago, it is read from the store. NULL: not known here. */
Conversation *runner_find_conversation(Runner *r, const char *id);
