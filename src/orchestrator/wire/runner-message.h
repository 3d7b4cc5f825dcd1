/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/ident.h"
#include "common/json-scan.h"
#include "orchestrator/wire/rpc.h"

/* The messages in a body that a runner posts, taken apart where they stand: an event is stored as it came, and what the
 * orchestrator reads of it are slices of the body. Nothing here makes a tree, so that a body costs its own size. */

/* Messages in one body. A runner sends 4,096 at the most. */
#define RUNNER_BATCH_MAX 10000
/* Requests in one body: each is answered by itself. */
#define RUNNER_REQUESTS_MAX 64
/* The id of a message or of a request, in bytes. */
#define MESSAGE_ID_MAX 256
#define METHOD_MAX 64
/* The params of a heartbeat, which are kept and listed. */
#define HEARTBEAT_MAX ((size_t) 64 * 1024)

typedef enum MessageKind {
        MESSAGE_REQUEST,
        MESSAGE_RESPONSE,
        MESSAGE_HEARTBEAT,
        MESSAGE_EVENT,
} MessageKind;

typedef struct RunnerMessage {
        MessageKind kind;
        Slice text; /* as it came */
        char method[METHOD_MAX + 1];
        Slice id; /* of a request: a string or a number, with its quotes */
        Slice params;

        /* Of a response. */
        char answers[MESSAGE_ID_MAX + 1]; /* the message that it answers; "": none that could be known */
        Slice error, result;              /* error is empty where there is none */

        /* Of an event; members that its method does not have are empty. */
        char message_id[MESSAGE_ID_MAX + 1];
        char conversation[IDENT_MAX + 1]; /* or "" */
        Slice run, state, reason, tool, title, request_id, cursor, event, event_type;
} RunnerMessage;

/* Steps through the messages of a valid body, which is one object or a list: *iter starts as 0. False at the end. */
bool runner_message_next(Slice body, size_t *iter, Slice *ret);

/* Takes message number i of its body apart. Returns 0, 1 with *e where it is refused, or negative. */
int runner_message_parse(Slice text, size_t i, RunnerMessage *ret, RpcError *e);

/* Checks the whole body: its number of messages and each of them. The same results. */
int runner_body_check(Slice body, RpcError *e);
