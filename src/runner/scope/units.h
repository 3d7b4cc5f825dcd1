/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/util.h"

/* What PID 1 (or the user manager) says of our scopes. */
typedef struct Units Units;

/* The scope changed or was removed: query it again. unit is its name. */
typedef void (*UnitsCallback)(const char *unit, void *userdata);

/* Installs the matches and subscribes; asynchronous, the callback may come at once. */
int units_new(sd_bus *bus, UnitsCallback callback, void *userdata, Units **ret);
Units *units_free(Units *u);
DEFINE_TRIVIAL_CLEANUP_FUNC(Units *, units_free);

/* Names of our loaded scopes, once, at start, after the matches are in: the one call that waits for its answer, since
 * nothing may continue before it. */
int units_list(Units *u, char ***ret);

/* systemd's Result of a scope that ended ("success", "oom-kill", "timeout", …): asynchronous; result NULL where PID 1
 * does not know the unit any more. Dropped with the slot. */
typedef void (*UnitsResult)(const char *result, void *userdata);
int units_get_result(Units *u, const char *unit, UnitsResult callback, void *userdata, sd_bus_slot **ret);
