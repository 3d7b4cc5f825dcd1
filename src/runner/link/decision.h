/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Whose work is a message? One pure function, so that the whole table can be tested. */

typedef enum Decision {
        DECISION_PROCESS,
        DECISION_CLAIM,          /* process it once the orchestrator has granted it */
        DECISION_SKIP_DUPLICATE, /* its stored response is due again */
        DECISION_SKIP_NOT_MINE,
        DECISION_SKIP_NOT_ACTIVE,
        DECISION_ANSWER_UNKNOWN, /* with RPC_UNKNOWN_CONVERSATION */
        _DECISION_MAX,
} Decision;

const char *decision_to_string(Decision d);

typedef enum Addressee {
        ADDRESSEE_ANY, /* names no runner */
        ADDRESSEE_SELF,
        ADDRESSEE_OTHER,
        _ADDRESSEE_MAX,
} Addressee;

typedef struct DecisionInput {
        bool accepted;         /* this id was accepted before */
        bool is_runner_method; /* runner.… */
        Addressee addressee;
        bool names_conversation;
        bool is_here; /* that conversation lives here, pre-handoff ones included */
        bool creates_work;
        bool is_active; /* this runner is the active one */
        bool can_claim; /* the orchestrator knows runner.claim */
} DecisionInput;

/* reason (may be NULL): a constant text for the journal. */
Decision decide(const DecisionInput *in, const char **ret_reason);

/* Does this method make something that was not there before? */
bool method_creates_work(const char *method);
