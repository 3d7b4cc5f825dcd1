/* SPDX-License-Identifier: MIT */
#pragma once

/* What agents, repositories and orchestrators wrote may hold characters that sd-bus refuses. JSON text says them as escapes
 * (new memory, or NULL), other text has U+FFFD in their places. */
char *bus_json(const char *json);
char *bus_text(const char *text);
