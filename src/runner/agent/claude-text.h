/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"

/* JSON text that is remembered of a line, as it stands there; NULL is none. */

/* Puts a copy in the place of *p. 0 or -ENOMEM. */
int claude_set_text(char **p, Slice value);
bool claude_text_equal(const char *text, Slice value);
