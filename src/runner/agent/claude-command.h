/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/claude-internal.h"

/* What goes into Claude Code. */

/* The first line, which asks it to initialize. 0 or -ENOMEM. */
int claude_begin(Claude *c, Buffer *ret_lines);
/* As in DriverOps. */
int claude_command(Driver *d, const DriverCommand *cmd, Buffer *ret_lines, char **ret_error);
