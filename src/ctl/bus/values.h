/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/json.h"

/* Values of D-Bus as JSON. Results are for the caller to free. */

/* The next value of a message as JSON: dictionaries as objects, structures and arrays as arrays. Returns 1; 0 where there are
 * no more in this container; or negative errno. */
int read_value(sd_bus_message *m, Json **ret);
/* All properties of an interface as an object with their names. Returns 0, or negative errno with error set where the runner
 * has refused. */
int get_properties(const char *path, const char *interface, Json **ret, sd_bus_error *error);
