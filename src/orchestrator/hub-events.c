/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "common/ident.h"
#include "common/log.h"
#include "orchestrator/hub-internal.h"

#define MESSAGE_ID_MAX 256
#define METHOD_MAX 64
#define BATCH_MAX 100000

static bool is_response(Json *o) {
        return !json_get(o, "method") &&
                        (json_get(o, "error") || json_object_object_get_ex(o, "result", NULL));
}

bool hub_is_request(Json *o) {
        return json_get(o, "method") && json_get(o, "id");
}

/* Everything is looked at before anything is stored: a batch is taken whole or refused whole, so that its sender can
 * halve it. */
static int check_one(Json *o, size_t i, RpcError *e) {
        const char *method = json_get_string(o, "method"), *id, *conversation;
        Json *params = json_get(o, "params");

        if (!json_object_is_type(o, json_type_object) || !streq_ptr(json_get_string(o, "jsonrpc"), "2.0"))
                return rpc_refuse(e, RPC_INVALID_REQUEST, "element %zu: not a JSON-RPC 2.0 object", i);
        if (is_response(o)) {
                if (!json_get(o, "id") && !json_get_string(o, "messageId"))
                        return rpc_refuse(
                                        e, RPC_INVALID_REQUEST, "element %zu: a response without an id", i);
                return 0;
        }
        if (!method || !*method || strlen(method) > METHOD_MAX)
                return rpc_refuse(e, RPC_INVALID_REQUEST, "element %zu: no method", i);
        if (hub_is_request(o))
                return 0;
        if (!json_object_is_type(params, json_type_object))
                return rpc_refuse(e, RPC_INVALID_PARAMS, "element %zu: params: not an object", i);
        if (streq(method, "runner.heartbeat"))
                return 0;
        id = json_get_string(params, "messageId");
        if (!id || !*id || strlen(id) > MESSAGE_ID_MAX)
                return rpc_refuse(e, RPC_INVALID_PARAMS, "element %zu: messageId: missing or too long", i);
        conversation = json_get_string(params, "conversationId");
        if (conversation ? !ident_is_valid(conversation) : json_get(params, "conversationId") != NULL)
                return rpc_refuse(
                                e,
                                RPC_INVALID_PARAMS,
                                "element %zu: conversationId: not a valid id: %.*s",
                                i,
                                utf8_cut(strempty(conversation), 64),
                                strempty(conversation));
        return 0;
}

static int store_event(Hub *h, const char *token, const char *uid, Json *o) {
        const char *method = json_get_string(o, "method");
        Json *params = json_get(o, "params");
        size_t size;
        bool foreign;
        int r;

        if (streq(method, "runner.heartbeat"))
                return hub_heartbeat(h, uid, params);
        int64_t known;
        r =
                        db_lookup_int(h->db,
                                      &known,
                                      "SELECT 1 FROM events WHERE runner=? AND message_id=?",
                                      "ss",
                                      uid,
                                      json_get_string(params, "messageId"));
        if (r != 0)
                return MIN(r, 0);
        r = conversation_event(h, token, uid, method, params, &foreign);
        if (r < 0)
                return r;
        if (foreign) {
                log_warning("Runner %s sends events of conversation %s, which belongs to another token, dropping them.",
                            uid,
                            json_get_string(params, "conversationId"));
                return 0;
        }
        const char *text = json_object_to_json_string_length(
                        o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
        if (!text)
                return -ENOMEM;
        r = db_run(h->db,
                   "INSERT INTO events(runner, message_id, conversation, method, body, received) VALUES(?, ?, ?, ?, ?, ?)",
                   "ssssti",
                   uid,
                   json_get_string(params, "messageId"),
                   json_get_string(params, "conversationId"),
                   method,
                   text,
                   size,
                   now_usec(CLOCK_REALTIME));
        return MIN(r, 0);
}

int hub_receive(Hub *h, const char *token, const char *uid, Json *batch, RpcError *e) {
        _cleanup_(transaction_done) Transaction t = {};
        size_t n = json_object_array_length(batch);
        int r;

        if (n > BATCH_MAX)
                return rpc_refuse(e, RPC_INVALID_REQUEST, "more than %d elements", BATCH_MAX);
        for (size_t i = 0; i < n; i++) {
                r = check_one(json_object_array_get_idx(batch, i), i, e);
                if (r != 0)
                        return r;
        }
        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                Json *o = json_object_array_get_idx(batch, i);

                if (hub_is_request(o))
                        continue;
                r = is_response(o) ? hub_response(h, uid, o) : store_event(h, token, uid, o);
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
                r = db_query(h->db,
                             &s,
                             SELECT "conversation=? AND n>? ORDER BY n LIMIT 1",
                             "si",
                             filter->conversation,
                             *n);
        else if (filter->runner)
                r = db_query(h->db,
                             &s,
                             SELECT "runner=? AND n>? ORDER BY n LIMIT 1",
                             "si",
                             filter->runner,
                             *n);
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
                        b,
                        ",\"receivedAt\":\"%s\",\"event\":",
                        format_timestamp((uint64_t) db_int(s, 2), stamp));
        (void) buffer_append_str(b, db_text(s, 3));
        r = buffer_append_str(b, "}\n");
        if (r < 0)
                return r;
        *n = db_int(s, 0);
        return 1;
}
