/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/conversation/conversation-internal.h"
#include "test-server.h"

/* What the tests of ended conversations share: a store, a server that stands for the orchestrator, and a sender between
 * them. Failures fail the test. */

typedef struct EndedPlace {
        char path[64];
        int fd;
        RunnerConfig config;
        ConversationContext ctx;
        TestServer *server;
        HttpClient *http;
} EndedPlace;

/* The sender is off at first. handler and hooks get userdata. */
void ended_place_open(EndedPlace *p, TestHandler handler, const ConversationHooks *hooks, void *userdata);
/* After the conversations have been freed. */
void ended_place_close(EndedPlace *p);
/* A hook that does nothing. */
void ended_place_ignore(Conversation *c, void *userdata);

/* The position of a run behind so many lines of output, for the caller to free. protocol: of its driver. */
char *ended_place_state(const char *protocol, unsigned lines);
/* Stores a conversation and its run, and makes an object of them. Unless the run is delivered, its last event is
 * conversation.ended with members, and end_id as id; NULL: one is chosen. Takes what row owns. */
Conversation *ended_place_add(
        EndedPlace *p,
        ConversationRow *row,
        const RunRow *run,
        const char *end_id,
        const char *members);
