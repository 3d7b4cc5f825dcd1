/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* Makes the newest run of a conversation that conversation_new() made of its row, and takes over whatever of it lives: its
 * directory, its clocks, its limits. units: the scopes that systemd has. recovering: the rows were made of the
 * directories, so its output is read again from the beginning. may_be_unheard: there is an orchestrator, which may not
 * know of a start that nothing has come of; that one is held until it is claimed. Negative errno: it lives and cannot
 * be read. */
int conversation_adopt(Conversation *c, char *const *units, bool recovering, bool may_be_unheard);
