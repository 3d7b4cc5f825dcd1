/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/link.h"
#include "runner/run/run-context.h"
#include "runner/runner-announce.h"
#include "runner/runner-registry.h"

/* The end of the machine, and of this program. */
typedef struct Shutdown Shutdown;

/* All are borrowed. No other part sets ctx->shutting_down. */
int shutdown_new(RunContext *ctx, const Registry *conversations, Announcer *announcer, Shutdown **ret);
Shutdown *shutdown_free(Shutdown *s);
/* Watches for a shutdown of the machine from now on. ctx has its bus by then. */
int shutdown_open(Shutdown *s);
/* Sets the link that sends the reports; without one, the runner does not wait for them. Borrowed. */
void shutdown_set_link(Shutdown *s, Link *link);
/* Checks again: something was ended or acknowledged that a shutdown may wait for. */
void shutdown_check(Shutdown *s);
/* Stops a conversation that was read from the store again after all were stopped. False: none was. */
bool shutdown_stop_late(Shutdown *s, Conversation *c);
/* Handles SIGTERM: exits at once, or after the last reports if the machine goes down. */
int shutdown_exit(Shutdown *s);
