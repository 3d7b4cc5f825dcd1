/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-context.h"

void conversation_context_done(ConversationContext *c) {
        c->event_cache = event_cache_free(c->event_cache);
        run_context_done(&c->run);
}
