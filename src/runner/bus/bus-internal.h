/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/bus-text.h"
#include "runner/bus/access.h"
#include "runner/bus/bus-reply.h"
#include "runner/bus/bus.h"

/* What the files of this folder know of one another. */

typedef struct ConversationObject ConversationObject;
typedef struct BusCall BusCall;
typedef struct BusWorkspaceCall BusWorkspaceCall;
typedef struct BusAudit BusAudit;

/* The values that were last announced, so that a signal says what changed and nothing else. */
typedef struct ManagerSnapshot {
        char *runner_id, *runner_uid, *state, *orchestrator_url;
        const char *refusing;
        bool connected, active, draining;
        uint32_t conversations, capacity;
} ManagerSnapshot;

typedef struct ConversationSnapshot {
        char *state, *scope;
        uint64_t started_usec, last_event_usec, turns, input_tokens, output_tokens;
        double cost_usd;
} ConversationSnapshot;

struct ConversationObject {
        ConversationObject *next, *previous;
        BusObjects *bus_objects;
        Conversation *conversation;
        char *path;
        bool announced, changed, events;
        ConversationSnapshot snapshot;
};

#define BUS_CALLS_MAX 256
/* Of a call whose reply waits for the work: it is held until then. A value counts a KiB besides its text. */
#define BUS_CALL_HELD_MAX ((size_t) 16 * 1024)

struct BusObjects {
        Runner *runner;
        sd_bus *bus;
        Access *access;
        BusAudit *audit;
        ConversationObject *conversations, *last;
        void *by_path, *by_conversation; /* of tsearch(3) */
        struct {
                uint64_t compared, listed;
        } cost; /* for a test that counts */
        bool manager_changed;
        ManagerSnapshot manager_snapshot;
        sd_event_source *flush;
        uint64_t last_flush_usec;
        BusCall *calls;
        BusWorkspaceCall *workspace_calls;
        unsigned n_calls;
        sd_bus_slot *manager_slot, *conversation_slot, *enumerator_slot, *object_manager_slot,
                        *log_control_slot, *guard_slot;
};

#define BUS_ERROR_PREFIX "org.northflare.Runner1.Error."

/* manager-bus.c */
int manager_bus_register(BusObjects *b);
/* PropertiesChanged for what differs from the snapshot, which then is what it is now. */
void manager_bus_announce(BusObjects *b);
void manager_snapshot_done(ManagerSnapshot *s);
int manager_snapshot_take(Runner *r, ManagerSnapshot *ret);

/* conversation-bus.c */
int conversation_bus_register(BusObjects *b);
void conversation_bus_announce(ConversationObject *o);
int conversation_object_new(BusObjects *b, Conversation *c, ConversationObject **ret);
ConversationObject *conversation_object_free(ConversationObject *o);

/* object-index.c */
int bus_add_object(BusObjects *b, ConversationObject *o);
void bus_remove_object(BusObjects *b, ConversationObject *o);
/* Those that lists show, in their order, at most BUS_OBJECTS_MAX; an array for the caller to free. */
int bus_list_objects(BusObjects *b, ConversationObject ***ret, size_t *ret_n);
ConversationObject *bus_find_path(BusObjects *b, const char *path);
ConversationObject *bus_find_conversation(BusObjects *b, Conversation *c);

/* bus-guard.c: before all objects */
int bus_guard_register(BusObjects *b);

/* log-control.c */
int log_control_register(BusObjects *b);

/* Makes the reply to a request out of a call's result. */
typedef int (*BusReply)(sd_bus_message *request, Json *result);

/* bus-method.c: what all methods of both interfaces have in common. Each is a row: who may call it, and either the
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
        bool looks; /* changes nothing */
        bool waits; /* replied to when the work is done, and held until then: arguments up to BUS_CALL_HELD_MAX */
        const char *method; /* "conversation.stop"; NULL: answer */
        /* Puts the arguments into params, which names the conversation already. NULL: there are none. */
        int (*parse)(sd_bus_message *m, Json *params, sd_bus_error *error);
        BusReply reply; /* NULL: an empty one */
        int (*answer)(const BusRequest *q, sd_bus_error *error);
} BusMethod;

/* The handler of a message whose member is a row of methods (the list ends with a NULL name): check the caller, parse,
 * call or answer. c: the conversation that it is about, or NULL. */
int bus_method_run(
                BusObjects *b,
                const BusMethod *methods,
                Conversation *c,
                sd_bus_message *m,
                sd_bus_error *error);
int bus_invalid_argument(sd_bus_error *error, const char *text);

/* figures-bus.c: methods of the manager */
int figures_bus_resources(const BusRequest *q, sd_bus_error *error);
int figures_bus_totals(const BusRequest *q, sd_bus_error *error);

/* workspace-bus.c: methods of the manager */
int workspace_bus_list(const BusRequest *q, sd_bus_error *error);
int workspace_bus_describe(const BusRequest *q, sd_bus_error *error);
int workspace_bus_remove(const BusRequest *q, sd_bus_error *error);
void workspace_bus_cancel(BusObjects *b);

/* bus-audit.c: writes a call down; refusal: why not, NULL where it is allowed. What it still holds it writes at the free. */
int bus_audit_new(BusObjects *b, BusAudit **ret);
BusAudit *bus_audit_free(BusAudit *a);
void bus_audit(BusAudit *a, const BusMethod *row, const BusRequest *q, const char *refusal);

/* bus-call.c: the runner's method table. reply NULL: an empty reply. Returns 1 (the reply comes by itself), or
 * negative with error set. params is taken over. */
int bus_call(BusObjects *b,
             sd_bus_message *request,
             const Caller *caller,
             const char *method,
             Json *params_consume,
             BusReply reply,
             sd_bus_error *error);
void bus_calls_cancel(BusObjects *b);
/* The D-Bus error of a JSON-RPC error object; negative. */
int bus_error_set_json(sd_bus_error *error, Json *e);

/* variant-json.c: the next argument, a{sv} or a{st}, as an object. -EINVAL: error names the key; a key twice is an error too. */
int bus_message_read_json(sd_bus_message *m, const char *contents, Json **ret, sd_bus_error *error);

typedef struct BusKey {
        const char *name;
        json_type type;
} BusKey;
/* Each member of o must be listed (the list ends with a NULL name) and have its type. Takes the member "json", a
 * text, out of o and puts its members in, unless they are there. */
int bus_check_keys(Json *o, const BusKey *keys, sd_bus_error *error);
/* Both, for the next argument, an a{sv}; what it has is put beside what params has. */
int bus_message_read_params(sd_bus_message *m, const BusKey *keys, Json *params, sd_bus_error *error);
