/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-stop-order.h"
#include "runner/run/run-state.h"

void conversation_stop_forget(Conversation *c) {
        c->stop.left_usec = 0;
        c->stop.thaws = false;
        c->stop.timer = sd_event_source_disable_unref(c->stop.timer);
}

void conversation_stop_done(ConversationStop *s) {
        sd_event_source_disable_unref(s->timer);
        free(s->words);
        *s = (ConversationStop){};
}

Json *conversation_stopped_result(Conversation *c, EndReason reason) {
        _cleanup_json_ Json *result = json_object_new_object();

        if (!result || json_set_string(result, "conversationId", c->row.id) < 0 ||
            json_set_bool(result, "stopped", true) < 0 ||
            json_set_string(result, "reason", end_reason_to_string(reason)) < 0)
                return NULL;
        return TAKE_PTR(result);
}

static char *store_key(Conversation *c) {
        return xasprintf("stop:%s:%u", c->row.id, c->row.run);
}

int conversation_stop_store(Conversation *c) {
        _cleanup_json_ Json *o = json_object_new_object();
        _cleanup_free_ char *key = store_key(c);

        if (!o || !key || json_set_string(o, "cause", stop_cause_to_string(c->stop.cause)) < 0 ||
            json_set_string(o, "words", c->stop.words) < 0 ||
            json_set_text(o, "failure", run_failure(c->run)) < 0 ||
            json_set_u64(o, "graceUsec", c->stop.grace_usec) < 0)
                return -ENOMEM;
        return store_set(c->ctx->run.store, key, json_text(o));
}

int conversation_stop_unstore(Conversation *c) {
        _cleanup_free_ char *key = store_key(c);

        return key ? store_set(c->ctx->run.store, key, NULL) : -ENOMEM;
}

int conversation_stop_restore(Conversation *c) {
        _cleanup_free_ char *key = store_key(c), *text = NULL;
        _cleanup_json_ Json *o = NULL;
        const char *cause, *failure;
        int r;

        r = key ? store_get(c->ctx->run.store, key, &text) : -ENOMEM;
        if (r <= 0)
                return r;
        r = json_parse_from(JSON_OF_STORE, text, strlen(text), &o, NULL);
        if (r < 0)
                return r;
        cause = json_get_string(o, "cause");
        c->stop.cause = stop_cause_from_string(cause);
        if (c->stop.cause == STOP_BY_UNKNOWN)
                log_warning(
                        "Conversation %s: the store says that it is stopped by \"%s\", which this program does not know.",
                        c->row.id,
                        strempty(cause));
        (void) json_get_u64(o, "graceUsec", &c->stop.grace_usec);
        run_set_stopping(c->run);
        failure = json_get_string(o, "failure");
        r = failure && !run_failure(c->run) ? run_set_failure(c->run, strdup(failure)) : 0;
        return r < 0 ? r : free_and_strdup(&c->stop.words, json_get_string(o, "words"));
}

void conversation_stop_take(Conversation *c, const StopOrder *order) {
        if (!conversation_is_stopping(c))
                c->stop.cause = order->cause;
        if (order->words && !c->stop.words)
                c->stop.words = strndup(order->words, (size_t) utf8_cut(order->words, STOP_WORDS_MAX));
        c->stop.grace_usec = order->grace_usec;
        run_set_stopping(c->run);
}
