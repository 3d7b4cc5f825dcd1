/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "runner/run/verdict.h"

const char *verdict_reason(const VerdictInput *in) {
        uint64_t signal = 0, code = 0;

        if (in->stop_reason)
                return streq(in->stop_reason, "timeout")           ? "timeout" :
                                streq(in->stop_reason, "budget")   ? "budget" :
                                streq(in->stop_reason, "shutdown") ? "shutdown" :
                                                                     "stopped";
        if (!in->outcome) {
                /* The supervisor is gone without a word: what systemd noted of the scope is all there is. */
                if (streq_ptr(in->result, "oom-kill"))
                        return "oom-killed";
                if (streq_ptr(in->result, "timeout"))
                        return "timeout";
                if (in->stop_requested)
                        return "stopped";
                if (in->oom)
                        return "oom-killed";
                /* Killed in one go by the machine's end or by a stop, so that the supervisor had no time for a word. */
                return in->shutdown ? "shutdown" : in->stopped_by_systemd ? "stopped" : "lost";
        }
        (void) json_get_u64(in->outcome, "signal", &signal);
        (void) json_get_u64(in->outcome, "exitCode", &code);

        if (json_get_string(in->outcome, "stage"))
                return "failed";
        if (in->stop_requested)
                return "stopped";
        if (streq_ptr(json_get_string(in->outcome, "stoppedBy"), "systemd"))
                return in->shutdown ? "shutdown" : streq_ptr(in->result, "timeout") ? "timeout" : "stopped";
        /* Of the supervisor: its time was over, and no runner was there to end it. */
        if (streq_ptr(json_get_string(in->outcome, "stoppedBy"), "supervisor"))
                return "timeout";
        if (signal == SIGKILL && in->oom)
                return "oom-killed";
        if (in->failure)
                return "failed";
        if (in->end_requested && signal == 0 && code == 0)
                return "completed";
        if (signal == 0 && code == 0 && !in->last_turn_failed)
                return "completed";
        return "agent-exited";
}
