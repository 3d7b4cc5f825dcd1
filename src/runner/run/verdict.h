/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/store/state.h"

/* The facts that are known when a run has ended. The reason of its end follows from them. */
typedef struct VerdictInput {
        Json *outcome;           /* of the supervisor, or NULL: it was killed itself */
        const char *result;      /* systemd's Result of the scope, or NULL */
        StopCause stop;          /* of the stop that was ordered; STOP_BY_NONE: none was */
        bool end_requested;      /* the agent was asked to end (end of input) */
        bool shutdown;           /* the machine goes down */
        bool stopped_by_systemd; /* the manager's word, where the outcome is missing */
        bool last_turn_failed;
        bool oom;            /* something in it was killed for memory at about the time of the end */
        const char *failure; /* the failure that the driver or the runner reports, or NULL */
} VerdictInput;

/* Returns the reason of the end, never END_NONE. */
EndReason verdict_reason(const VerdictInput *in);
/* Returns the reason with which a stop of that cause ends a conversation that has no process yet. END_NONE: the cause
 * alone does not decide. */
EndReason verdict_of_stop(StopCause cause);
