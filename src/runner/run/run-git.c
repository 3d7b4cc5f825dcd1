/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"

/* What the agent left in its checkout: asked when the run is over, before its end is told. A checkout that cannot be
 * asked costs the answer, never the end. */

static void on_status(int error, const char *text, Json *status, void *userdata) {
        Run *r = userdata;

        if (error < 0)
                log_debug_errno(error,
                                "The checkout of conversation %s cannot be asked: %s",
                                r->conversation->row.id,
                                strempty(text));
        else
                r->git = json_object_get(status);
        r->git_status = checkout_status_free(r->git_status);
        run_conclude(r);
}

bool run_ask_git(Run *r) {
        Conversation *c = r->conversation;
        int k;

        if (r->git_asked || !c->row.branch || !c->row.directory || !c->ctx->run.ready)
                return r->git_status != NULL;
        r->git_asked = true;
        k = checkout_status_start(
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
                        r,
                        &r->git_status);
        if (k < 0)
                log_debug_errno(k, "The checkout of conversation %s cannot be asked: %m", c->row.id);
        return k >= 0;
}
