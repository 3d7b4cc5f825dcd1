/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "common/util.h"
#include "runner/agent/driver.h"

/* One conversation: its rows in the store, its runs, its agent. */
typedef struct Conversation Conversation;

/* What it is started with is kept for as long as it lives: so many values, and so many bytes of JSON beside the prompt. */
#define CONVERSATION_VALUES_MAX ((size_t) 4096)
#define CONVERSATION_BYTES_MAX ((size_t) 1024 * 1024)

const char *conversation_id(Conversation *c);
const char *conversation_task(Conversation *c); /* "" where there is none */
const char *conversation_agent(Conversation *c);
/* What people and the orchestrator are shown of its state. */
typedef enum ConversationPhase {
        PHASE_NONE,
        PHASE_STARTING,
        PHASE_IDLE,
        PHASE_RUNNING,
        PHASE_WAITING_PERMISSION,
        PHASE_FROZEN,
        PHASE_STOPPING,
        PHASE_ENDED,
        _PHASE_MAX,
} ConversationPhase;
ConversationPhase conversation_phase(Conversation *c); /* never PHASE_NONE */
/* The same as text: starting, idle, running, waiting-permission, frozen, stopping, ended */
const char *conversation_state(Conversation *c);
const char *conversation_scope(Conversation *c);     /* unit name, "" while there is none */
uint64_t conversation_started_usec(Conversation *c); /* CLOCK_REALTIME */
uint64_t conversation_last_event_usec(Conversation *c);
uint64_t conversation_turns(Conversation *c);
uint64_t conversation_input_tokens(Conversation *c);
uint64_t conversation_output_tokens(Conversation *c);
double conversation_cost_usd(Conversation *c);
bool conversation_is_live(Conversation *c); /* not ended */
bool conversation_is_stopping(
        const Conversation *c); /* a stop was ordered; true as well of what that has ended */

bool conversation_is_frozen(Conversation *c);
/* Asks for what changes without a notice (the filter of addresses), and reports it as an event if it has. */
void conversation_check_filter(Conversation *c);

/* What it was started with, the prompt included: read from the text in its row, or from the store. */
int conversation_all_params(Conversation *c, Json **ret);
/* Into c->params, without the prompt, where it is not there. */
int conversation_take_params(Conversation *c);
/* Of one that has ended: what it was started with is the store's alone, until conversation_take_params(). */
void conversation_shrink(Conversation *c);
/* What is configured of its agent now. */
void conversation_take_agent_config(Conversation *c);
/* Up to here its newest run was read. */
uint64_t conversation_driven(Conversation *c);
int conversation_store_row(Conversation *c);
/* For a run with that spec (NULL: it cannot be read): never NULL, but none_driver_ops where there is none. */
const DriverOps *conversation_driver(Conversation *c, Json *spec);
/* Whether its agent may still be started: it is in the configuration, or needs not be. */
bool conversation_knows_agent(Conversation *c);
void conversation_usage(Conversation *c, DriverUsage *ret);
/* The same as an object of the protocol; NULL: out of memory. */
Json *conversation_usage_json(Conversation *c);
/* The rule by which the administrator trusts what it works on, as its newest run was started; NULL: none. */
const char *conversation_trusted_by(Conversation *c);
