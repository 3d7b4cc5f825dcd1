/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/hub/hub.h"
#include "orchestrator/wire/rpc.h"

/* Conversations whose owner does not serve them. */

/* Issues it again for the active runner; *ret_id is the new message's. force: also where its owner is connected. */
int hub_conversation_takeover(Hub *h, const char *id, bool force, char **ret_id, RpcError *e);

/* Takes never-served conversations from runners that are dead. NULL: of all tokens. */
int sweep_dead(Hub *h, const char *token);
/* What was left of a forgotten runner: its conversations ended as "lost", its messages answered. */
int lose_runner(Hub *h, const char *uid);
