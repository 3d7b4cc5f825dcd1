/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/runner-control.h"
#include "runner/store/store-events.h"
#include "runner/store/store-inbound.h"

struct Control {
        Store *store;
        SendSource *source;
        int64_t response, event; /* sent up to here, not acknowledged yet */
};

static int fill_events(Control *c, SendBatch *batch) {
        int k = 0;

        while (!send_batch_full(batch)) {
                _cleanup_(own_event_done) OwnEvent e = {};

                k = store_next_own_event(c->store, "", 0, c->event, &e);
                if (k <= 0)
                        return k;
                k = buffer_printf(
                        send_batch_buffer(batch),
                        "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{\"messageId\":\"%s\",%s}}",
                        e.method,
                        e.message_id,
                        e.members);
                if (k >= 0)
                        k = send_batch_event_done(batch, e.message_id);
                if (k < 0)
                        return k;
                c->event = e.seq;
        }
        return 0;
}

static int on_fill(void *userdata, SendBatch *batch) {
        Control *c = userdata;
        int k;

        while (!send_batch_full(batch)) {
                _cleanup_(inbound_message_done) InboundMessage m = {};
                _cleanup_free_ char *id = NULL;

                k = store_next_response(c->store, c->response, &m);
                if (k < 0)
                        return k;
                if (k == 0)
                        break;
                id = xasprintf("rsp:%s", m.envelope_id);
                if (!id)
                        return -ENOMEM;
                k = send_batch_add(batch, id, m.response, strlen(m.response));
                if (k < 0)
                        return k;
                c->response = m.seq;
        }
        return fill_events(c, batch);
}

static void on_acked(void *userdata) {
        Control *c = userdata;
        int k;

        k = store_response_acked(c->store, c->response);
        if (k >= 0)
                k = store_delete_own_events(c->store, "", 0, c->event);
        if (k < 0)
                log_warning_errno(
                        k, "Failed to store which responses were acknowledged, they will be sent again: %m");
        sender_wake(c->source);
}

static void on_lost(void *userdata) {
        Control *c = userdata;

        c->response = c->event = 0;
}

static int
on_set_aside(void *userdata, const char *message_id, const char *json, size_t size, const char *why) {
        Control *c = userdata;

        return store_set_aside(c->store, message_id, NULL, json, size, why);
}

static const SendSourceOps control_ops = {
        .fill = on_fill,
        .acked = on_acked,
        .lost = on_lost,
        .set_aside = on_set_aside,
};

int control_new(Store *store, Sender *sender, Control **ret) {
        Control *c = new0(Control, 1);
        int k;

        if (!c)
                return -ENOMEM;
        c->store = store;
        k = send_source_new(sender, &control_ops, c, &c->source);
        if (k < 0) {
                free(c);
                return k;
        }
        sender_wake(c->source);
        *ret = c;
        return 0;
}

Control *control_free(Control *c) {
        if (!c)
                return NULL;
        send_source_free(c->source);
        free(c);
        return NULL;
}

void control_wake(Control *c) {
        if (c)
                sender_wake(c->source);
}
