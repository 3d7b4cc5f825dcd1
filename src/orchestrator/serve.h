/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/command/options.h"

/* The verb serve: makes the database, the hub and the two HTTP servers, and runs them until a signal comes. Returns the exit
 * code, after a line in the log where it is not 0. */
int verb_serve(const Options *o, char *const *args);
