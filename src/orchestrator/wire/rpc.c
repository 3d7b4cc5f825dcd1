/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "orchestrator/wire/rpc.h"

int rpc_refuse(RpcError *e, int code, const char *format, ...) {
        va_list ap;

        e->code = code;
        va_start(ap, format);
        (void) vsnprintf(e->text, sizeof(e->text), format, ap);
        va_end(ap);
        return 1;
}
