/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

#define BUS_CALLS_MAX 256

/* Calls the runner's method table. reply NULL: an empty reply. Returns 1 (the reply comes by itself), or negative with error
 * set. params is taken over. */
int bus_call(
        BusObjects *b,
        sd_bus_message *request,
        const Caller *caller,
        const char *method,
        Json *params_consume,
        BusReply reply,
        sd_bus_error *error);
void bus_calls_cancel(BusObjects *b);
