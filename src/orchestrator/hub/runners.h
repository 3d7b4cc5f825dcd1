/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json.h"
#include "orchestrator/hub/hub.h"
#include "orchestrator/wire/runner-message.h"

/* Runners: their registration, which of a token's is active, and what is known of each. */

/* Registered ones of one token. */
#define HUB_RUNNERS_PER_TOKEN_MAX 64
/* The params of a registration, and the conversations that it may name. */
#define HUB_REGISTRATION_MAX ((size_t) 2 * 1024 * 1024)
#define HUB_ADOPTED_MAX 10000
/* Of a registration so much is kept for those who list runners. */
#define HUB_REGISTRATION_KEPT ((size_t) 64 * 1024)

/* Registers a store's runner, known or new, and gives it the conversations it names and the work that waits. runner_id: what
 * the process sent as its own, or NULL. *ret is the result for the wire. */
int hub_register(Hub *h, const char *token, const char *runner_id, Slice params, Json **ret, RpcError *e);
/* Finds a registered runner by the id it sends and notes that it lives. 1 and its uid, or 0. */
int hub_runner_seen(Hub *h, const char *token, const char *runner_id, char **ret_uid);
/* Stores a heartbeat's params; what its cursor names has arrived. */
int hub_heartbeat(Hub *h, const char *uid, const RunnerMessage *heartbeat);
/* The token that a runner registered with. */
int hub_runner_token(Hub *h, const char *uid, char **ret, RpcError *e);
/* Makes it its token's active runner, informs the token's runners, and gives it the work that no runner has claimed. */
int hub_runner_activate(Hub *h, const char *uid, RpcError *e);
/* A runner that will not come back: its conversations have no owner afterwards. */
int hub_runner_forget(Hub *h, const char *uid, RpcError *e);
/* Appends the runners of the next token behind *token ("": the first), as objects with commas between them, and moves
 * *token on. 1, or 0 where there is none. */
int hub_next_runners(Hub *h, char **token, Buffer *b);
