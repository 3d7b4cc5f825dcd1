/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* Of a call whose reply waits for the work: it is held until then. A value counts a KiB besides its text. */
#define BUS_CALL_HELD_MAX ((size_t) 16 * 1024)

/* The handler of a message whose member is a row of methods (the list ends with a NULL name): check the caller, parse,
 * call or answer. c: the conversation that it is about, or NULL. Returns 1 where a reply was sent or comes by itself, or the
 * caller is not known yet (the message is dispatched again then); negative with error set. */
int bus_method_run(
        BusObjects *b,
        const BusMethod *methods,
        Conversation *c,
        sd_bus_message *m,
        sd_bus_error *error);
