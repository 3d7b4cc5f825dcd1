/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/rpc-error.h"

/* What is wrong with a request, for its sender. Functions that take one return 1 with it filled where they refuse,
 * 0 where they did what was asked, and a negative errno where they failed. */
typedef struct RpcError {
        int code;
        char text[256];
} RpcError;

/* Fills *e. Returns 1. */
int rpc_refuse(RpcError *e, int code, const char *format, ...) _printf_(3, 4);
