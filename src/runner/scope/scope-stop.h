/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Finds out whether systemd was asked to stop a scope whose supervisor left no report. A supervisor that gets SIGTERM
 * reports the sender; but systemd 257 gives up on SIGTERM at the first process that is just exiting ("Failed to
 * kill control group …: Invalid argument") and sends SIGKILL at once. The only trace then is the manager's own line in the
 * journal. */

/* Searches for the line with which the manager began to stop the unit, not older than since (CLOCK_REALTIME, µs; as is what
 * is returned). 1 and when; 0: there is none (yet), or the journal is not ours to read. */
int scope_stop_find(const char *unit, uint64_t since_usec, uint64_t *ret_usec);
