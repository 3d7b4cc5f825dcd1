/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "runner/runner.h"

/* What is done a little later, and every minute: cursors are stored, the disk is checked, what has ended is forgotten, and
 * what could not be sent or written is tried again. */
typedef struct Housekeeping Housekeeping;

/* r is borrowed. */
int housekeeping_new(sd_event *event, Runner *r, Housekeeping **ret);
Housekeeping *housekeeping_free(Housekeeping *h);
/* There is something to store or to tidy: a little later, once for many. */
void housekeeping_arm(Housekeeping *h);

/* Stores what was not worth a transaction of its own, and tidies the list. */
void runner_flush_cursors(Runner *r);
/* The same now, and sends what is queued and a heartbeat. */
int runner_flush(Runner *r);
