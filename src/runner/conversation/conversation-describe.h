/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* Everything a person may want to see, as JSON text for the caller to free: an object with id, taskId, workspaceId, agent,
 * state, run, scope, directory, branch, model, sessionId, limits, questions [{requestId, event, tool, title, input,
 * suggestions}], queuedMessages, usage, reason and result of the end. At most DESCRIPTION_MAX bytes, also where the bus has
 * to be spared characters: a member of more than DESCRIPTION_MEMBER_MAX, or one for which no room is left, is not in its
 * place but in the member "cut" of the same object, as {"size": of its JSON text, "begins": the beginning of that}. */
#define DESCRIPTION_MAX ((size_t) 1000 * 1024)
#define DESCRIPTION_MEMBER_MAX ((size_t) 64 * 1024)
int conversation_describe(Conversation *c, char **ret);
