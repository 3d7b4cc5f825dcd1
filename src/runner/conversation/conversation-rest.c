/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"

/* A conversation that has ended rests: all that it says is in the store and in its folder, and an orchestrator that does not
 * acknowledge can make many of them. What whoever lists them asks for stays in memory; the rest is read again for who
 * describes or resumes it, and for the sender when its turn comes. */

/* More than the limits that there are and their values need. */
#define LIMITS_TEXT_MAX 4096

static void keep_limits(Conversation *c) {
        _cleanup_json_ Json *limits = run_limits_describe(c->run);
        const char *text = limits ? json_text(limits) : NULL;

        if (text && strlen(text) <= LIMITS_TEXT_MAX)
                (void) free_and_strdup(&c->ended.limits, text);
}

/* What is asked of its newest run while that is not in memory. */
static int keep_of_run(Conversation *c) {
        Run *run = c->run;
        int r;

        if (c->ended.run == run->row.run)
                return 0;
        r = free_and_strdup(&c->ended.scope, run->row.unit);
        if (r < 0)
                return r;
        (void) free_and_strdup(&c->ended.limits, NULL);
        keep_limits(c);
        c->ended.driven = run->row.driven;
        c->ended.lines = run->lines.lines;
        run->ops->usage(run->driver, &c->usage);
        c->ended.run = run->row.run;
        conversation_events_rest(c);
        return 0;
}

static void forget_row(Conversation *c) {
        char **texts[] = { &c->row.session, &c->row.detail, &c->row.directory, &c->row.branch };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                free(*texts[i]);
                *texts[i] = NULL;
        }
        c->ended.forgotten = true;
        free(c->stop_reason);
        c->stop_reason = NULL;
}

void conversation_rest(Conversation *c) {
        if (c->ctx->run.broken || conversation_is_live(c))
                return;
        if (c->run) {
                if (keep_of_run(c) < 0)
                        return;
                c->run = run_free(c->run);
        }
        conversation_shrink(c);
        forget_row(c);
        conversation_send_rest(c);
}

static int take_row(Conversation *c) {
        _cleanup_(conversation_row_done) ConversationRow row = {};
        int r;

        if (!c->ended.forgotten)
                return 0;
        r = store_get_conversation(c->ctx->run.store, c->row.id, &row);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        c->row.session = TAKE_PTR(row.session);
        c->row.detail = TAKE_PTR(row.detail);
        c->row.directory = TAKE_PTR(row.directory);
        c->row.branch = TAKE_PTR(row.branch);
        c->ended.forgotten = false;
        return 0;
}

static int take_run(Conversation *c) {
        _cleanup_(run_row_done) RunRow row = {};
        int r;

        if (c->run)
                return 0;
        r = store_get_run(c->ctx->run.store, c->row.id, c->row.run, &row);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        r = run_new(c, &row, &c->run);
        if (r >= 0)
                c->run->over = true;
        return r;
}

int conversation_take_all(Conversation *c) {
        int r = take_row(c);

        if (r >= 0)
                r = conversation_take_params(c);
        if (r < 0 || conversation_is_live(c))
                return r;
        /* Without its agent, which the configuration may not have any more, there is less to say. */
        (void) take_run(c);
        return 0;
}
