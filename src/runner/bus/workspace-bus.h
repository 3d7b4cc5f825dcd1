/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* Methods of the manager about workspaces: ListWorkspaces(), DescribeWorkspace(), RemoveWorkspace(). They reply by themselves,
 * the last two when a process of the agent user has inspected it, and return 1, or negative with error set
 * where nothing is sent. */
int workspace_bus_list(const BusRequest *q, sd_bus_error *error);
int workspace_bus_describe(const BusRequest *q, sd_bus_error *error);
int workspace_bus_remove(const BusRequest *q, sd_bus_error *error);
/* Calls under way lose their reply, not their effect. */
void workspace_bus_cancel(BusObjects *b);
