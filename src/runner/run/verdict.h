/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* What is known when a run has ended, and what that means. */
typedef struct VerdictInput {
        Json *outcome;           /* of the supervisor, or NULL: it was killed itself */
        const char *result;      /* systemd's Result of the scope, or NULL */
        bool stop_requested;     /* by us: conversation.stop */
        const char *stop_reason; /* "budget", "timeout", … where the runner itself ordered the stop, or NULL */
        bool end_requested;      /* the agent was told to end in good order (end of input) */
        bool shutdown;           /* the machine goes down */
        bool stopped_by_systemd; /* the manager's word, where the outcome is missing */
        bool last_turn_failed;
        bool oom;            /* something in it was killed for memory at about the time of the end */
        const char *failure; /* what the driver or the runner says went wrong, or NULL */
} VerdictInput;

/* completed, stopped, failed, oom-killed, timeout, budget, agent-exited, shutdown, lost: static text. */
const char *verdict_reason(const VerdictInput *in);
