/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "common/rpc-error.h"

/* JSON-RPC 2.0 as the protocol uses it: building requests and responses, reading answers. */

/* Response to an envelope, with its messageId. request_id is JSON text. For the caller to free; NULL: no memory.
 * result and error are JSON text; exactly one of them is set. */
char *rpc_response(const char *envelope_id, const char *request_id, const char *result, const char *error);
/* The error object of a response. conversation and detail may be NULL. */
char *rpc_error(int code, const char *message, const char *conversation, const char *detail);

/* A request (id > 0) or a notification (id 0) with these params; ret_size may be NULL. */
char *rpc_request(uint64_t id, const char *method, Json *params, size_t *ret_size);

typedef struct RpcAnswer {
        Json *result;  /* or NULL */
        int code;      /* of the error, where there is one */
        char *message; /* of the error */
} RpcAnswer;
void rpc_answer_done(RpcAnswer *a);
/* Reads the answer to request id: one response object, or a list that has it. 1: a result; 0: an error; -EBADMSG:
 * neither. */
int rpc_answer_parse(const char *body, size_t size, uint64_t id, RpcAnswer *ret);

/* 1 to 128 bytes of visible ASCII: what an id of the orchestrator's may look like, so that it fits a header or a log line. */
#define TOKEN_TEXT_MAX 128
bool token_text_is_valid(const char *s);
