/* SPDX-License-Identifier: MIT */
#include "common/buffer.h"
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

int conversation_emit(Conversation *c, const char *message_id, const char *method, const char *members) {
        int64_t seq;
        int r;

        r = store_add_own_event(
                        c->ctx->run.store,
                        c->row.id,
                        c->row.run,
                        conversation_driven(c),
                        message_id,
                        method,
                        members,
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
        const char *state = conversation_state(c);
        _cleanup_free_ char *members = NULL;

        if (!conversation_is_live(c) || streq_ptr(state, c->last_state))
                return 0;
        members = xasprintf("\"state\":\"%s\",\"queued\":%u", state, c->n_pending);
        if (!members || free_and_strdup(&c->last_state, state) < 0)
                return -ENOMEM;
        c->state_changed = true;
        /* "starting" is what the acceptance has said already. */
        return streq(state, "starting") ? 0 : conversation_emit(c, NULL, "conversation.state", members);
}

int conversation_report(Conversation *c, const char *code, const char *text, const char *message_id) {
        _cleanup_buffer_ Buffer b = {};

        (void) buffer_append_str(&b, "\"code\":");
        (void) buffer_append_json_str(&b, code);
        (void) buffer_append_str(&b, ",\"text\":");
        (void) buffer_append_json_str(&b, text);
        if (message_id) {
                (void) buffer_append_str(&b, ",\"about\":");
                (void) buffer_append_json_str(&b, message_id);
        }
        if (b.failed)
                return -ENOMEM;
        return conversation_emit(c, NULL, "error.report", b.data);
}
