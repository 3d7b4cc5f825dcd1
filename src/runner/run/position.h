/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"

/* A place in an agent's output: the driver's state there, and how many lines lie before it. The store keeps it beside the
 * offset, as JSON. */

int position_save(Driver *d, uint64_t lines, char **ret);
/* text NULL: the beginning. -EBADMSG: it is none. */
int position_load(const DriverOps *ops, Json *spec, const char *text, Driver **ret, uint64_t *ret_lines);
/* The number of lines alone; 0 for NULL. */
uint64_t position_lines(const char *text);
