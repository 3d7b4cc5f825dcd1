/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "runner/method/method-entry.h"
#include "runner/runner.h"

/* The runner on D-Bus: /org/northflare/Runner1, one object for each conversation, and LogControl1. Every method is
 * the same four steps: check the caller, parse, call the runner, reply. The name is requested by the caller of this. */
typedef struct BusObjects BusObjects;

#define BUS_NAME "org.northflare.Runner1"
#define BUS_PATH_MANAGER "/org/northflare/Runner1"
#define BUS_PATH_CONVERSATIONS "/org/northflare/Runner1/conversation"
#define BUS_INTERFACE_MANAGER "org.northflare.Runner1.Manager"
#define BUS_INTERFACE_CONVERSATION "org.northflare.Runner1.Conversation"

/* Registers the objects and becomes the runner's observer. bus must be attached to the runner's loop; r, m and bus
 * outlive the result. Returns 0 or negative errno. */
int bus_objects_new(Runner *r, Methods *m, sd_bus *bus, BusObjects **ret);
/* Calls under way lose their reply, not their effect. */
BusObjects *bus_objects_free(BusObjects *b);
DEFINE_TRIVIAL_CLEANUP_FUNC(BusObjects *, bus_objects_free);
