/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-life.h"
#include "runner/conversation/conversation-stream.h"
#include "runner/store/store-conversation.h"

int conversation_new(ConversationContext *ctx, ConversationRow *row_consume, Conversation **ret) {
        Conversation *c = new0(Conversation, 1);
        int r;

        if (!c) {
                conversation_row_done(row_consume);
                return -ENOMEM;
        }
        *c = (Conversation){
                .ctx = ctx,
                .row = *row_consume,
                .send.outfd = -EBADF,
                .local.outfd = -EBADF,
        };
        *row_consume = (ConversationRow){};
        r = conversation_is_live(c) ? conversation_take_params(c) : 0;
        if (r < 0) {
                conversation_free(c);
                return r;
        }
        conversation_take_agent_config(c);
        c->last_event_usec = c->row.created_usec;
        *ret = c;
        return 0;
}

Conversation *conversation_free(Conversation *c) {
        if (!c)
                return NULL;
        conversation_streams_close(c);
        conversation_read_close(c);
        conversation_send_close(c);
        conversation_stop_done(&c->stop);
        conversation_git_done(&c->git);
        checkout_free(c->checkout);
        run_free(c->run);
        if (c->params)
                json_object_put(c->params);
        json_object_put(c->agent_config);
        conversation_row_done(&c->row);
        free(c->held);
        ended_done(&c->ended);
        free(c);
        return NULL;
}
