/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/figures.h"

void conversation_figures(Conversation *c, ConversationFigures *ret) {
        DriverUsage usage;

        *ret = (ConversationFigures){};
        if (c->run)
                run_figures(c->run, ret);
        conversation_usage(c, &usage);
        figures_add(ret, "cacheReadTokens", usage.cache_read_tokens);
        figures_add(ret, "cacheWriteTokens", usage.cache_write_tokens);
        figures_add(ret, "queuedMessages", c->n_pending);
        figures_add(ret, "queuedEvents", conversation_queued_events(c));
        figures_add(ret, "queuedBytes", conversation_queued_bytes(c));
}
