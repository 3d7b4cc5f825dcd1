/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Error codes of JSON-RPC and of the protocol, as far as this side makes or reads them. */
enum {
        RPC_PARSE = -32700,
        RPC_INVALID_REQUEST = -32600,
        RPC_UNKNOWN_METHOD = -32601,
        RPC_INVALID_PARAMS = -32602,
        RPC_INTERNAL = -32603,
        RPC_UNKNOWN_CONVERSATION = -32001,
        RPC_AT_CAPACITY = -32003,
        RPC_NOT_ACTIVE = -32007,
        RPC_WRONG_STATE = -32010,
        RPC_STALE_STORE = -32011,
};

/* What is wrong with a request, for its sender. Functions that take one return 1 with it filled where they refuse,
 * 0 where they did what was asked, and a negative errno where they failed. */
typedef struct RpcError {
        int code;
        char text[256];
} RpcError;

/* Fills *e. Returns 1. */
int rpc_refuse(RpcError *e, int code, const char *format, ...) _printf_(3, 4);
