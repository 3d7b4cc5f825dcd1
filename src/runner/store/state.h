/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* What a conversation and a run are in, why a conversation has ended, and why one is stopped. Text stands in the store, in JSON
 * and on D-Bus only; each enumeration has its table of spellings, and which state may follow which. The setters are in
 * state-step.h.
 *
 * ..._to_string() returns static text. ..._from_string() takes every spelling that a store may hold; NULL or an unknown spelling
 * is ..._UNKNOWN, and for a reason NULL is END_NONE. */

typedef enum ConversationState {
        CONVERSATION_NEW,
        CONVERSATION_CHECKOUT,
        CONVERSATION_STARTING, /* its checkout is there, and the launcher may have been asked */
        CONVERSATION_LIVE,     /* its agent was started */
        CONVERSATION_ENDED,
        CONVERSATION_UNKNOWN, /* the store has a spelling that this program does not know */
        _CONVERSATION_STATE_MAX,
} ConversationState;

typedef enum RunState {
        RUN_PREPARING,
        RUN_STARTING, /* the launcher may have been asked */
        RUN_LIVE,
        RUN_ENDED,
        RUN_UNKNOWN,
        _RUN_STATE_MAX,
} RunState;

typedef enum EndReason {
        END_NONE, /* it has not ended */
        END_COMPLETED,
        END_STOPPED,
        END_TIMEOUT,
        END_BUDGET,
        END_FAILED,
        END_AGENT_EXITED,
        END_LOST,
        END_OOM_KILLED,
        END_SHUTDOWN,
        END_UNKNOWN,
        _END_REASON_MAX,
} EndReason;

/* Whose order a stop is. */
typedef enum StopCause {
        STOP_BY_NONE, /* none was ordered */
        STOP_BY_PERSON,
        STOP_BY_ORCHESTRATOR,
        STOP_BY_BUDGET,
        STOP_BY_RUNTIME, /* runtimeMaxSec */
        STOP_BY_SILENCE, /* timeouts.silenceSec */
        STOP_BY_DRAIN,
        STOP_BY_SHUTDOWN, /* of the machine */
        STOP_BY_FAILURE,  /* of the run, which says why */
        STOP_BY_UNKNOWN,
        _STOP_CAUSE_MAX,
} StopCause;

const char *conversation_state_to_string(ConversationState s);
ConversationState conversation_state_from_string(const char *s);
bool conversation_state_may_become(ConversationState from, ConversationState to);

const char *run_state_to_string(RunState s);
RunState run_state_from_string(const char *s);
bool run_state_may_become(RunState from, RunState to);
/* The state of a run of a conversation in that state, where nothing else is known of the run. */
RunState run_state_of_conversation(ConversationState s);

const char *end_reason_to_string(EndReason r); /* NULL for END_NONE */
EndReason end_reason_from_string(const char *s);
bool end_reason_may_become(EndReason from, EndReason to);

const char *stop_cause_to_string(StopCause c); /* NULL for STOP_BY_NONE */
StopCause stop_cause_from_string(const char *s);
