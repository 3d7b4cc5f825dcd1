/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "runner/run/verdict.h"

/* A failure is not why the runner stops what it is of, but what has to be reported of it. */
static const EndReason stops[_STOP_CAUSE_MAX] = {
        [STOP_BY_PERSON] = END_STOPPED,    [STOP_BY_ORCHESTRATOR] = END_STOPPED,
        [STOP_BY_BUDGET] = END_BUDGET,     [STOP_BY_RUNTIME] = END_TIMEOUT,
        [STOP_BY_SILENCE] = END_TIMEOUT,   [STOP_BY_DRAIN] = END_STOPPED,
        [STOP_BY_SHUTDOWN] = END_SHUTDOWN, [STOP_BY_UNKNOWN] = END_STOPPED,
};

EndReason verdict_of_stop(StopCause cause) {
        return stops[cause];
}

/* What the runner stops for a reason of its own has ended for that. */
static bool is_runners_own(StopCause cause) {
        return cause == STOP_BY_BUDGET || cause == STOP_BY_RUNTIME || cause == STOP_BY_SILENCE ||
                cause == STOP_BY_DRAIN || cause == STOP_BY_SHUTDOWN;
}

/* The supervisor is gone without a word: what systemd noted of the scope is all there is. */
static EndReason without_outcome(const VerdictInput *in) {
        if (streq_ptr(in->result, "oom-kill"))
                return END_OOM_KILLED;
        if (streq_ptr(in->result, "timeout"))
                return END_TIMEOUT;
        if (stops[in->stop] != END_NONE)
                return stops[in->stop];
        if (in->oom)
                return END_OOM_KILLED;
        /* Killed in one go by the machine's end or by a stop, so that the supervisor had no time for a word. */
        return in->shutdown ? END_SHUTDOWN : in->stopped_by_systemd ? END_STOPPED : END_LOST;
}

EndReason verdict_reason(const VerdictInput *in) {
        uint64_t signal = 0, code = 0;

        if (is_runners_own(in->stop))
                return stops[in->stop];
        if (!in->outcome)
                return without_outcome(in);
        (void) json_get_u64(in->outcome, "signal", &signal);
        (void) json_get_u64(in->outcome, "exitCode", &code);

        if (stops[in->stop] != END_NONE)
                return stops[in->stop];
        if (json_get_string(in->outcome, "stage"))
                return END_FAILED;
        if (streq_ptr(json_get_string(in->outcome, "stoppedBy"), "systemd"))
                return in->shutdown                      ? END_SHUTDOWN :
                        streq_ptr(in->result, "timeout") ? END_TIMEOUT :
                                                           END_STOPPED;
        /* Of the supervisor: its time was over, and no runner was there to end it. */
        if (streq_ptr(json_get_string(in->outcome, "stoppedBy"), "supervisor"))
                return END_TIMEOUT;
        if (signal == SIGKILL && in->oom)
                return END_OOM_KILLED;
        /* What a short conclusion, or a runner before this one, has of the failure may be no more than the stop. */
        if (in->failure || in->stop == STOP_BY_FAILURE)
                return END_FAILED;
        if (in->end_requested && signal == 0 && code == 0)
                return END_COMPLETED;
        if (signal == 0 && code == 0 && !in->last_turn_failed)
                return END_COMPLETED;
        return END_AGENT_EXITED;
}
