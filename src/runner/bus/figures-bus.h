/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* Methods of the manager about statistics. */
int figures_bus_resources(const BusRequest *q, sd_bus_error *error);
int figures_bus_totals(const BusRequest *q, sd_bus_error *error);
