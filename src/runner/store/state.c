/* SPDX-License-Identifier: MIT */
#include "runner/store/state.h"

#define TO(state) (1U << (state))

static int find(const char *const *names, int n, const char *s, int unknown) {
        for (int i = 0; s && i < n; i++)
                if (names[i] && streq(names[i], s))
                        return i;
        return unknown;
}

/* ---- a conversation ---- */

static const char *const conversation_states[_CONVERSATION_STATE_MAX] = {
        [CONVERSATION_NEW] = "new",           [CONVERSATION_CHECKOUT] = "checkout",
        [CONVERSATION_STARTING] = "starting", [CONVERSATION_LIVE] = "live",
        [CONVERSATION_ENDED] = "ended",       [CONVERSATION_UNKNOWN] = "unknown",
};

/* A checkout and a start begin again after a restart. A run that was started without a trace of it is started again. What has
 * ended is resumed by a new run. */
static const unsigned conversation_steps[_CONVERSATION_STATE_MAX] = {
        [CONVERSATION_NEW] = TO(CONVERSATION_CHECKOUT) | TO(CONVERSATION_STARTING) | TO(CONVERSATION_ENDED),
        [CONVERSATION_CHECKOUT] = TO(CONVERSATION_CHECKOUT) | TO(CONVERSATION_STARTING) |
                TO(CONVERSATION_ENDED),
        [CONVERSATION_STARTING] = TO(CONVERSATION_STARTING) | TO(CONVERSATION_LIVE) | TO(CONVERSATION_ENDED),
        [CONVERSATION_LIVE] = TO(CONVERSATION_STARTING) | TO(CONVERSATION_ENDED),
        [CONVERSATION_ENDED] = TO(CONVERSATION_NEW),
        [CONVERSATION_UNKNOWN] = TO(CONVERSATION_ENDED),
};

const char *conversation_state_to_string(ConversationState s) {
        return conversation_states[s];
}

ConversationState conversation_state_from_string(const char *s) {
        return (ConversationState) find(
                conversation_states, _CONVERSATION_STATE_MAX, s, CONVERSATION_UNKNOWN);
}

bool conversation_state_may_become(ConversationState from, ConversationState to) {
        return conversation_steps[from] & TO(to);
}

/* ---- a run ---- */

static const char *const run_states[_RUN_STATE_MAX] = {
        [RUN_PREPARING] = "preparing", [RUN_STARTING] = "starting", [RUN_LIVE] = "live",
        [RUN_ENDED] = "ended",         [RUN_UNKNOWN] = "unknown",
};

/* Of a run that was made of its directory only `started` says how far its start came: it lives without having been starting. */
static const unsigned run_steps[_RUN_STATE_MAX] = {
        [RUN_PREPARING] = TO(RUN_STARTING) | TO(RUN_LIVE) | TO(RUN_ENDED),
        [RUN_STARTING] = TO(RUN_STARTING) | TO(RUN_LIVE) | TO(RUN_ENDED),
        [RUN_LIVE] = TO(RUN_PREPARING) | TO(RUN_ENDED),
        [RUN_UNKNOWN] = TO(RUN_ENDED),
};

const char *run_state_to_string(RunState s) {
        return run_states[s];
}

RunState run_state_from_string(const char *s) {
        /* An older program put a run whose row was missing there with the state of its conversation. */
        if (streq_ptr(s, "new") || streq_ptr(s, "checkout"))
                return RUN_PREPARING;
        return (RunState) find(run_states, _RUN_STATE_MAX, s, RUN_UNKNOWN);
}

bool run_state_may_become(RunState from, RunState to) {
        return run_steps[from] & TO(to);
}

RunState run_state_of_conversation(ConversationState s) {
        static const RunState states[_CONVERSATION_STATE_MAX] = {
                [CONVERSATION_NEW] = RUN_PREPARING,     [CONVERSATION_CHECKOUT] = RUN_PREPARING,
                [CONVERSATION_STARTING] = RUN_STARTING, [CONVERSATION_LIVE] = RUN_LIVE,
                [CONVERSATION_ENDED] = RUN_ENDED,       [CONVERSATION_UNKNOWN] = RUN_UNKNOWN,
        };

        return states[s];
}

/* ---- an end ---- */

static const char *const end_reasons[_END_REASON_MAX] = {
        [END_COMPLETED] = "completed", [END_STOPPED] = "stopped",       [END_TIMEOUT] = "timeout",
        [END_BUDGET] = "budget",       [END_FAILED] = "failed",         [END_AGENT_EXITED] = "agent-exited",
        [END_LOST] = "lost",           [END_OOM_KILLED] = "oom-killed", [END_SHUTDOWN] = "shutdown",
        [END_UNKNOWN] = "unknown",
};

const char *end_reason_to_string(EndReason r) {
        return end_reasons[r];
}

EndReason end_reason_from_string(const char *s) {
        return s ? (EndReason) find(end_reasons, _END_REASON_MAX, s, END_UNKNOWN) : END_NONE;
}

/* An end is reported once; a resume takes it back. */
bool end_reason_may_become(EndReason from, EndReason to) {
        if (from == END_UNKNOWN)
                return to == END_LOST || to == END_NONE;
        return from == END_NONE ? to != END_NONE && to != END_UNKNOWN : to == END_NONE;
}

/* ---- a stop ---- */

static const char *const stop_causes[_STOP_CAUSE_MAX] = {
        [STOP_BY_PERSON] = "person",     [STOP_BY_ORCHESTRATOR] = "orchestrator",
        [STOP_BY_BUDGET] = "budget",     [STOP_BY_RUNTIME] = "runtime",
        [STOP_BY_SILENCE] = "silence",   [STOP_BY_DRAIN] = "drain",
        [STOP_BY_SHUTDOWN] = "shutdown", [STOP_BY_FAILURE] = "failure",
        [STOP_BY_UNKNOWN] = "unknown",
};

const char *stop_cause_to_string(StopCause c) {
        return stop_causes[c];
}

StopCause stop_cause_from_string(const char *s) {
        return (StopCause) find(stop_causes, _STOP_CAUSE_MAX, s, STOP_BY_UNKNOWN);
}
