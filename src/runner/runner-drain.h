/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/run/run-context.h"
#include "runner/runner-announce.h"
#include "runner/runner-registry.h"
#include "runner/runner-shutdown.h"

/* Draining: nothing new is accepted, and what is here is ended in good order. */
typedef struct Drain Drain;

/* All are borrowed. */
int drain_new(
        const RunContext *ctx,
        const Registry *conversations,
        Shutdown *shutdown,
        Announcer *announcer,
        Drain **ret);
Drain *drain_free(Drain *d);
/* Checks again: something changed that may let a conversation end, or the program. */
void drain_check(Drain *d);
/* Stops a conversation that was read from the store again after the deadline had passed. False: the deadline has not
 * passed. */
bool drain_stop_late(Drain *d, Conversation *c);
/* Begins or ends draining. deadline_usec: the time at which the remaining conversations are stopped; USEC_INFINITY:
 * never. */
void drain_set(Drain *d, bool draining, uint64_t deadline_usec);
/* Stores that for the next start, as part of an open transaction where there is one. */
int drain_store(Drain *d, bool draining, uint64_t deadline_usec);
/* Reads it from the store. */
void drain_load(Drain *d);
/* Continues with what was read. */
void drain_resume(Drain *d);
bool drain_is_on(const Drain *d);
/* Returns how many conversations there were when draining began. */
unsigned drain_get_total(const Drain *d);
