/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/store/state.h"

/* What is known when a run has ended, and what that means. */
typedef struct VerdictInput {
        Json *outcome;           /* of the supervisor, or NULL: it was killed itself */
        const char *result;      /* systemd's Result of the scope, or NULL */
        StopCause stop;          /* of the stop that was ordered; STOP_BY_NONE: none was */
        bool end_requested;      /* the agent was asked to end (end of input) */
        bool shutdown;           /* the machine goes down */
        bool stopped_by_systemd; /* the manager's word, where the outcome is missing */
        bool last_turn_failed;
        bool oom;            /* something in it was killed for memory at about the time of the end */
        const char *failure; /* what the driver or the runner says went wrong, or NULL */
} VerdictInput;

/* Never END_NONE. */
EndReason verdict_reason(const VerdictInput *in);
/* What a stop of that cause makes of a conversation that has no process yet. END_NONE: nothing by itself. */
EndReason verdict_of_stop(StopCause cause);
