/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json-scan.h"
#include "common/json.h"

/* Events as JSON. What is in them is an agent's, and a tree of it may take fifty times the memory of its text. */

/* A tree of all of it (whole: at most JSON_VALUES_MAX values), or of the members that are plain values, in params and
 * params.event, with the sizes of the others in a member "cut" beside them. For the caller to free. NULL: it is not JSON, or
 * there is no memory. */
Json *event_take_apart(Slice event, bool *ret_whole);

/* Where an event of ReadEvents() was cut: the cursor to fetch all of it with, for the caller to free. NULL: it is whole. */
char *event_cut_cursor(const char *event);
