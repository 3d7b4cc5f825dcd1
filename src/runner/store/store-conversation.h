/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/state.h"
#include "runner/store/store.h"

/* Conversations and runs. */

typedef struct ConversationRow {
        char *id, *workspace, *task, *agent, *origin; /* origin: "orchestrator" or "local" */
        char *params;                                 /* of conversation.start, JSON text */
        char *session;                                /* agent's session id, or NULL */
        ConversationState state;                      /* changed by conversation_row_set_state() alone */
        EndReason reason;                             /* the same by conversation_row_set_reason() */
        char *unknown; /* a spelling of its state, or else of its reason, that this program does not know; or NULL; not put */
        char *detail;             /* JSON text: what conversation.ended said; or NULL */
        char *directory, *branch; /* of the checkout, or NULL */
        unsigned run;             /* the newest run, from 1 */
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
        RunState state;           /* changed by run_row_set_state() alone */
        char *unknown;            /* a spelling of it that this program does not know; or NULL; not put */
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
        unsigned
                conclusion_crashes; /* how often the runner died while it concluded the run; not put by store_put_run() */
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
