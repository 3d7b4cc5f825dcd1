/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"
#include "runner/conversation/conversation.h"

/* A conversation that has ended rests: all that it says is in the store and in its directory, and an orchestrator that
 * does not acknowledge can make many of them. What lists ask for stays in memory; the rest is read again for who
 * describes or resumes it, and for the sender when its turn comes. */
typedef struct Ended {
        unsigned run;    /* which has ended, 0: none */
        uint64_t driven; /* of that, as are … */
        uint64_t lines;
        char *scope, *limits; /* … its unit's name, and JSON text; or NULL */
        DriverUsage usage;
        bool forgotten; /* the longer members of the row */
} Ended;

void ended_done(Ended *e);
/* Frees what a conversation that has ended does not need until it is used again. Frees its run. */
void conversation_rest(Conversation *c);
/* All of it is in memory again, until conversation_rest(). */
int conversation_take_all(Conversation *c);
/* Of RunOps: it has ended, and its run is not in use. */
void conversation_on_released(void *userdata);
