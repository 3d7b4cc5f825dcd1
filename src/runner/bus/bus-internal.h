/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/bus-text.h"
#include "runner/bus/access.h"
#include "runner/bus/bus-reply.h"
#include "runner/bus/bus.h"
#include "runner/bus/object-index.h"
#include "runner/runner-status.h"

/* What the objects have in common: what is registered where, one conversation's object, and a call that is being answered. */

typedef struct BusCall BusCall;
typedef struct BusWorkspaceCall BusWorkspaceCall;
typedef struct BusAudit BusAudit;

/* Of a conversation's properties. */
typedef struct ConversationValues {
        const char *id, *task, *agent, *state, *scope;
        uint64_t started_usec, last_event_usec, turns, input_tokens, output_tokens;
        double cost_usd;
} ConversationValues;

struct ConversationObject {
        ConversationObject *next, *previous; /* in the index */
        ObjectIndex *index;
        BusObjects *bus_objects;
        Conversation *conversation;
        char *path;
        bool announced, changed, events;
        ConversationValues kept; /* as last announced, so that a signal says what changed and nothing else */
};

struct BusObjects {
        Runner *runner;
        Methods *methods;
        sd_bus *bus;
        Access *access;
        BusAudit *audit;
        ObjectIndex index; /* of the conversations' objects, which it owns */
        uint64_t listed;   /* for a test that counts */
        bool manager_changed;
        RunnerStatus manager_kept; /* the same */
        sd_event_source *flush;
        uint64_t last_flush_usec;
        BusCall *calls;
        BusWorkspaceCall *workspace_calls;
        unsigned n_calls;
        sd_bus_slot *manager_slot, *conversation_slot, *enumerator_slot, *object_manager_slot,
                *log_control_slot, *guard_slot;
};

/* Makes the reply to a request out of a call's result. */
typedef int (*BusReply)(sd_bus_message *request, Json *result);

/* What all methods of both interfaces have in common. Each is a row: who may call it, and either the
 * protocol's method that it stands for, or a function that answers by itself. */
typedef struct BusRequest {
        BusObjects *bus_objects;
        Conversation *conversation; /* NULL: the manager's */
        sd_bus_message *message;
        Caller caller;
} BusRequest;

typedef struct BusMethod {
        const char *name;
        AccessLevel level;
        bool reads_only; /* changes nothing */
        bool waits; /* replied to when the work is done, and held until then: arguments up to BUS_CALL_HELD_MAX */
        const char *method; /* "conversation.stop"; NULL: answer */
        /* Puts the arguments into params, which names the conversation already. NULL: there are none. */
        int (*parse)(sd_bus_message *m, Json *params, sd_bus_error *error);
        BusReply reply; /* NULL: an empty one */
        int (*answer)(const BusRequest *q, sd_bus_error *error);
} BusMethod;
