/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"

/* The agent of our own: every message is a shell script. */
extern const DriverOps shell_driver_ops;
