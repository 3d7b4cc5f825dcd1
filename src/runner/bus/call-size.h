/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include <systemd/sd-bus.h>

/* About how many bytes a method call costs as long as it waits for something, its arguments as JSON included; counted no
 * further than behind max. The message is at its beginning afterwards. The bus carries up to 32 MiB in one. Negative errno. */
int call_size(sd_bus_message *m, size_t max, size_t *ret);
