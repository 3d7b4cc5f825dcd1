/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-git.h"
#include "runner/conversation/conversation-internal.h"

static void on_status(int error, const char *text, Json *status, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        if (error < 0)
                log_debug_errno(
                        error,
                        "Failed to query the checkout of conversation %s: %s",
                        c->row.id,
                        strempty(text));
        else
                c->git.status = json_object_get(status);
        c->git.call = checkout_status_free(c->git.call);
        if (c->run)
                run_conclude(c->run);
}

bool conversation_ask_git(Conversation *c) {
        int r;

        if (c->git.asked || !c->row.branch || !c->row.directory || !c->ctx->run.ready)
                return c->git.call != NULL;
        c->git.asked = true;
        r = checkout_status_start(
                &(OperationContext){
                        .event = c->ctx->run.event,
                        .bus = c->ctx->run.bus,
                        .watch = c->ctx->run.watch,
                        .state_fd = c->ctx->run.state_fd,
                },
                &c->ctx->git,
                c->row.id,
                c->row.workspace,
                c->row.directory,
                on_status,
                c,
                &c->git.call);
        if (r < 0)
                log_debug_errno(r, "Failed to query the checkout of conversation %s: %m", c->row.id);
        return r >= 0;
}

void conversation_git_done(ConversationGit *g) {
        checkout_status_free(g->call);
        json_object_put(g->status);
        *g = (ConversationGit){};
}
