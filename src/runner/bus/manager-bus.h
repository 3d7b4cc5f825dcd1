/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* The manager's object, with its methods and properties. */

/* Registers it on the bus; b owns the slot. 0 or negative errno. */
int manager_bus_register(BusObjects *b);
/* PropertiesChanged for what differs from the values that are kept, which then are what it is now. */
void manager_bus_announce(BusObjects *b);
/* Keeps the values as they are now without a signal. 0 or -ENOMEM. */
int manager_bus_keep(BusObjects *b);
/* Frees them. */
void manager_bus_done(BusObjects *b);
