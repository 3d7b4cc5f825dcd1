/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include <systemd/sd-bus.h>

/* About how many bytes a method call has, counted no further than behind max; the message is at its beginning afterwards.
 * A call that waits for something keeps all of them, and the bus carries up to 32 MiB in one. Negative errno. */
int call_size(sd_bus_message *m, size_t max, size_t *ret);
