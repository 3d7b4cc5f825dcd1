/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/link.h"
#include "runner/run/run-context.h"
#include "runner/runner-announce.h"
#include "runner/runner-registry.h"

/* The end of the machine, and of this program. */
typedef struct Shutdown Shutdown;

/* All are borrowed. It is what sets ctx->shutting_down. */
int shutdown_new(RunContext *ctx, const Registry *conversations, Announcer *announcer, Shutdown **ret);
Shutdown *shutdown_free(Shutdown *s);
/* Once ctx has its bus: is notified of a shutdown of the machine from then on. */
int shutdown_open(Shutdown *s);
/* The link that sends the reports; without one, the runner does not wait for them. Borrowed. */
void shutdown_set_link(Shutdown *s, Link *link);
/* Something was ended or acknowledged that a shutdown may have waited for. */
void shutdown_check(Shutdown *s);
/* Stops one that was read from the store again after all were stopped. False: none was. */
bool shutdown_stop_late(Shutdown *s, Conversation *c);
/* For SIGTERM: leaves at once, or after the last reports where the machine goes down. */
int shutdown_exit(Shutdown *s);
