/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/claude-internal.h"
#include "runner/agent/driver-feed.h"

/* The line that ends a turn. 0, or what feed_end() returned. */
int claude_feed_result(Claude *c, DriverFeed *f, Slice line);
