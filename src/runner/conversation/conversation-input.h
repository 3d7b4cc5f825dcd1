/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* Turns accepted messages into bytes of in.log. */

/* Renders the accepted messages that the driver can accept now, stores that, and writes in.log. */
void conversation_pump_input(Conversation *c);
/* As run_write_input(); 0 where there is no run. */
int conversation_write_input(Conversation *c);
/* Is requestId ("<runId>:<offset>.<n>") an open question of the present run? */
bool conversation_has_question(Conversation *c, const char *request_id);
/* Of RunOps: denies a question that was not answered, and reports that. */
int conversation_on_deny(uint64_t offset, unsigned n, const char *message, void *userdata);
