/* SPDX-License-Identifier: MIT */
#include "runner/link/decision.h"

static const char *const decision_names[_DECISION_MAX] = {
        [DECISION_PROCESS] = "process",
        [DECISION_CLAIM] = "claim",
        [DECISION_SKIP_DUPLICATE] = "skip: duplicate",
        [DECISION_SKIP_NOT_MINE] = "skip: not mine",
        [DECISION_SKIP_NOT_ACTIVE] = "skip: not active runner",
        [DECISION_ANSWER_UNKNOWN] = "answer: unknown conversation",
};

const char *decision_to_string(Decision d) {
        return (unsigned) d < _DECISION_MAX ? decision_names[d] : NULL;
}

bool method_creates_work(const char *method) {
        return streq(method, "conversation.start") || streq(method, "conversation.resume") ||
                streq(method, "git.operation");
}

static Decision decision(Decision d, const char *reason, const char **ret_reason) {
        if (ret_reason)
                *ret_reason = reason;
        return d;
}

/* The first row that fits decides. */
Decision decide(const DecisionInput *in, const char **ret_reason) {
        bool here = in->names_conversation && in->is_here;

        if (in->accepted)
                return decision(DECISION_SKIP_DUPLICATE, "its id was accepted before", ret_reason);
        if (in->is_runner_method)
                return decision(DECISION_PROCESS, "it is about the runner itself", ret_reason);
        if (in->addressee == ADDRESSEE_OTHER && !here)
                return decision(
                        DECISION_SKIP_NOT_MINE,
                        "it is addressed to another runner, and of no conversation here",
                        ret_reason);
        if (here)
                return decision(DECISION_PROCESS, "its conversation lives here", ret_reason);
        if (in->creates_work && !in->is_active)
                return decision(
                        DECISION_SKIP_NOT_ACTIVE,
                        "it creates work, and this is not the active runner",
                        ret_reason);
        if (in->creates_work && in->can_claim)
                return decision(DECISION_CLAIM, "it creates work", ret_reason);
        if (in->creates_work)
                return decision(
                        DECISION_PROCESS,
                        "it creates work, and the orchestrator knows no claims",
                        ret_reason);
        if (in->names_conversation && in->addressee != ADDRESSEE_SELF)
                return decision(DECISION_SKIP_NOT_MINE, "its conversation is not known here", ret_reason);
        if (in->names_conversation)
                return decision(
                        DECISION_ANSWER_UNKNOWN,
                        "it is addressed to this runner, and its conversation is not known here",
                        ret_reason);
        /* No conversation, and no work: an unknown method, or one without its conversationId. One runner has to
         * report that, but not every runner that receives it. */
        if (in->is_active || in->addressee == ADDRESSEE_SELF)
                return decision(DECISION_PROCESS, "it names no conversation", ret_reason);
        return decision(
                DECISION_SKIP_NOT_MINE,
                "it names no conversation, and this is not the active runner",
                ret_reason);
}
