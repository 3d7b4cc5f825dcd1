/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "orchestrator/hub/hub.h"
#include "orchestrator/wire/runner-message.h"

/* Conversations: who owns them, what their runners say of them, and what is open. */

/* Of what a runner says of one, in bytes: longer texts are cut. */
#define HUB_TITLE_MAX 1024
#define HUB_REASON_MAX 1024
/* Open questions of a conversation; more are events and nothing else. */
#define HUB_QUESTIONS_MAX 256

/* Makes one and queues its start. token: an id or name, or NULL for hub_token_find() to choose; id: NULL for a new one. params
 * are borrowed, and get their conversationId. *ret: {"conversationId","messageId"}. */
int hub_conversation_start(Hub *h, const char *token, const char *id, Json *params, Json **ret, RpcError *e);
/* Queues a message for the runner that owns it. params as above; *ret_id is the message's. */
int hub_conversation_send(
        Hub *h,
        const char *id,
        const char *method,
        Json *params,
        bool notification,
        char **ret_id,
        RpcError *e);
/* All that is known of it, with its open questions and the params of its start. 1 and *ret, or 0: unknown. */
int hub_conversation_get(Hub *h, const char *id, Json **ret);
/* 1: it has ended, or was refused; 0: not so; *ret_known: there is one. */
int hub_conversation_has_ended(Hub *h, const char *id, bool *ret_known);
/* The newest ones, at most limit of them, as a list in the order of their start; all: also those that have ended. */
int hub_conversation_list(Hub *h, bool all, uint64_t limit, Json **ret);

/* Steps sql, a query whose one parameter is the id, to its first row. Returns 0 with the statement in *ret; 1 where there is none,
 * which e then says; or negative errno. *ret is for the caller to free in each case. */
int find_conversation(Hub *h, Statement **ret, const char *sql, const char *id, RpcError *e);
/* A conversation that runs at this runner: makes it known, or the runner its owner where it has none, unless it was
 * taken from this very runner. */
int adopt_conversation(Hub *h, const char *token, const char *uid, const char *id);
/* What the answer to a message means for its conversation. error: empty where it is a result. */
int conversation_answered(Hub *h, const char *uid, const char *id, const char *method, Slice error);
/* What an event means for its conversation; *ret_foreign: it belongs to another token's runner. */
int conversation_event(
        Hub *h,
        const char *token,
        const char *uid,
        const RunnerMessage *event,
        bool *ret_foreign);
