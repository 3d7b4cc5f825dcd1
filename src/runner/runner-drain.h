/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/run/run-context.h"
#include "runner/runner-announce.h"
#include "runner/runner-registry.h"
#include "runner/runner-shutdown.h"

/* Draining: nothing new is taken, and what is here is ended in good order. */
typedef struct Drain Drain;

/* All are borrowed. */
int drain_new(
        const RunContext *ctx,
        const Registry *conversations,
        Shutdown *shutdown,
        Announcer *announcer,
        Drain **ret);
Drain *drain_free(Drain *d);
/* Something changed that may let a conversation end, or the program. */
void drain_check(Drain *d);
/* Stops one that was read from the store again after the deadline had passed. False: it has not. */
bool drain_stop_late(Drain *d, Conversation *c);
/* deadline_usec: then the remaining conversations are stopped; USEC_INFINITY: never. */
void drain_set(Drain *d, bool draining, uint64_t deadline_usec);
/* The same for the next start: into the store, as part of an open transaction where there is one, … */
int drain_store(Drain *d, bool draining, uint64_t deadline_usec);
/* … out of it, … */
void drain_load(Drain *d);
/* … and on with it. */
void drain_resume(Drain *d);
bool drain_is_on(const Drain *d);
/* Conversations when it began. */
unsigned drain_get_total(const Drain *d);
