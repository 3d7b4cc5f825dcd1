/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <time.h>

#include "common/ident.h"
#include "common/log.h"
#include "orchestrator/hub/conversations.h"
#include "orchestrator/hub/events.h"
#include "orchestrator/hub/hub-internal.h"
#include "orchestrator/hub/runners.h"
#include "orchestrator/wire/json-members.h"

/* Copied only where there is a line break in it: events are lines for those who follow them. */
static int on_one_line(Slice text, Buffer *memory, Slice *ret) {
        int r;

        *ret = text;
        if (!memchr(text.data, '\n', text.size) && !memchr(text.data, '\r', text.size))
                return 0;
        r = json_append_line(memory, text);
        *ret = (Slice){ memory->data, memory->size };
        return r;
}

static int store_event(Hub *h, const char *token, const char *uid, const RunnerMessage *m) {
        const char *conversation = m->conversation[0] ? m->conversation : NULL;
        _cleanup_buffer_ Buffer memory = {};
        int64_t known;
        bool foreign;
        Slice text;
        int r;

        r = db_lookup_int(
                h->db,
                &known,
                "SELECT 1 FROM events WHERE runner=? AND message_id=?",
                "ss",
                uid,
                m->message_id);
        if (r != 0)
                return MIN(r, 0);
        r = conversation_event(h, token, uid, m, &foreign);
        if (r < 0)
                return r;
        if (foreign) {
                log_warning(
                        "Runner %s sent events of conversation %s, which belongs to another token, dropping them.",
                        uid,
                        conversation);
                return 0;
        }
        r = on_one_line(m->text, &memory, &text);
        if (r < 0)
                return r;
        r = db_run(
                h->db,
                "INSERT INTO events(runner, message_id, conversation, method, body, received) VALUES(?, ?, ?, ?, ?, ?)",
                "ssssti",
                uid,
                m->message_id,
                conversation,
                m->method,
                text.data,
                text.size,
                now_usec(CLOCK_REALTIME));
        return MIN(r, 0);
}

static int store_response(Hub *h, const char *uid, const RunnerMessage *response) {
        bool failed = response->error.size > 0;
        _cleanup_statement_ Statement *s = NULL;
        const char *id = response->answers;
        _cleanup_buffer_ Buffer answer = {};
        int r;

        if (isempty(id))
                return 0;
        r = db_query(
                h->db,
                &s,
                "SELECT conversation, method FROM messages WHERE id=?1 AND answered IS NULL"
                " AND ?2 IN (target, claimed_by)",
                "ss",
                id,
                uid);
        if (r < 0)
                return r;
        r = db_step(s);
        if (r < 0)
                return r;
        if (r == 0) {
                log_debug(
                        "Runner %s answered message %s, which is already answered or belongs to another runner, ignoring.",
                        uid,
                        id);
                return 0;
        }
        (void) buffer_append_str(&answer, failed ? "{\"error\":" : "{\"result\":");
        (void) json_append_line(&answer, failed ? response->error : response->result);
        if (buffer_append_str(&answer, "}") < 0)
                return -ENOMEM;
        r = db_run(
                h->db,
                "UPDATE messages SET answered=?, response=? WHERE id=?",
                "its",
                now_usec(CLOCK_REALTIME),
                answer.data,
                answer.size,
                id);
        if (r < 0)
                return r;
        hub_wake_topic(h, HUB_ANSWERS);
        return db_text(s, 0) ? conversation_answered(h, uid, db_text(s, 0), db_text(s, 1), response->error) :
                               0;
}

static int store_one(Hub *h, const char *token, const char *uid, Slice text, size_t i) {
        RunnerMessage m;
        RpcError e;
        int r = runner_message_parse(text, i, &m, &e);

        if (r != 0) /* it was checked, and has no way to be refused now */
                return r < 0 ? r : -EBADMSG;
        switch (m.kind) {
        case MESSAGE_RESPONSE:
                return store_response(h, uid, &m);
        case MESSAGE_HEARTBEAT:
                return hub_heartbeat(h, uid, &m);
        case MESSAGE_EVENT:
                return store_event(h, token, uid, &m);
        default:
                return 0;
        }
}

int hub_receive(Hub *h, const char *token, const char *uid, Slice body, RpcError *e) {
        _cleanup_(transaction_done) Transaction t = {};
        size_t iter = 0, i = 0;
        Slice text;
        int r;

        /* Everything is checked before anything is stored: a body is taken whole or refused whole, so that its sender can
         * halve it. */
        r = runner_body_check(body, e);
        if (r != 0)
                return r;
        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        while (runner_message_next(body, &iter, &text)) {
                r = store_one(h, token, uid, text, i++);
                if (r < 0)
                        return r;
        }
        r = transaction_commit(&t);
        if (r < 0)
                return r;
        hub_wake_topic(h, HUB_EVENTS);
        return 0;
}

int hub_next_event(Hub *h, const EventFilter *filter, int64_t *n, Buffer *b) {
        char stamp[TIMESTAMP_MAX];
        _cleanup_statement_ Statement *s = NULL;
        int r;

#define SELECT "SELECT n, runner, received, body FROM events WHERE "
        if (filter->conversation)
                r = db_query(
                        h->db,
                        &s,
                        SELECT "conversation=? AND n>? ORDER BY n LIMIT 1",
                        "si",
                        filter->conversation,
                        *n);
        else if (filter->runner)
                r = db_query(
                        h->db, &s, SELECT "runner=? AND n>? ORDER BY n LIMIT 1", "si", filter->runner, *n);
        else
                r = db_query(h->db, &s, SELECT "n>? ORDER BY n LIMIT 1", "i", *n);
#undef SELECT
        if (r < 0)
                return r;
        r = db_step(s);
        if (r <= 0)
                return r;
        (void) buffer_printf(b, "{\"n\":%" PRIi64 ",\"runnerUid\":", db_int(s, 0));
        (void) buffer_append_json_str(b, db_text(s, 1));
        (void) buffer_printf(
                b, ",\"receivedAt\":\"%s\",\"event\":", format_timestamp((uint64_t) db_int(s, 2), stamp));
        (void) buffer_append_str(b, db_text(s, 3));
        r = buffer_append_str(b, "}\n");
        if (r < 0)
                return r;
        *n = db_int(s, 0);
        return 1;
}
