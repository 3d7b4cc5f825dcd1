/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"

/* Who reads a run's output. */

/* The driver for a run with that spec (NULL: it cannot be read, or is not made yet) of the agent of that name.
 * agent_config: what is configured of it, or NULL. Never NULL, but none_driver_ops where there is none. */
const DriverOps *run_agent_driver(const char *agent, Json *agent_config, Json *spec);
/* The error text for an agent that is not configured, and for a run that cannot be read; for the caller to free, NULL:
 * out of memory. */
char *run_unknown_agent_text(const char *agent);
char *run_unread_text(const char *agent);
