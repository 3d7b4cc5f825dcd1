/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "common/ident.h"
#include "common/log.h"
#include "orchestrator/hub/conversations.h"
#include "orchestrator/hub/hub-internal.h"
#include "orchestrator/hub/messages.h"
#include "orchestrator/hub/tokens.h"
#include "orchestrator/wire/json-members.h"

/* Where a conversation is, seen from here: queued (no runner has claimed it), claimed (granted, no event of it yet),
 * starting (accepted by its owner), then what its owner says (idle, running, …), ended; or refused by its owner. */

int adopt_conversation(Hub *h, const char *token, const char *uid, const char *id) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        int r;

        r = db_run(
                h->db,
                "INSERT INTO conversations(id, token, owner, state, served, created, updated)"
                " VALUES(?, ?, ?, 'starting', 1, ?, ?) ON CONFLICT DO NOTHING",
                "sssii",
                id,
                token,
                uid,
                now,
                now);
        if (r != 0)
                return MIN(r, 0);
        r = db_run(
                h->db,
                "UPDATE conversations SET token=?1, owner=?2, served=1, updated=?3,"
                " state=CASE WHEN state IN ('queued', 'claimed') THEN 'starting' ELSE state END"
                " WHERE id=?4 AND token=?1 AND owner IS NULL AND previous IS NOT ?2",
                "ssis",
                token,
                uid,
                now,
                id);
        if (r > 0)
                return release_held(h, id, uid);
        if (r == 0) /* a store that moved to another token brings its conversations along */
                r = db_run(
                        h->db,
                        "UPDATE conversations SET token=? WHERE id=? AND owner=?",
                        "sss",
                        token,
                        id,
                        uid);
        return MIN(r, 0);
}

static int check_start(Json *params, RpcError *e) {
        static const char *const idents[] = { "agent", "taskId", "workspaceId" };

        for (size_t i = 0; i < ELEMENTSOF(idents); i++) {
                const char *s = json_get_string(params, idents[i]);

                if ((s && !ident_is_valid(s)) || (!s && json_get(params, idents[i])))
                        return rpc_refuse(
                                e,
                                RPC_INVALID_PARAMS,
                                "%s: not a valid id: %.*s",
                                idents[i],
                                utf8_cut(strempty(s), 64),
                                strempty(s));
        }
        if (!json_get_string(params, "agent"))
                return rpc_refuse(e, RPC_INVALID_PARAMS, "agent: missing");
        return 0;
}

static int insert_conversation(Hub *h, const char *token, const char *id, Json *params, RpcError *e) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        int r;

        /* An id may be used again only where nothing ever ran under it. */
        r = db_run(
                h->db,
                "INSERT INTO conversations(id, token, state, agent, workspace, task, params, created, updated)"
                " VALUES(?, ?, 'queued', ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET token=excluded.token, owner=NULL,"
                " state='queued', reason=NULL, agent=excluded.agent, workspace=excluded.workspace, task=excluded.task,"
                " params=excluded.params, updated=excluded.updated, ended=NULL WHERE state='refused'",
                "ssssssii",
                id,
                token,
                json_get_string(params, "agent"),
                json_get_string(params, "workspaceId"),
                json_get_string(params, "taskId"),
                json_text(params),
                now,
                now);
        if (r == 0)
                return rpc_refuse(e, RPC_WRONG_STATE, "there is a conversation %s already", id);
        return MIN(r, 0);
}

int hub_conversation_start(
        Hub *h,
        const char *token_name,
        const char *id,
        Json *params,
        Json **ret,
        RpcError *e) {
        _cleanup_free_ char *token = NULL, *message = NULL;
        _cleanup_json_ Json *o = json_object_new_object();
        _cleanup_(transaction_done) Transaction t = {};
        char made[RANDOM_ID_SIZE];
        int r;

        if (!o)
                return -ENOMEM;
        if (!id) {
                random_id("c-", made);
                made[2 + 16] = 0;
                id = made;
        }
        if (!ident_is_valid(id))
                return rpc_refuse(
                        e, RPC_INVALID_PARAMS, "conversationId: not a valid id: %.*s", utf8_cut(id, 64), id);
        r = check_start(params, e);
        if (r != 0)
                return r;
        r = hub_token_find(h, token_name, &token, e);
        if (r != 0)
                return r;
        if (json_set_string(params, "conversationId", id) < 0)
                return -ENOMEM;
        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        r = insert_conversation(h, token, id, params, e);
        if (r != 0)
                return r;
        HubMessage m = {
                .token = token,
                .conversation = id,
                .task = json_get_string(params, "taskId"),
                .method = "conversation.start",
                .params = params,
        };
        r = hub_send(h, &m, &message, e);
        if (r != 0)
                return r;
        if (json_set_string(o, "conversationId", id) < 0 || json_set_string(o, "messageId", message) < 0)
                return -ENOMEM;
        r = transaction_commit(&t);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

/* A runner that never had the conversation needs its description. */
static int
complete_resume(Hub *h, const char *token, const char *owner, const char *start, Json *params, RpcError *e) {
        _cleanup_json_ Json *known = NULL;
        _cleanup_free_ char *active = NULL;
        int r;

        r = hub_active_runner(h, token, &active);
        if (r < 0)
                return r;
        if (streq_ptr(active, owner) || !start || json_parse_small(start, strlen(start), &known, NULL) < 0)
                return 0;
        json_object_object_foreach(known, key, value) {
                if (streq(key, "prompt") || streq(key, "takeover") || json_get(params, key))
                        continue;
                r = json_set(params, key, json_object_get(value));
                if (r < 0)
                        return r;
        }
        if (strlen(strempty(json_text(params))) > HUB_PARAMS_MAX)
                return rpc_refuse(
                        e,
                        RPC_INVALID_PARAMS,
                        "params: more than %zu bytes with those of its start",
                        HUB_PARAMS_MAX);
        return 0;
}

int find_conversation(Hub *h, Statement **ret, const char *sql, const char *id, RpcError *e) {
        int r = db_query(h->db, ret, sql, "s", id);

        if (r >= 0)
                r = db_step(*ret);
        return r == 0 ?
                rpc_refuse(
                        e, RPC_UNKNOWN_CONVERSATION, "there is no conversation %.*s", utf8_cut(id, 64), id) :
                MIN(r, 0);
}

int hub_conversation_send(
        Hub *h,
        const char *id,
        const char *method,
        Json *params,
        bool notification,
        char **ret_id,
        RpcError *e) {
        _cleanup_statement_ Statement *s = NULL;
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *target = NULL;
        int r;

        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        r = find_conversation(
                h,
                &s,
                "SELECT token, owner, state, task, ended, params FROM conversations WHERE id=?",
                id,
                e);
        if (r != 0)
                return r;
        if (streq(method, "conversation.start"))
                return rpc_refuse(e, RPC_WRONG_STATE, "conversation %s exists already", id);
        if (streq(db_text(s, 2), "refused"))
                return rpc_refuse(e, RPC_WRONG_STATE, "conversation %s was refused and never ran", id);
        if (json_set_string(params, "conversationId", id) < 0)
                return -ENOMEM;
        /* Work on one that has ended goes to the active runner: its old owner may not take any. */
        if (db_text(s, 1) && !(hub_is_work(method) && db_text(s, 4))) {
                target = strdup(db_text(s, 1));
                if (!target)
                        return -ENOMEM;
        } else if (streq(method, "conversation.resume")) {
                r = complete_resume(h, db_text(s, 0), strempty(db_text(s, 1)), db_text(s, 5), params, e);
                if (r != 0)
                        return r;
        }
        HubMessage m = {
                .token = db_text(s, 0),
                .target = target,
                .conversation = id,
                .task = db_text(s, 3),
                .method = method,
                .params = params,
                .notification = notification,
        };
        r = hub_send(h, &m, ret_id, e);
        if (r != 0)
                return r;
        if (streq(method, "permission.respond"))
                (void) db_run(
                        h->db,
                        "DELETE FROM questions WHERE id=? AND conversation=?",
                        "ss",
                        json_get_string(params, "requestId"),
                        id);
        return transaction_commit(&t);
}

/* ---- what runners say ---- */

/* What an error says, or NULL. */
static int error_text(Slice error, char **ret) {
        Slice text = {};

        if (json_members(error, &(JsonMember){ "message", &text }, 1))
                text = (Slice){}; /* there twice */
        return json_string_cut(text, HUB_REASON_MAX, ret);
}

static int refused(Hub *h, const char *uid, const char *id, Slice error) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        _cleanup_free_ char *text = NULL;
        int r;

        r = error_text(error, &text);
        if (r < 0)
                return r;
        r = db_run(
                h->db,
                "UPDATE conversations SET state='refused', owner=NULL, reason=?1, ended=?2, updated=?2"
                " WHERE id=?3 AND NOT served AND (owner IS NULL OR owner=?4)",
                "siss",
                text ? text : "refused",
                now,
                id,
                uid);
        if (r <= 0)
                return r;
        /* Nothing of it can be served: what waits behind its start, and what was sent after its claim. */
        r = db_run(
                h->db,
                "UPDATE messages SET target=NULL, seq=NULL WHERE conversation=? AND answered IS NULL",
                "s",
                id);
        if (r < 0)
                return r;
        return fail_held(h, id, RPC_UNKNOWN_CONVERSATION, "the conversation was refused and never ran");
}

/* A claimed resumption that does not come about: the conversation is what it was. */
static int not_resumed(Hub *h, const char *id, Slice error) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = error_text(error, &text);
        if (r < 0)
                return r;
        r = db_run(
                h->db,
                "UPDATE conversations SET state='ended', reason=?1, ended=?2, updated=?2"
                " WHERE id=?3 AND state='claimed'",
                "sis",
                text,
                now_usec(CLOCK_REALTIME),
                id);

        return MIN(r, 0);
}

int conversation_answered(Hub *h, const char *uid, const char *id, const char *method, Slice error) {
        int r;

        if (streq(method, "conversation.resume"))
                return error.size > 0 ? not_resumed(h, id, error) : 0;
        if (!streq(method, "conversation.start"))
                return 0;
        if (error.size > 0)
                return refused(h, uid, id, error);
        r = db_run(
                h->db,
                "UPDATE conversations SET served=1, owner=coalesce(owner, ?1), updated=?2,"
                " state=CASE WHEN state IN ('queued', 'claimed') THEN 'starting' ELSE state END"
                " WHERE id=?3 AND (owner IS NULL OR owner=?1)",
                "sis",
                uid,
                now_usec(CLOCK_REALTIME),
                id);
        if (r <= 0)
                return r;
        return release_held(h, id, uid); /* of one that was accepted without a claim */
}

static int set_state(Hub *h, const char *id, const char *state) {
        int r = db_run(
                h->db,
                "UPDATE conversations SET state=?, served=1, updated=?, ended=NULL, reason=NULL WHERE id=?",
                "sis",
                state,
                now_usec(CLOCK_REALTIME),
                id);

        return MIN(r, 0);
}

static int ended(Hub *h, const char *id, Slice reason) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        _cleanup_free_ char *text = NULL;
        int r;

        r = json_string_cut(reason, HUB_REASON_MAX, &text);
        if (r < 0)
                return r;
        r = db_run(
                h->db,
                "UPDATE conversations SET state='ended', served=1, reason=?1, ended=?2, updated=?2 WHERE id=?3",
                "sis",
                text,
                now,
                id);
        if (r < 0)
                return r;
        r = db_run(h->db, "DELETE FROM questions WHERE conversation=?", "s", id);
        return MIN(r, 0);
}

static int asked(Hub *h, const char *id, const RunnerMessage *m) {
        _cleanup_free_ char *tool = NULL, *title = NULL;
        int r;

        r = json_string_cut(m->tool, HUB_NAME_MAX, &tool);
        if (r >= 0)
                r = json_string_cut(m->title, HUB_TITLE_MAX, &title);
        if (r < 0)
                return r;
        r = db_run(
                h->db,
                "INSERT INTO questions(id, conversation, tool, title, asked) VALUES(?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                "ssssi",
                m->message_id,
                id,
                tool,
                title,
                now_usec(CLOCK_REALTIME));
        /* No event reports that a user of the runner's machine has answered one: the old ones make room. */
        if (r >= 0)
                r = db_run(
                        h->db,
                        "DELETE FROM questions WHERE id IN (SELECT id FROM questions WHERE conversation=?"
                        " ORDER BY asked DESC, id DESC LIMIT -1 OFFSET ?)",
                        "si",
                        id,
                        (int64_t) HUB_QUESTIONS_MAX);
        return MIN(r, 0);
}

static int question_gone(Hub *h, const char *id, Slice request_id) {
        char request[MESSAGE_ID_MAX + 1];
        int r;

        r = json_string_into(request_id, request, sizeof(request));
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = db_run(h->db, "DELETE FROM questions WHERE id=? AND conversation=?", "ss", request, id);
        return MIN(r, 0);
}

static int apply_event(Hub *h, const char *id, const RunnerMessage *m) {
        char state[IDENT_MAX + 1], type[IDENT_MAX + 1];
        int r;

        if (streq(m->method, "conversation.started")) {
                uint64_t run = 0;

                (void) json_scan_u64(m->run, &run);
                r = db_run(h->db, "UPDATE conversations SET run=? WHERE id=?", "is", run, id);
                return r < 0 ? r : set_state(h, id, "running");
        }
        if (streq(m->method, "conversation.state")) {
                r = json_string_into(m->state, state, sizeof(state));
                if (r < 0)
                        return r == -ENOMEM ? r : 0;
                return ident_is_valid(state) ? set_state(h, id, state) : 0;
        }
        if (streq(m->method, "conversation.ended"))
                return ended(h, id, m->reason);
        if (streq(m->method, "permission.request"))
                return asked(h, id, m);
        r = json_string_into(m->event_type, type, sizeof(type));
        if (r == -ENOMEM)
                return r;
        if (streq(m->method, "permission.expired") || streq(type, "ask_gone"))
                return question_gone(h, id, m->request_id);
        return 0;
}

int conversation_event(
        Hub *h,
        const char *token,
        const char *uid,
        const RunnerMessage *event,
        bool *ret_foreign) {
        const char *id = event->conversation;
        _cleanup_statement_ Statement *s = NULL;
        int r;

        *ret_foreign = false;
        if (isempty(id))
                return 0;
        r = db_query(h->db, &s, "SELECT token, owner, previous FROM conversations WHERE id=?", "s", id);
        if (r < 0)
                return r;
        r = db_step(s);
        if (r < 0)
                return r;
        const char *owner = r > 0 ? db_text(s, 1) : NULL;
        if (r > 0 && !streq(db_text(s, 0), token) && !streq_ptr(owner, uid)) {
                *ret_foreign = true;
                return 0;
        }
        /* One that was taken from this runner: kept, but it is not its state that counts. */
        if (owner ? !streq(owner, uid) : r > 0 && streq_ptr(db_text(s, 2), uid))
                return 0;
        if (!owner) {
                r = adopt_conversation(h, token, uid, id);
                if (r < 0)
                        return r;
        }
        return apply_event(h, id, event);
}

/* ---- for the administrator ---- */

#define COLUMNS                                                                                                   \
        "id, token, owner, state, substr(reason, 1, 1024), agent, workspace, task, run, created, updated, ended," \
        " (SELECT count(*) FROM messages m WHERE m.conversation=c.id AND answered IS NULL)"

static int to_json(Hub *h, Statement *s, Json **ret) {
        static const char *const strings[] = {
                "conversationId", "token", "runnerUid", "state", "reason", "agent", "workspaceId", "taskId",
        };
        _cleanup_json_ Json *o = json_object_new_object();

        if (!o)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                if (row_string(o, strings[i], s, (int) i) < 0)
                        return -ENOMEM;
        if ((db_text(s, 8) && json_set_u64(o, "run", (uint64_t) db_int(s, 8)) < 0) ||
            row_time(o, "createdAt", s, 9) < 0 || row_time(o, "updatedAt", s, 10) < 0 ||
            row_time(o, "endedAt", s, 11) < 0 ||
            json_set_u64(o, "openMessages", (uint64_t) db_int(s, 12)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}

static int add_questions(Hub *h, const char *id, Json *o) {
        Json *list = json_object_new_array();
        _cleanup_statement_ Statement *s = NULL;
        int r;

        r = json_set(o, "questions", list);
        if (r < 0)
                return r;
        r = db_query(
                h->db,
                &s,
                "SELECT id, substr(tool, 1, 256), substr(title, 1, 1024), asked FROM questions"
                " WHERE conversation=? ORDER BY asked, id LIMIT ?",
                "si",
                id,
                (int64_t) HUB_QUESTIONS_MAX);
        if (r < 0)
                return r;
        while ((r = db_step(s)) > 0) {
                Json *q = json_object_new_object();

                if (!q || json_object_array_add(list, q) < 0)
                        return -ENOMEM;
                if (row_string(q, "requestId", s, 0) < 0 || row_string(q, "tool", s, 1) < 0 ||
                    row_string(q, "title", s, 2) < 0 || row_time(q, "askedAt", s, 3) < 0)
                        return -ENOMEM;
        }
        return r;
}

int hub_conversation_get(Hub *h, const char *id, Json **ret) {
        _cleanup_statement_ Statement *s = NULL;
        _cleanup_json_ Json *o = NULL;
        int r;

        r = db_query(h->db, &s, "SELECT " COLUMNS ", params FROM conversations c WHERE id=?", "s", id);
        if (r < 0)
                return r;
        r = db_step(s);
        if (r <= 0)
                return r;
        r = to_json(h, s, &o);
        if (r < 0)
                return r;
        const char *params = db_text(s, 13);
        if (params && json_set(o, "params", json_raw((Slice){ params, strlen(params) })) < 0)
                return -ENOMEM;
        r = add_questions(h, id, o);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 1;
}

int hub_conversation_list(Hub *h, bool all, uint64_t limit, Json **ret) {
        _cleanup_json_ Json *list = json_object_new_array();
        _cleanup_statement_ Statement *s = NULL;
        int r;

        if (!list)
                return -ENOMEM;
        r = db_query(
                h->db,
                &s,
                "SELECT * FROM (SELECT " COLUMNS " FROM conversations c WHERE ? OR ended IS NULL"
                " ORDER BY created DESC, id LIMIT ?) ORDER BY created, id",
                "ii",
                (int64_t) all,
                limit);
        if (r < 0)
                return r;
        while ((r = db_step(s)) > 0) {
                Json *o;

                r = to_json(h, s, &o);
                if (r < 0)
                        return r;
                if (json_object_array_add(list, o) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

int hub_conversation_has_ended(Hub *h, const char *id, bool *ret_known) {
        int64_t ended;
        int r = db_lookup_int(
                h->db, &ended, "SELECT ended IS NOT NULL FROM conversations WHERE id=?", "s", id);

        if (r < 0)
                return r;
        *ret_known = r > 0;
        return ended != 0;
}
