/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* Each error of the interfaces once: its code in JSON-RPC (docs/protocol.md lists the same codes) and its name on D-Bus
 * (docs/dbus.md lists the same names). */

#define BUS_ERROR_PREFIX "org.northflare.Runner1.Error."
#define BUS_ERROR_NO_SUCH_CONVERSATION BUS_ERROR_PREFIX "NoSuchConversation"
#define BUS_ERROR_NO_SUCH_WORKSPACE BUS_ERROR_PREFIX "NoSuchWorkspace"
#define BUS_ERROR_INVALID_ARGUMENT BUS_ERROR_PREFIX "InvalidArgument"
#define BUS_ERROR_AT_CAPACITY BUS_ERROR_PREFIX "AtCapacity"
#define BUS_ERROR_AGENT_NOT_AVAILABLE BUS_ERROR_PREFIX "AgentNotAvailable"
#define BUS_ERROR_NOT_ALLOWED BUS_ERROR_PREFIX "NotAllowed"
#define BUS_ERROR_WORKSPACE_FAILED BUS_ERROR_PREFIX "WorkspaceFailed"
#define BUS_ERROR_NOT_ACTIVE BUS_ERROR_PREFIX "NotActive"
#define BUS_ERROR_DRAINING BUS_ERROR_PREFIX "Draining"
#define BUS_ERROR_LOW_DISK BUS_ERROR_PREFIX "LowDisk"
#define BUS_ERROR_WRONG_STATE BUS_ERROR_PREFIX "WrongState"
#define BUS_ERROR_MACHINE_BUSY BUS_ERROR_PREFIX "MachineBusy"
#define BUS_ERROR_TOO_MANY_STREAMS BUS_ERROR_PREFIX "TooManyStreams"
#define BUS_ERROR_NOT_SUPPORTED BUS_ERROR_PREFIX "NotSupported"
#define BUS_ERROR_FAILED BUS_ERROR_PREFIX "Failed"

/* X(symbol, code, error on D-Bus or NULL) for each. The first five are JSON-RPC's own. */
#define RPC_CODES(X)                                                        \
        X(RPC_PARSE_ERROR, -32700, NULL)                                    \
        X(RPC_INVALID_REQUEST, -32600, NULL)                                \
        X(RPC_METHOD_NOT_FOUND, -32601, BUS_ERROR_NOT_SUPPORTED)            \
        X(RPC_INVALID_PARAMS, -32602, BUS_ERROR_INVALID_ARGUMENT)           \
        X(RPC_INTERNAL_ERROR, -32603, NULL)                                 \
        X(RPC_UNKNOWN_CONVERSATION, -32001, BUS_ERROR_NO_SUCH_CONVERSATION) \
        X(RPC_AT_CAPACITY, -32003, BUS_ERROR_AT_CAPACITY)                   \
        X(RPC_AGENT_NOT_AVAILABLE, -32004, BUS_ERROR_AGENT_NOT_AVAILABLE)   \
        X(RPC_NOT_ALLOWED, -32005, BUS_ERROR_NOT_ALLOWED)                   \
        X(RPC_WORKSPACE_FAILED, -32006, BUS_ERROR_WORKSPACE_FAILED)         \
        X(RPC_NOT_ACTIVE, -32007, BUS_ERROR_NOT_ACTIVE)                     \
        X(RPC_DRAINING, -32008, BUS_ERROR_DRAINING)                         \
        X(RPC_LOW_DISK, -32009, BUS_ERROR_LOW_DISK)                         \
        X(RPC_WRONG_STATE, -32010, BUS_ERROR_WRONG_STATE)                   \
        X(RPC_STALE_STORE, -32011, NULL)                                    \
        X(RPC_MACHINE_BUSY, -32012, BUS_ERROR_MACHINE_BUSY)

#define RPC_CODE_ENUMERATOR(symbol, code, bus_error) symbol = (code),
typedef enum RpcCode { RPC_CODES(RPC_CODE_ENUMERATOR) } RpcCode;

/* Of the same table for programs that list it: errors that only D-Bus has are in it with the code 0. */
typedef struct ErrorCode {
        int code;
        const char *symbol;    /* "RPC_PARSE_ERROR" */
        const char *bus_error; /* with the prefix, or NULL */
} ErrorCode;
extern const ErrorCode error_codes[];
extern const size_t error_codes_n;

/* The error on D-Bus that stands for the code in an answer; BUS_ERROR_FAILED where none does. */
const char *rpc_code_bus_error(int64_t code);

/* Appends the error object of a response: code, message, and in its member data the conversation and the detail, which may
 * be NULL. Returns what buffer_append_str() does: a failure stays with the buffer. */
int rpc_error_append(Buffer *b, int code, const char *message, const char *conversation, const char *detail);
