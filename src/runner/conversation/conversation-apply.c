/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-apply.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-report.h"
#include "runner/store/store-inbound.h"
#include "runner/store/transaction.h"

static int refuse(Conversation *c, const Refusal *f) {
        int r = conversation_report(c, "message-not-delivered", f->why, f->envelope_id);

        return r < 0 ? r : store_inbound_done(c->ctx->run.store, f->seq);
}

static int take_session(Conversation *c, const char *session) {
        int r = free_and_strdup(&c->row.session, session);

        return r < 0 ? r : conversation_store_row(c);
}

static int expire(Conversation *c, const char *request_id) {
        _cleanup_json_ Json *params = json_object_new_object();
        int r;

        if (!params || json_set_string(params, "requestId", request_id) < 0)
                return -ENOMEM;
        r = conversation_emit(c, NULL, "permission.expired", params);
        return r < 0 ? r : c->ctx->hooks->question_expiring(c, request_id, c->ctx->userdata);
}

static int apply(Conversation *c, const ConversationEffects *e) {
        int r;

        r = run_store_effects(e->run);
        for (size_t i = 0; i < e->n_refusals && r >= 0; i++)
                r = refuse(c, &e->refusals[i]);
        if (r >= 0 && e->run->session)
                r = take_session(c, e->run->session);
        if (r >= 0 && e->expired)
                r = expire(c, e->expired);
        /* The state after replayed output was reported when it was read first. */
        return r < 0 || e->run->replayed ? r : conversation_emit_state(c);
}

int conversation_apply(Conversation *c, const ConversationEffects *e) {
        _cleanup_(transaction_done) Transaction t = {};
        int r;

        r = transaction_begin(c->ctx->run.store, &t);
        if (r >= 0)
                r = apply(c, e);
        return transaction_finish(&t, r);
}
