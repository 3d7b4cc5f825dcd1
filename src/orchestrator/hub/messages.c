/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/ident.h"
#include "common/log.h"
#include "orchestrator/hub/hub-internal.h"
#include "orchestrator/hub/messages.h"
#include "orchestrator/hub/tokens.h"
#include "orchestrator/wire/json-members.h"
#include "orchestrator/wire/runner-message.h"

#define NEXT_SEQ "UPDATE meta SET value=value+1 WHERE key='seq' RETURNING value"

bool hub_is_work(const char *method) {
        return streq(method, "conversation.start") || streq(method, "conversation.resume") ||
                streq(method, "git.operation");
}

const char *hub_cursor(Hub *h, int64_t seq, char buf[static CURSOR_SIZE]) {
        (void) snprintf(buf, CURSOR_SIZE, "%.8s-%016" PRIi64, h->epoch, seq);
        return buf;
}

int64_t hub_cursor_parse(Hub *h, const char *cursor) {
        uint64_t v;

        if (!cursor || strlen(cursor) != 25 || strncmp(cursor, h->epoch, 8) != 0 || cursor[8] != '-' ||
            safe_atou64(cursor + 9, &v) < 0)
                return 0;
        return (int64_t) v;
}

static void envelope_id(char ret[static RANDOM_ID_SIZE]) {
        (void) snprintf(
                ret,
                RANDOM_ID_SIZE,
                "m-%011" PRIx64 "%016" PRIx64,
                now_usec(CLOCK_REALTIME) / USEC_PER_MSEC,
                random_u64());
}

static int insert(Hub *h, const HubMessage *m, const char *id, const char *target) {
        int64_t seq = 0;
        int r;

        if (target) {
                r = db_lookup_int(h->db, &seq, NEXT_SEQ, "");
                if (r < 0)
                        return r;
        }
        r = db_run(
                h->db,
                "INSERT INTO messages(id, seq, token, target, conversation, task, method, params, request, work, created)"
                " VALUES(?, nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "sissssssiii",
                id,
                seq,
                m->token,
                target,
                m->conversation,
                m->task,
                m->method,
                json_text(m->params),
                (int64_t) !m->notification,
                (int64_t) hub_is_work(m->method),
                now_usec(CLOCK_REALTIME));
        return MIN(r, 0);
}

int hub_send(Hub *h, const HubMessage *m, char **ret_id, RpcError *e) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *target = NULL, *copy = NULL;
        char id[RANDOM_ID_SIZE];
        int64_t open;
        int r;

        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        r = db_lookup_int(
                h->db,
                &open,
                "SELECT count(*) FROM messages WHERE token=? AND answered IS NULL",
                "s",
                m->token);
        if (r < 0)
                return r;
        if (open >= HUB_OPEN_MESSAGES_MAX)
                return rpc_refuse(
                        e, RPC_AT_CAPACITY, "%" PRIi64 " messages of this token are open already", open);
        if (m->target)
                r = free_and_strdup(&target, m->target);
        else if (hub_is_work(m->method) || !m->conversation)
                r = hub_active_runner(h, m->token, &target);
        else
                r = db_lookup(
                        h->db, &target, "SELECT owner FROM conversations WHERE id=?", "s", m->conversation);
        if (r < 0)
                return r;
        envelope_id(id);
        copy = strdup(id);
        if (!copy)
                return -ENOMEM;
        r = insert(h, m, id, target);
        if (r < 0)
                return r;
        r = transaction_commit(&t);
        if (r < 0)
                return r;
        if (target)
                hub_wake_runner(h, target);
        *ret_id = TAKE_PTR(copy);
        return 0;
}

/* ---- delivery ---- */

static int append_envelope(Statement *s, Buffer *b) {
        char stamp[TIMESTAMP_MAX];

        (void) buffer_append_str(b, "{\"id\":");
        (void) buffer_append_json_str(b, db_text(s, 1));
        (void) buffer_append_str(b, ",\"runnerUid\":");
        (void) buffer_append_json_str(b, db_text(s, 2));
        if (db_text(s, 3)) {
                (void) buffer_append_str(b, ",\"conversationId\":");
                (void) buffer_append_json_str(b, db_text(s, 3));
        }
        if (db_text(s, 4)) {
                (void) buffer_append_str(b, ",\"taskId\":");
                (void) buffer_append_json_str(b, db_text(s, 4));
        }
        (void) buffer_printf(
                b,
                ",\"createdAt\":\"%s\",\"payload\":{\"jsonrpc\":\"2.0\"",
                format_timestamp((uint64_t) db_int(s, 8), stamp));
        if (db_int(s, 7)) {
                (void) buffer_append_str(b, ",\"id\":");
                (void) buffer_append_json_str(b, db_text(s, 1));
        }
        (void) buffer_append_str(b, ",\"method\":");
        (void) buffer_append_json_str(b, db_text(s, 5));
        (void) buffer_append_str(b, ",\"params\":");
        (void) buffer_append_str(b, db_text(s, 6));
        return buffer_append_str(b, "}}");
}

int hub_next_message(Hub *h, const char *uid, int64_t *seq, Buffer *b) {
        _cleanup_statement_ Statement *s = NULL;
        int r;

        r = db_query(
                h->db,
                &s,
                "SELECT seq, id, target, conversation, task, method, params, request, created FROM messages"
                " WHERE target=? AND seq>? AND answered IS NULL ORDER BY seq LIMIT 1",
                "si",
                uid,
                *seq);
        if (r < 0)
                return r;
        r = db_step(s);
        if (r <= 0)
                return r;
        r = append_envelope(s, b);
        if (r < 0)
                return r;
        *seq = db_int(s, 0);
        return 1;
}

int hub_acknowledge(Hub *h, const char *uid, int64_t seq) {
        int r;

        r = db_run(h->db, "UPDATE runners SET acked=?1 WHERE uid=?2 AND acked<?1", "is", seq, uid);
        if (r <= 0)
                return r;
        r = db_run(
                h->db,
                "UPDATE messages SET answered=? WHERE target=? AND seq<=? AND NOT request AND answered IS NULL",
                "isi",
                now_usec(CLOCK_REALTIME),
                uid,
                seq);
        return MIN(r, 0);
}

/* Each message that sql selects, whose parameter is key, gets a new place, addressed to uid. The rows change while they are
 * read: ORDER BY +n sorts them into a table of its own. */
static int place_again(Hub *h, const char *sql, const char *key, const char *uid) {
        _cleanup_statement_ Statement *s = NULL;
        bool any = false;
        int64_t seq;
        int r;

        r = db_query(h->db, &s, sql, "s", key);
        if (r < 0)
                return r;
        while ((r = db_step(s)) > 0) {
                r = db_lookup_int(h->db, &seq, NEXT_SEQ, "");
                if (r < 0)
                        return r;
                r = db_run(
                        h->db,
                        "UPDATE messages SET seq=?, target=? WHERE n=?",
                        "isi",
                        seq,
                        uid,
                        db_int(s, 0));
                if (r < 0)
                        return r;
                any = true;
        }
        if (any)
                hub_wake_runner(h, uid);
        return r;
}

int readdress_work(Hub *h, const char *token, const char *uid) {
        return place_again(
                h,
                "SELECT n FROM messages WHERE token=? AND answered IS NULL AND claimed_by IS NULL"
                " AND (work OR target IS NULL AND conversation IS NULL) ORDER BY +n",
                token,
                uid);
}

int release_held(Hub *h, const char *conversation, const char *uid) {
        return place_again(
                h,
                "SELECT n FROM messages WHERE conversation=? AND target IS NULL AND answered IS NULL AND NOT work"
                " ORDER BY +n",
                conversation,
                uid);
}

/* Answers with an error what sql, whose parameters are the time, the response and key, selects. */
static int answer_error(Hub *h, const char *sql, const char *key, int code, const char *text) {
        _cleanup_buffer_ Buffer b = {};
        int r;

        (void) buffer_append_str(&b, "{\"error\":");
        (void) rpc_error_append(&b, code, text, NULL, NULL);
        r = buffer_append_str(&b, "}");
        if (r < 0)
                return r;
        r = db_run(h->db, sql, "iss", now_usec(CLOCK_REALTIME), b.data, key);
        if (r > 0)
                hub_wake_topic(h, HUB_ANSWERS);
        return MIN(r, 0);
}

int fail_held(Hub *h, const char *conversation, int code, const char *text) {
        return answer_error(
                h,
                "UPDATE messages SET answered=?, response=?"
                " WHERE conversation=? AND target IS NULL AND answered IS NULL",
                conversation,
                code,
                text);
}

int fail_targeted(Hub *h, const char *uid, int code, const char *text) {
        return answer_error(
                h,
                "UPDATE messages SET answered=?, response=?"
                " WHERE target=? AND answered IS NULL AND NOT (work AND claimed_by IS NULL)",
                uid,
                code,
                text);
}

/* ---- claims ---- */

/* Who has it: 1 and *ret_owner (NULL: none any more) where it is refused, 0 where it is granted. */
static int claim(Hub *h, const char *token, const char *uid, const char *id, char **ret_owner) {
        _cleanup_statement_ Statement *s = NULL;
        int r;

        r = db_query(
                h->db,
                &s,
                "SELECT m.claimed_by, m.conversation, c.owner, c.ended, m.answered, m.method, m.replaced_by"
                " FROM messages m"
                " LEFT JOIN conversations c ON c.id=m.conversation WHERE m.id=? AND m.token=? AND m.work",
                "ss",
                id,
                token);
        if (r < 0)
                return r;
        r = db_step(s);
        if (r <= 0)
                return r < 0 ? r : 1;
        const char *holder = db_text(s, 0), *conversation = db_text(s, 1), *owner = db_text(s, 2);
        bool ended = db_text(s, 3), answered = db_text(s, 4);

        if (db_text(s, 6)) { /* issued again since: no runner gets it under this id */
                *ret_owner = owner ? strdup(owner) : NULL;
                return owner && !*ret_owner ? -ENOMEM : 1;
        }
        if (!holder && owner && !(ended && streq(db_text(s, 5), "conversation.resume")))
                holder = owner;
        if (holder && !streq(holder, uid)) {
                *ret_owner = strdup(holder);
                return *ret_owner ? 1 : -ENOMEM;
        }
        if (answered && !db_text(s, 0))
                return 1;
        /* Once more: the grant was lost on its way. */
        if (db_text(s, 0))
                return 0;
        r = db_run(h->db, "UPDATE messages SET claimed_by=?1, target=?1 WHERE id=?2", "ss", uid, id);
        if (r < 0 || !conversation || streq(db_text(s, 5), "git.operation"))
                return MIN(r, 0);
        r = db_run(
                h->db,
                "UPDATE conversations SET owner=?, served=?, state='claimed', reason=NULL, ended=NULL, updated=?"
                " WHERE id=?",
                "siis",
                uid,
                (int64_t) !streq(db_text(s, 5), "conversation.start"),
                now_usec(CLOCK_REALTIME),
                conversation);
        if (r < 0)
                return r;
        return release_held(h, conversation, uid);
}

static int read_ids(Slice params, char ***ret, RpcError *e) {
        _cleanup_strv_free_ char **ids = new0(char *, 1);
        char id[MESSAGE_ID_MAX + 1];
        size_t iter = 0, n = 0;
        Slice list = {}, v;
        int r;

        if (!ids)
                return -ENOMEM;
        if (json_members(params, &(JsonMember){ "ids", &list }, 1))
                return rpc_refuse(e, RPC_INVALID_PARAMS, "ids: duplicate member");
        bool good = json_scan_type(list) == SCAN_ARRAY;
        while (good && json_scan_element(list, &iter, &v)) {
                r = json_string_into(v, id, sizeof(id));
                if (r == -ENOMEM)
                        return r;
                good = r >= 0 && n++ < HUB_CLAIM_MAX;
                if (good && strv_extend(&ids, id) < 0)
                        return -ENOMEM;
        }
        if (!good)
                return rpc_refuse(
                        e, RPC_INVALID_PARAMS, "ids: not a list of at most %d strings", HUB_CLAIM_MAX);
        *ret = TAKE_PTR(ids);
        return 0;
}

int hub_claim(Hub *h, const char *token, const char *uid, Slice params, Json **ret, RpcError *e) {
        _cleanup_json_ Json *o = json_object_new_object();
        Json *granted = json_object_new_array(), *refused = json_object_new_array();
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_strv_free_ char **ids = NULL;
        int r;

        r = json_set(o, "granted", granted);
        if (json_set(o, "refused", refused) < 0 || r < 0 || !o)
                return -ENOMEM;
        r = read_ids(params, &ids, e);
        if (r != 0)
                return r;
        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        STRV_FOREACH(id, ids) {
                _cleanup_free_ char *owner = NULL;

                r = claim(h, token, uid, *id, &owner);
                if (r < 0)
                        return r;
                if (r == 0) {
                        if (json_object_array_add(granted, json_object_new_string(*id)) < 0)
                                return -ENOMEM;
                        continue;
                }
                Json *no = json_object_new_object();
                if (!no || json_object_array_add(refused, no) < 0 || json_set_string(no, "id", *id) < 0 ||
                    json_object_object_add(no, "owner", owner ? json_object_new_string(owner) : NULL) < 0)
                        return -ENOMEM;
        }
        r = transaction_commit(&t);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

/* ---- answers ---- */

/* The runner's words are put in as they stand. */
static int add_answer(Json *o, const char *text) {
        Slice answer = { text, strlen(strempty(text)) }, error = {}, result = {};

        (void) json_members(answer, (const JsonMember[]){ { "error", &error }, { "result", &result } }, 2);
        if (json_is_there(error))
                return json_set(o, "error", json_raw(error));
        return json_is_there(result) ? json_set(o, "result", json_raw(result)) : 0;
}

int hub_message_get(Hub *h, const char *id, bool *ret_answered, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        _cleanup_statement_ Statement *s = NULL;
        int r;

        if (!o)
                return -ENOMEM;
        /* The newest is found by ids alone: what is sorted is copied, and an answer may be long. */
        r = db_query(
                h->db,
                &s,
                "WITH RECURSIVE chain(id, depth) AS (SELECT ?1, 0 UNION ALL"
                "  SELECT replaced_by, depth+1 FROM messages JOIN chain USING(id)"
                "  WHERE replaced_by IS NOT NULL AND depth<100)"
                " SELECT m.id, m.method, m.target, m.conversation, m.created, m.answered, m.response, m.claimed_by,"
                " m.seq, r.acked FROM messages m LEFT JOIN runners r ON r.uid=m.target"
                " WHERE m.id=(SELECT id FROM chain JOIN messages USING(id) ORDER BY depth DESC LIMIT 1)",
                "s",
                id);
        if (r < 0)
                return r;
        r = db_step(s);
        if (r <= 0)
                return r;
        bool answered = db_text(s, 5);
        const char *state = answered         ? "answered" :
                !db_text(s, 2)               ? "held" :
                db_int(s, 8) <= db_int(s, 9) ? "delivered" :
                db_text(s, 7)                ? "claimed" :
                                               "queued";
        if (row_string(o, "messageId", s, 0) < 0 || row_string(o, "method", s, 1) < 0 ||
            row_string(o, "runnerUid", s, 2) < 0 || row_string(o, "conversationId", s, 3) < 0 ||
            row_time(o, "createdAt", s, 4) < 0 || row_time(o, "answeredAt", s, 5) < 0 ||
            json_set_string(o, "state", state) < 0 || add_answer(o, db_text(s, 6)) < 0)
                return -ENOMEM;
        *ret_answered = answered;
        *ret = TAKE_PTR(o);
        return 1;
}
