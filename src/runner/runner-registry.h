/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation.h"

/* The conversations that are in memory: those that live, and those that have ended and are not forgotten yet. The
 * registry does not own them. */
typedef struct Registry Registry;

/* If more conversations that have ended are in memory, the oldest of them is forgotten (its files stay until they are
 * old). */
#define ENDED_KEPT_MAX 64
/* If this many conversations that have ended wait for the orchestrator's acknowledgement, the orchestrator can start no
 * new one. */
#define ENDED_WAITING_MAX 1024

int registry_new(Registry **ret);
/* The registry is empty by then, or its contents have no owner any more. */
Registry *registry_free(Registry *g);

/* Adds the conversation as the last one. */
void registry_add(Registry *g, Conversation *c);
void registry_remove(Registry *g, Conversation *c);
/* A conversation has ended, or lives again: called after its state has changed. */
void registry_count_end(Registry *g);
void registry_count_resume(Registry *g);

/* Steps through the conversations in the order in which they were added: NULL begins, and ends. A conversation may be
 * removed once the next one is known. */
Conversation *registry_next(const Registry *g, const Conversation *after);
/* Returns the conversation with that id; NULL: it is not in memory. */
Conversation *registry_find(const Registry *g, const char *id);
unsigned registry_count_live(const Registry *g);
unsigned registry_count_ended(const Registry *g);
/* Returns how many conversations have ended and wait for the orchestrator's acknowledgement; 0: fewer than
 * ENDED_WAITING_MAX. */
unsigned registry_count_waiting(const Registry *g);
