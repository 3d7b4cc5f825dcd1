/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-life.h"
#include "runner/runner-conversations.h"
#include "runner/runner-internal.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-inbound.h"

Conversation *runner_next_conversation(Runner *r, Conversation *after) {
        return registry_next(r->conversations, after);
}

void runner_add_conversation(Runner *r, Conversation *c) {
        registry_add(r->conversations, c);
        if (conversation_send_open(c) < 0)
                log_oom();
        announcer_conversation_added(r->announcer, c);
        announcer_changed(r->announcer);
}

void runner_remove_conversation(Runner *r, Conversation *c) {
        announcer_conversation_removed(r->announcer, c);
        totals_count(r->totals, c);
        registry_remove(r->conversations, c);
        conversation_free(c);
}

void runner_forget_all(Runner *r) {
        for (Conversation *c; (c = registry_next(r->conversations, NULL));)
                runner_remove_conversation(r, c);
}
