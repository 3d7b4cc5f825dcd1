/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/bus/bus-reply.h"

/* Arguments of a call as JSON. */

/* The next argument, a{sv} or a{st}, as an object. -EINVAL: error names the key; a key twice is an error too. */
int bus_message_read_json(sd_bus_message *m, const char *contents, Json **ret, sd_bus_error *error);

typedef struct BusKey {
        const char *name;
        json_type type;
} BusKey;
/* The same of an a{sv}: each key must be listed (the list ends with a NULL name) and have its type. Members of the text in
 * "json" count as well, where they are not given by themselves. All is put beside what params has. */
int bus_message_read_params(sd_bus_message *m, const BusKey *keys, Json *params, sd_bus_error *error);
