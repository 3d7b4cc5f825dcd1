/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"

/* True where a member that is read stands twice in a valid line of Claude Code. */
bool claude_line_is_ambiguous(Slice line);
