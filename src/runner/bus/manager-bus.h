/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* The manager's object, with its methods and properties. */
int manager_bus_register(BusObjects *b);
/* PropertiesChanged for what differs from the snapshot, which then is what it is now. */
void manager_bus_announce(BusObjects *b);
void manager_snapshot_done(ManagerSnapshot *s);
int manager_snapshot_take(Runner *r, ManagerSnapshot *ret);
