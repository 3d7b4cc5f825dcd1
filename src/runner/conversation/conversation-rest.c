/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-rest.h"
#include "runner/conversation/conversation-run.h"
#include "runner/run/run-limits.h"
#include "runner/store/store-conversation.h"

/* More than all limits and their values need. */
#define LIMITS_TEXT_MAX 4096

void ended_done(Ended *e) {
        free(e->scope);
        free(e->limits);
        *e = (Ended){};
}

static void keep_limits(Conversation *c) {
        _cleanup_json_ Json *limits = run_limits_describe(c->run);
        const char *text = limits ? json_text(limits) : NULL;

        if (text && strlen(text) <= LIMITS_TEXT_MAX)
                (void) free_and_strdup(&c->ended.limits, text);
}

/* Keeps the values of the newest run that are requested while the run is not in memory. */
static int keep_of_run(Conversation *c) {
        Run *run = c->run;
        int r;

        if (c->ended.run == run_row(run)->run)
                return 0;
        r = free_and_strdup(&c->ended.scope, run_row(run)->unit);
        if (r < 0)
                return r;
        (void) free_and_strdup(&c->ended.limits, NULL);
        keep_limits(c);
        c->ended.driven = run_row(run)->driven;
        c->ended.lines = run_lines(run);
        run_usage(run, &c->ended.usage);
        c->ended.run = run_row(run)->run;
        conversation_read_rest(c);
        return 0;
}

static void forget_row(Conversation *c) {
        char **texts[] = { &c->row.session, &c->row.detail, &c->row.directory, &c->row.branch };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                free(*texts[i]);
                *texts[i] = NULL;
        }
        c->ended.forgotten = true;
        free(c->stop.words);
        c->stop.words = NULL;
}

void conversation_rest(Conversation *c) {
        if (c->ctx->run.broken || conversation_is_live(c))
                return;
        if (c->run) {
                if (keep_of_run(c) < 0)
                        return;
                c->run = run_free(c->run);
        }
        conversation_git_done(&c->git);
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
        r = conversation_make_run(c, &row);
        if (r >= 0)
                run_set_ended(c->run);
        return r;
}

int conversation_take_all(Conversation *c) {
        int r = take_row(c);

        if (r >= 0)
                r = conversation_take_params(c);
        if (r < 0 || conversation_is_live(c))
                return r;
        /* Fewer values are known without the agent, which the configuration may not have any more. */
        (void) take_run(c);
        return 0;
}

void conversation_on_released(void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        conversation_rest(c);
}
