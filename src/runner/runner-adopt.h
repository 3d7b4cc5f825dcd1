/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"
#include "runner/runner.h"

/* Conversations out of the store, at the start of the runner, after a failure of the store, and when a caller asks for one
 * that has ended long ago. */

/* How the ids of messages begin that are calls from this machine. */
#define LOCAL_MESSAGE_PREFIX "local-"
/* A number in hexadecimal digits is behind that; and they are no requests of the wire. */
#define LOCAL_MESSAGE_DIGITS 16

/* Lists the scopes that systemd has now: before the rows are read, or an end between the two looks like a loss. Negative
 * errno: systemd does not answer, which is logged. */
int runner_list_scopes(Runner *r, char ***ret);
/* Makes all conversations that live and the newest that have ended, and kills those of the scopes that belong to none.
 * Negative errno: the store could not be read or written; runner_store_failed() tries again. */
int runner_adopt(Runner *r, char *const *scopes);
/* Resumes all that live, once scopes may be started. */
void runner_begin_all(Runner *r);
/* One that ended long ago is read from the store. NULL: not known here. */
Conversation *runner_find_conversation(Runner *r, const char *id);
