/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"

/* Has no protocol and is not found: in place of a driver that is not to be had. It takes every state, and knows of nothing. */
extern const DriverOps none_driver_ops;
