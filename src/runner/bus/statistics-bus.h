/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* Methods of the manager about statistics: ListResources() and ListTotals(). They reply by themselves and return 1, or
 * negative where nothing was sent. */
int statistics_bus_resources(const BusRequest *q, sd_bus_error *error);
int statistics_bus_totals(const BusRequest *q, sd_bus_error *error);
