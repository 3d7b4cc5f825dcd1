/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "orchestrator/hub/hub.h"
#include "orchestrator/wire/rpc.h"

/* Tokens, with which runners register; work is given to one of them. */

/* Valid ones at a time. */
#define HUB_TOKENS_MAX 1000

/* name: an identifier that no valid token has, or NULL. *ret: {"id","name","token"}. The secret is in there and nowhere else;
 * stored is its SHA-256. */
int hub_token_create(Hub *h, const char *name, Json **ret, RpcError *e);
/* All that ever were, as a list of objects, the oldest first. */
int hub_token_list(Hub *h, Json **ret);
/* name: or the id. Ends the streams opened with it. 1: done; 0: there is no such token. */
int hub_token_revoke(Hub *h, const char *name);
/* 1 and the token's id; 0 where the secret is not a valid token's. */
int hub_token_check(Hub *h, const char *secret, char **ret_id);
/* The id of a valid token by its id or name; NULL: the one that new work goes to if no token is named. */
int hub_token_find(Hub *h, const char *name, char **ret_id, RpcError *e);

/* The token's active runner, to which new work goes: 1 and its uid, or 0. */
int hub_active_runner(Hub *h, const char *token, char **ret_uid);
