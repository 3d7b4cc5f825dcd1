/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* What the next run is started with: the object that drivers read and spec.json holds. resume_session: session to resume, or
 * NULL. */
int conversation_make_spec(Conversation *c, const char *resume_session, Json **ret);
