/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "common/rpc-error.h"
#include "runner/conversation/conversation.h"
#include "runner/runner.h"

/* One call of a method, from the wire or D-Bus: what came with it, what the check found, and what is answered. All
 * pointers are borrowed from the caller for the call unless stated otherwise. Codes are those of docs/protocol.md. */

/* So many messages may wait for one conversation. */
#define PENDING_MESSAGES_MAX 256

typedef struct MethodCall {
        Runner *runner;
        const char *method;
        Json *params;
        const char *origin;         /* "orchestrator" or "local" */
        const RunnerCaller *caller; /* of a local one */
        const char *envelope_id, *request_id, *task, *cursor;

        /* what the check found */
        Conversation *conversation, *created; /* created is owned by the call until the method acts */
        Json *result;                         /* owned by the call */
        int code;                             /* of an error, 0: none */
        char *text;                           /* owned by the call */
        const char *reason;                   /* a word for a machine, static, or NULL */
        bool deferred;                        /* the response comes later */
        bool pending;                         /* there is something left to do for the message */
        int64_t seq;
        bool duplicate;
} MethodCall;
/* Frees what the call owns. */
void method_call_done(MethodCall *c);

/* The first refusal stands. */
void method_refuse(MethodCall *c, int code, const char *format, ...) _printf_(3, 4);
/* The result {"accepted": true}. */
void method_accepted(MethodCall *c);
/* The JSON-RPC error object of a refused call, for the caller to put; NULL: out of memory. */
Json *method_error(MethodCall *c);

/* The id of that name, borrowed; NULL after a refusal, or where it is missing and may be. */
const char *method_id_param(MethodCall *c, const char *name, bool required);
/* The conversation that is meant, which the call has from then on; NULL after a refusal. */
Conversation *method_find(MethodCall *c);
/* The same, of those that have not ended. */
Conversation *method_find_live(MethodCall *c);
/* Whether one more message may wait for the call's conversation; false after a refusal. */
bool method_has_room(MethodCall *c);
