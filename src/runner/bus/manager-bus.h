/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* The manager's object, with its methods and properties. */

/* Registers it on the bus; b owns the slot. 0 or negative errno. */
int manager_bus_register(BusObjects *b);
/* PropertiesChanged for what differs from the snapshot, which then is what it is now. */
void manager_bus_announce(BusObjects *b);
/* The values as they are now, for the caller to give to manager_snapshot_done(). 0 or -ENOMEM. */
int manager_snapshot_take(Runner *r, ManagerSnapshot *ret);
void manager_snapshot_done(ManagerSnapshot *s);
