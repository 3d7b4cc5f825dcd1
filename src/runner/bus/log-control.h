/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

int log_control_register(BusObjects *b);
