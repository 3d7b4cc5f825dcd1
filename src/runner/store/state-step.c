/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/store/state-step.h"

static bool is_critical = NF_DEBUG_BUILD;

void state_steps_set_critical(bool critical) {
        is_critical = critical;
}

static void forbidden(const char *what, const char *conversation, const char *from, const char *to) {
        LOG_ABOUT(.conversation = conversation);
        log_error(
                STATE_STEP_FORBIDDEN "%s of conversation %s from %s to %s.",
                what,
                strempty(conversation),
                from,
                to);
        assert(!is_critical);
}

void conversation_row_set_state(ConversationRow *row, ConversationState to) {
        if (!conversation_state_may_become(row->state, to))
                forbidden(
                        "state",
                        row->id,
                        conversation_state_to_string(row->state),
                        conversation_state_to_string(to));
        row->state = to;
}

void conversation_row_set_reason(ConversationRow *row, EndReason to) {
        if (!end_reason_may_become(row->reason, to))
                forbidden(
                        "reason",
                        row->id,
                        row->reason == END_NONE ? "none" : end_reason_to_string(row->reason),
                        to == END_NONE ? "none" : end_reason_to_string(to));
        row->reason = to;
}

void run_row_set_state(RunRow *row, RunState to) {
        if (!run_state_may_become(row->state, to))
                forbidden(
                        "run", row->conversation, run_state_to_string(row->state), run_state_to_string(to));
        row->state = to;
}
