/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-statistics.h"

void conversation_statistics(Conversation *c, ConversationStatistics *ret) {
        DriverUsage usage;

        *ret = (ConversationStatistics){};
        if (c->run)
                run_statistics(c->run, ret);
        conversation_usage(c, &usage);
        statistics_add(ret, "cacheReadTokens", usage.cache_read_tokens);
        statistics_add(ret, "cacheWriteTokens", usage.cache_write_tokens);
        statistics_add(ret, "queuedMessages", c->n_pending);
        statistics_add(ret, "queuedEvents", conversation_queued_events(c));
        statistics_add(ret, "queuedBytes", conversation_queued_bytes(c));
}
