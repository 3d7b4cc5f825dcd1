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

/* Makes all of them that live and the newest that have ended, and kills scopes that belong to none. Negative errno:
 * they could not all be read. */
int runner_adopt(Runner *r);
/* Resumes all that live, once scopes may be started. */
void runner_begin_all(Runner *r);
/* One that ended long ago is read from the store. NULL: not known here. */
Conversation *runner_find_conversation(Runner *r, const char *id);
