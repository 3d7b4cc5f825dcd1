/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* What `top` shows of a snapshot. */

typedef enum TopSort {
        TOP_CPU,
        TOP_MEMORY,
        TOP_IO,
        TOP_TOKENS,
        TOP_COST,
} TopSort;

/* Adds to each conversation what it used a second since before (may be NULL): cpuPercent, ioReadRate, ioWriteRate, as far as
 * that can be computed from the two. Returns 0 or -ENOMEM. */
int top_add_rates(Json *snapshot, Json *before);
/* Puts the conversations into order, the greatest first. */
void top_sort(Json *snapshot, TopSort by);
/* Prints head and table; at most so many rows (0: all). Returns 0 or -ENOMEM. */
int top_print(Json *snapshot, size_t rows);
