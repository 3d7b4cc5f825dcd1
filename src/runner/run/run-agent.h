/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"

/* The driver that reads a run's output. */

/* Returns the driver for a run of this agent with this spec (NULL: it cannot be read, or does not exist yet);
 * none_driver_ops where there is none, never NULL. agent_config: the agent's object in the configuration, or NULL. */
const DriverOps *run_agent_driver(const char *agent, Json *agent_config, Json *spec);
/* The error text for an agent that is not configured, and for a run that cannot be read; for the caller to free, NULL:
 * out of memory. */
char *run_unknown_agent_text(const char *agent);
char *run_unread_text(const char *agent);
