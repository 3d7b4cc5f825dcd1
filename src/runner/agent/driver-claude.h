/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"

/* Claude Code. */
extern const DriverOps claude_driver_ops;
