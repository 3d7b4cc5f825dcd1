/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/bus/bus-internal.h"

/* Registers org.freedesktop.LogControl1; b owns the slot. 0 or negative errno. */
int log_control_register(BusObjects *b);
