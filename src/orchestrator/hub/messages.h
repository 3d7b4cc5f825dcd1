/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json-scan.h"
#include "common/json.h"
#include "orchestrator/hub/hub.h"
#include "orchestrator/wire/rpc.h"

/* Messages to runners: queued, delivered in order, claimed where they are work, and held where their conversation has no
 * owner yet. */

/* Open messages of one token; beyond it the administrator gets an error. */
#define HUB_OPEN_MESSAGES_MAX 10000
/* Params of a message: it must fit into a runner's 16 MiB with its envelope around it. */
#define HUB_PARAMS_MAX ((size_t) 15 * 1024 * 1024)
/* Ids in one claim. */
#define HUB_CLAIM_MAX 1000

typedef struct HubMessage {
        const char *token;
        const char *target; /* uid, or NULL: the owner of the conversation; for work, the active runner */
        const char *conversation; /* or NULL */
        const char *task;         /* or NULL */
        const char *method;
        Json *params; /* borrowed */
        bool notification;
} HubMessage;
/* Queues it; *ret_id is its envelope id. All of m is borrowed until the call returns. */
int hub_send(Hub *h, const HubMessage *m, char **ret_id, RpcError *e);
/* Whether a message of this method is work, which a runner has to claim before it does it. */
bool hub_is_work(const char *method);

/* The next message for that runner behind place *seq, as an envelope; moves *seq on. 1, or 0 where there is none. */
int hub_next_message(Hub *h, const char *uid, int64_t *seq, Buffer *b);
/* All up to that place have arrived. */
int hub_acknowledge(Hub *h, const char *uid, int64_t seq);
/* The wire's form of a place. Reading one that is not ours, or of another database, gives 0: the beginning. */
#define CURSOR_SIZE 40
const char *hub_cursor(Hub *h, int64_t seq, char buf[static CURSOR_SIZE]);
int64_t hub_cursor_parse(Hub *h, const char *cursor);

/* A runner claims pieces of work: params is {"ids":[…]}, *ret {"granted":[…],"refused":[{"id","owner"}…]}. */
int hub_claim(Hub *h, const char *token, const char *uid, Slice params, Json **ret, RpcError *e);
/* State, and the answer where there is one, of the message or of that which has replaced it. 1 and *ret, or 0: unknown. */
int hub_message_get(Hub *h, const char *id, bool *ret_answered, Json **ret);

/* Gives each open, unclaimed piece of work of the token a new place, addressed to that runner. */
int readdress_work(Hub *h, const char *token, const char *uid);
/* Messages that waited for the conversation to have an owner go to it. */
int release_held(Hub *h, const char *conversation, const char *uid);
/* Answers open messages of a conversation that never got an owner. */
int fail_held(Hub *h, const char *conversation, int code, const char *text);
/* Answers open messages for a runner, but not work that it has not claimed. */
int fail_targeted(Hub *h, const char *uid, int code, const char *text);
