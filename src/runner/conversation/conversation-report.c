/* SPDX-License-Identifier: MIT */
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-report.h"
#include "runner/conversation/conversation-stream.h"
#include "runner/store/store-events.h"

void conversation_announce(Conversation *c) {
        const ConversationHooks *hooks = c->ctx->hooks;
        bool events = c->events_added, changed = c->state_changed;

        c->events_added = c->state_changed = false;
        if (events) {
                conversation_send_wake(c);
                conversation_streams_wake(c);
                hooks->events_available(c, c->ctx->userdata);
        }
        if (changed)
                hooks->changed(c, c->ctx->userdata);
}

void conversation_changed(Conversation *c) {
        c->state_changed = true;
        conversation_announce(c);
}

int conversation_emit(Conversation *c, const char *message_id, const char *method, Json *params) {
        int64_t seq;
        int r;

        r = store_add_own_event(
                c->ctx->run.store,
                c->row.id,
                c->row.run,
                conversation_driven(c),
                message_id,
                method,
                params,
                &seq);
        if (r < 0)
                return r;
        if (c->send.reader)
                event_reader_own_added(c->send.reader);
        c->last_event_usec = now_usec(CLOCK_REALTIME);
        c->events_added = true;
        return 0;
}

int conversation_emit_state(Conversation *c) {
        ConversationPhase phase = conversation_phase(c);
        _cleanup_json_ Json *params = NULL;
        int r = 0;

        if (!conversation_is_live(c) || phase == c->last_phase)
                return 0;
        params = json_object_new_object();
        if (!params || json_set_string(params, "state", conversation_state(c)) < 0 ||
            json_set_u64(params, "queued", c->n_pending) < 0)
                return -ENOMEM;
        c->state_changed = true;
        /* The acceptance has reported already that it starts. */
        if (phase != PHASE_STARTING)
                r = conversation_emit(c, NULL, "conversation.state", params);
        if (r >= 0)
                c->last_phase = phase;
        return r;
}

int conversation_report(Conversation *c, const char *code, const char *text, const char *message_id) {
        _cleanup_json_ Json *params = json_object_new_object();

        if (!params || json_set_string(params, "code", code) < 0 ||
            json_set_text(params, "text", text) < 0 || json_set_text(params, "about", message_id) < 0)
                return -ENOMEM;
        return conversation_emit(c, NULL, "error.report", params);
}
