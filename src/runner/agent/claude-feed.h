/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"

/* Lines of Claude Code, as in DriverOps. */
int claude_feed(Driver *d, const char *line, size_t size, uint64_t offset, const DriverSink *sink);
int claude_feed_oversize(
        Driver *d,
        const char *head,
        size_t head_size,
        uint64_t size,
        uint64_t offset,
        const DriverSink *sink);
