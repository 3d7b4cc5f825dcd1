/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/runner.h"

/* Work that is done a little later, and every minute: cursors are stored, the disk is checked, conversations that have
 * ended are forgotten, and failed reads and writes are tried again. */
typedef struct Housekeeping Housekeeping;

/* r is borrowed. */
int housekeeping_new(sd_event *event, Runner *r, Housekeeping **ret);
Housekeeping *housekeeping_free(Housekeeping *h);
/* Schedules the work, a little later: once for many calls. */
void housekeeping_arm(Housekeeping *h);

/* Stores the cursors, which are not worth a transaction of their own, and forgets conversations that have ended. */
void runner_flush_cursors(Runner *r);
/* Does the same, and sends the queued events and a heartbeat now. */
int runner_flush(Runner *r);
