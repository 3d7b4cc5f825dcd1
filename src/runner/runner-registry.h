/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* The conversations that are in memory: those that live, and those that have ended and are not forgotten yet. The registry
 * does not own them. */
typedef struct Registry Registry;

/* Above so many the oldest that ended is forgotten (its files stay until they are old). */
#define ENDED_KEPT_MAX 64
/* So many that ended and wait for the orchestrator's acknowledgement, and no new one of its is taken. */
#define ENDED_WAITING_MAX 1024

int registry_new(Registry **ret);
/* It is empty by then, or its contents have no owner any more. */
Registry *registry_free(Registry *g);

/* As the last one. */
void registry_add(Registry *g, Conversation *c);
void registry_remove(Registry *g, Conversation *c);
/* One of them has ended, or lives again: to be said once its state is the new one. */
void registry_count_end(Registry *g);
void registry_count_resume(Registry *g);

/* In the order in which they were added: NULL begins, and ends. One that was asked for may be removed while the next one is
 * known already. */
Conversation *registry_next(const Registry *g, const Conversation *after);
/* NULL: there is none of that id in memory. */
Conversation *registry_find(const Registry *g, const char *id);
unsigned registry_count_live(const Registry *g);
unsigned registry_count_ended(const Registry *g);
/* Those that ended and wait for the orchestrator's acknowledgement; 0: fewer than ENDED_WAITING_MAX. */
unsigned registry_count_waiting(const Registry *g);
