/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "common/util.h"

/* The runner's memory: one SQLite database in WAL mode with synchronous=FULL. Every function is one transaction of
 * its own unless a store_begin() is open; then it is part of that one. Text arguments are copied, returned ones
 * belong to the caller. Errors are negative errnos: -ENOSPC (disk full), -EIO, -EUCLEAN (corrupt), -ENOMEM; after
 * an error inside store_begin() … store_commit() the commit rolls back and returns the first error. */
typedef struct Store Store;

#define STORE_SCHEMA_VERSION 4

/* Opens or makes dir/store.db and takes an exclusive lock (two runners on one store: -EBUSY). Upgrades an older
 * schema in one transaction. -EPROTONOSUPPORT: written by a newer program; -EMEDIUMTYPE: no store at all; -EUCLEAN:
 * damaged. *ret_error is a sentence. */
int store_open(int dirfd, const char *dir_path, Store **ret, char **ret_error);
Store *store_close(Store *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(Store *, store_close);

/* Beside store.db: who the runner is, for a store that has to be made anew; the same while one is; "look at all of it". */
#define STORE_IDENTITY_FILE "store.db-identity"
#define STORE_RECOVER_FILE "store.db-recover"
#define STORE_CHECK_FILE "store.db-check"
/* Renames a damaged store.db to store.db.corrupt-TIME (*ret_name) and makes STORE_RECOVER_FILE of the identity. */
int store_set_aside_damaged(int dirfd, char **ret_name);
/* The next opening reads the whole file, however large it is. */
int store_suspect(Store *s);
/* Called once, from inside whatever call meets damage first, which then returns -EUCLEAN: many callers take any error for
 * one that passes, and this one does not. The function must not use the store but for store_suspect(). */
void store_on_damage(Store *s, void (*damaged)(void *userdata), void *userdata);
/* A store made anew goes on as the one with this id (may be NULL), with numbers that the old one cannot have given. Does
 * nothing where it is that one already. */
int store_begin_anew(Store *s, const char *store_id, uint64_t generation);

/* Moves what the WAL holds into the database and gives freed pages back, a little at a time: for idle moments. Without it
 * SQLite does the former by itself inside some commit. Nothing happens inside a transaction. */
int store_checkpoint(Store *s);

/* Transactions nest by counting; only the outermost commits. */
int store_begin(Store *s);
int store_commit(Store *s);
void store_rollback(Store *s);

/* Identity and other single values: "storeId" (made at first open), "generation" (increased by
 * store_next_generation at every start), "cursor", "runnerId", "runnerUid", "activeUid", "registered", "draining",
 * "lastProcessedAt", "maxBodyBytes", "running" and "crashed" (runner-crash.c). get: 1, or 0 where there is none. set with NULL deletes. */
#define STORE_MAX_BODY_BYTES "maxBodyBytes"
int store_get(Store *s, const char *key, char **ret);
int store_set(Store *s, const char *key, const char *value);
int store_next_generation(Store *s, uint64_t *ret);

/* ---- inbound messages ---- */

typedef struct InboundMessage {
        int64_t seq;
        char *envelope_id;
        char *conversation; /* or NULL */
        char *method;
        char *params;     /* JSON text; NULL once the message is done: it is dropped then */
        char *request_id; /* JSON text of the JSON-RPC id, or NULL for a notification */
        char *response;   /* JSON text of the whole JSON-RPC response object, or NULL: not known yet */
        uint64_t received_usec;
} InboundMessage;
void inbound_message_done(InboundMessage *m);

/* Accepts: stores message, response to be and cursor (NULL: leave it) in one transaction. done: nothing is left to
 * do for it (else it stays pending until store_inbound_done). 1 and *ret_seq; 0 where the id was accepted before:
 * its stored response is then marked unsent again and the cursor is stored. */
int store_accept(Store *s, const InboundMessage *m, const char *cursor, bool done, int64_t *ret_seq);
int store_is_accepted(Store *s, const char *envelope_id); /* 1 or 0 */
int store_inbound_done(Store *s, int64_t seq);
int store_set_response(Store *s, int64_t seq, const char *response);
/* Calls cb for each pending message of that conversation (NULL: of all) in order of acceptance; cb returning
 * non-zero ends the walk and is returned. cb must not write to the store. */
typedef int (*InboundCallback)(const InboundMessage *m, void *userdata);
int store_pending_inbound(Store *s, const char *conversation, InboundCallback cb, void *userdata);
int64_t store_count_pending(Store *s, const char *conversation);
/* The next response after seq that is known and not acknowledged. 1, or 0 where there is none. Responses queue in the
 * order in which they became known: ret->seq is the place in that queue, the number that after_seq and upto_seq mean, and
 * not the message's own. */
int store_next_response(Store *s, int64_t after_seq, InboundMessage *ret);
int store_response_acked(Store *s, int64_t upto_seq);
/* The message that began this conversation (or its newest run), where the response to it was not acknowledged: who sent it
 * does not know then that it was taken in. 1 and its id, or 0. */
int store_unheard_start(Store *s, const char *conversation, char **ret_envelope_id);
/* Forgets ids that are done, acknowledged and older than both bounds. Returns how many; at
 * most some thousand in one call. */
int store_prune_inbound(Store *s, uint64_t older_than_usec, uint64_t keep_rows);

/* ---- conversations and runs ---- */

typedef struct ConversationRow {
        char *id, *workspace, *task, *agent, *origin; /* origin: "orchestrator" or "local" */
        char *params;                                 /* of conversation.start, JSON text */
        char *session;                                /* agent's session id, or NULL */
        char *state;                                  /* new, checkout, starting, live, ending, ended */
        char *reason;                                 /* of the end, or NULL */
        char *detail;                                 /* JSON text: what conversation.ended said; or NULL */
        char *directory, *branch;                     /* of the checkout, or NULL */
        unsigned run;                                 /* the newest run, from 1 */
        uint64_t created_usec, ended_usec;
        bool delivered; /* every event of every run acknowledged */
} ConversationRow;
void conversation_row_done(ConversationRow *r);

/* Inserts or replaces by id; params NULL: those that are there stay. */
int store_put_conversation(Store *s, const ConversationRow *r);
int store_get_conversation(Store *s, const char *id, ConversationRow *ret); /* 1 or 0 */
typedef int (*ConversationCallback)(const ConversationRow *r, void *userdata);
/* live_only: without those that are ended and delivered. */
int store_list_conversations(Store *s, bool live_only, ConversationCallback cb, void *userdata);
int store_set_delivered(Store *s, const char *id);
/* Those that are ended and delivered, the newest first, so many at the most. */
int store_list_ended(Store *s, unsigned max, ConversationCallback cb, void *userdata);
/* With its runs, input, events and what its messages said; their ids are remembered until they are pruned. */
int store_delete_conversation(Store *s, const char *id);

#define RUN_ID_SIZE 17
typedef struct RunRow {
        char *conversation;
        unsigned run;
        char run_id[RUN_ID_SIZE]; /* 16 hex digits, random: the first part of every event id */
        char *state;              /* preparing, starting, live, ended */
        char *unit;               /* the scope, or NULL before the start */
        char *invocation;         /* its invocation id, hex, or NULL */
        char *spec;               /* JSON text of spec.json */
        uint64_t driven;          /* out.log up to here: effects stored */
        char *driven_state;       /* driver state there, JSON text */
        uint64_t acked;           /* out.log up to here: acknowledged by the orchestrator */
        char *acked_state;        /* driver state there */
        int64_t acked_own;        /* own events up to this seq: acknowledged */
        uint64_t out_bytes;       /* final size of out.log; UINT64_MAX while it runs */
        uint64_t started_usec, ended_usec;
        unsigned conclusion_crashes; /* how often the runner died while it concluded the run; not put by store_put_run() */
        bool delivered;
} RunRow;
void run_row_done(RunRow *r);

int store_put_run(Store *s, const RunRow *r); /* insert or replace by (conversation, run) */
int store_get_run(Store *s, const char *conversation, unsigned run, RunRow *ret); /* 1 or 0 */
/* The runner died while it concluded this run. */
int store_count_conclusion_crash(Store *s, const char *conversation, unsigned run);
int store_set_driven(Store *s, const char *conversation, unsigned run, uint64_t offset, const char *state);
int store_set_acked(
                Store *s,
                const char *conversation,
                unsigned run,
                uint64_t offset,
                int64_t own_seq,
                const char *state,
                bool delivered);

/* ---- input: every byte of in.log ---- */

/* Stores a line for in.log behind the rows that are there; *ret_offset is where it will stand. inbound_seq: the
 * message that it renders (marked done in the same transaction), or 0. */
int store_render(
                Store *s,
                const char *conversation,
                unsigned run,
                const void *data,
                size_t size,
                int64_t inbound_seq,
                uint64_t *ret_offset);
typedef int (*InputCallback)(uint64_t offset, const void *data, size_t size, void *userdata);
/* Rows not yet known to be in the file, in order. */
int store_unwritten_input(
                Store *s,
                const char *conversation,
                unsigned run,
                InputCallback cb,
                void *userdata);
/* Known to be in the file up to here: the data of those rows is dropped, their sizes stay. Within a row: that row stays
 * whole. -ERANGE: behind all rows. */
int store_input_written(Store *s, const char *conversation, unsigned run, uint64_t upto);
/* Sum of all rows, and of the written ones. */
int store_input_size(
                Store *s,
                const char *conversation,
                unsigned run,
                uint64_t *ret_total,
                uint64_t *ret_written);
/* An in.log of size bytes, of which the store knows nothing else. */
int store_adopt_input(Store *s, const char *conversation, unsigned run, uint64_t size);

/* ---- the runner's own events ---- */

typedef struct OwnEvent {
        int64_t seq;        /* grows within the store */
        uint64_t at_offset; /* merged before the output line that begins here */
        char *message_id;
        char *method;
        char *members; /* JSON text inside params, without braces */
} OwnEvent;
void own_event_done(OwnEvent *e);

/* message_id NULL: "<run_id>:e<seq>", or "<storeId>:e<seq>" where that run is not in the store. conversation "" and run
 * 0: an event of the runner itself. */
int store_add_own_event(
                Store *s,
                const char *conversation,
                unsigned run,
                uint64_t at_offset,
                const char *message_id,
                const char *method,
                const char *members,
                int64_t *ret_seq);
/* The first with a greater seq: 1, or 0. */
int store_next_own_event(Store *s, const char *conversation, unsigned run, int64_t after_seq, OwnEvent *ret);
/* How many have a greater seq, in this run and later ones. */
uint64_t store_count_own_events(Store *s, const char *conversation, unsigned run, int64_t after_seq);
int store_delete_own_events(Store *s, const char *conversation, unsigned run, int64_t upto_seq);

/* ---- events that the orchestrator refused for good ---- */

/* Above so many the oldest is dropped. */
#define STORE_SET_ASIDE_MAX 10000

typedef struct SetAside {
        int64_t seq;
        char *message_id, *conversation, *json, *why;
        uint64_t when_usec;
} SetAside;
void set_aside_done(SetAside *e);
int store_set_aside(
                Store *s,
                const char *message_id,
                const char *conversation,
                const char *json,
                size_t size,
                const char *why);
typedef int (*SetAsideCallback)(const SetAside *e, void *userdata);
int store_list_set_aside(Store *s, SetAsideCallback cb, void *userdata);
uint64_t store_count_set_aside(Store *s);
int store_delete_set_aside(Store *s, int64_t seq);

/* ---- who had what done ---- */

/* Above so many of each (minor and not) the oldest is dropped. */
#define STORE_AUDIT_MAX 10000

/* Texts are borrowed, NULL where there is none. */
typedef struct AuditRow {
        int64_t seq;
        uint64_t when_usec;
        bool minor;          /* nothing was changed by it: refused, or only looked at */
        const char *kind;    /* call, permission, limits */
        const char *verdict; /* allowed or refused, allow or deny, asked or changed */
        const char *origin;  /* dbus, orchestrator, systemd */
        int64_t uid, pid;    /* of a caller on D-Bus; -1 and 0 else */
        const char *comm, *unit, *method, *conversation, *detail;
        uint64_t count; /* how many like this one were held together */
} AuditRow;
int store_audit_add(Store *s, const AuditRow *row);
typedef int (*AuditCallback)(const AuditRow *row, void *userdata);
/* The newest max, the oldest of them first. conversation NULL: of all. */
int store_audit_list(Store *s, const char *conversation, unsigned max, AuditCallback cb, void *userdata);
