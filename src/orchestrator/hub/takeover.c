/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "common/log.h"
#include "orchestrator/hub/conversations.h"
#include "orchestrator/hub/hub-internal.h"
#include "orchestrator/hub/messages.h"
#include "orchestrator/hub/takeover.h"
#include "orchestrator/wire/json-members.h"

/* Conversations whose owner does not serve them: issued again for another, or given up with a runner that was forgotten. */

static int notify_old_owner(Hub *h, const char *token, const char *owner, const char *id) {
        _cleanup_json_ Json *params = json_object_new_object();
        _cleanup_free_ char *message = NULL;
        RpcError e;
        int r;

        if (!params || json_set_string(params, "conversationId", id) < 0 ||
            json_set_string(params, "reason", "taken-over") < 0)
                return -ENOMEM;
        HubMessage m = {
                .token = token,
                .target = owner,
                .conversation = id,
                .method = "conversation.stop",
                .params = params,
        };
        r = hub_send(h, &m, &message, &e);
        if (r > 0)
                log_warning(
                        "Failed to inform runner %s that conversation %s was taken over: %s",
                        owner,
                        id,
                        e.text);
        return MIN(r, 0);
}

static int
reissue(Hub *h,
        const char *id,
        const char *token,
        const char *owner,
        const char *task,
        Json *params,
        char **ret_id,
        RpcError *e) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        _cleanup_free_ char *message = NULL;
        int r;

        if (json_set_bool(params, "takeover", true) < 0)
                return -ENOMEM;
        r = db_run(
                h->db,
                "UPDATE conversations SET previous=owner, owner=NULL, served=0, state='queued', updated=? WHERE id=?",
                "is",
                now,
                id);
        if (r < 0)
                return r;
        /* What the old owner has not answered waits for the new one, behind its start. */
        r = db_run(
                h->db,
                "UPDATE messages SET target=NULL, seq=NULL, claimed_by=NULL"
                " WHERE conversation=? AND answered IS NULL AND NOT work",
                "s",
                id);
        if (r < 0)
                return r;
        HubMessage m = {
                .token = token,
                .conversation = id,
                .task = task,
                .method = "conversation.start",
                .params = params,
        };
        r = hub_send(h, &m, &message, e);
        if (r != 0)
                return r;
        r = db_run(
                h->db,
                "UPDATE messages SET answered=?1, replaced_by=?2"
                " WHERE conversation=?3 AND answered IS NULL AND work AND id!=?2",
                "iss",
                now,
                message,
                id);
        if (r < 0)
                return r;
        if (owner) {
                r = notify_old_owner(h, token, owner, id);
                if (r < 0)
                        return r;
        }
        log_notice(
                "Conversation %s is issued again; it was %s%s.",
                id,
                owner ? "granted to " : "not granted",
                strempty(owner));
        *ret_id = TAKE_PTR(message);
        return 0;
}

int hub_conversation_takeover(Hub *h, const char *id, bool force, char **ret_id, RpcError *e) {
        _cleanup_statement_ Statement *s = NULL;
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_json_ Json *params = NULL;
        int r;

        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        r = find_conversation(
                h,
                &s,
                "SELECT c.token, c.owner, c.state, c.task, c.params, r.uid FROM conversations c"
                " LEFT JOIN runners r ON r.uid=c.owner WHERE c.id=?",
                id,
                e);
        if (r != 0)
                return r;
        const char *owner = db_text(s, 1), *state = db_text(s, 2);
        if (streq(state, "ended") || streq(state, "refused"))
                return rpc_refuse(e, RPC_WRONG_STATE, "conversation %s is %s", id, state);
        if (!db_text(s, 4) || json_parse_small(db_text(s, 4), strlen(db_text(s, 4)), &params, NULL) < 0)
                return rpc_refuse(
                        e,
                        RPC_WRONG_STATE,
                        "conversation %s was started by its runner: no other runner can start it",
                        id);
        if (owner && !force && hub_is_connected(h, owner))
                return rpc_refuse(
                        e, RPC_WRONG_STATE, "runner %s, which has conversation %s, is connected", owner, id);
        /* A runner that was forgotten cannot be notified. */
        r = reissue(h, id, db_text(s, 0), db_text(s, 5), db_text(s, 3), params, ret_id, e);
        if (r != 0)
                return r;
        return transaction_commit(&t);
}

static int dead_candidates(Hub *h, const char *token, char ***ret) {
        uint64_t limit = now_usec(CLOCK_REALTIME) - h->config.dead_after_usec;
        _cleanup_strv_free_ char **list = NULL;
        _cleanup_statement_ Statement *s = NULL;
        int r;

        /* What was silent while this program did not run has a full term from its start on. */
        r = db_query(
                h->db,
                &s,
                "SELECT c.id, c.owner, a.uid FROM conversations c LEFT JOIN runners o ON o.uid=c.owner"
                " JOIN runners a ON a.token=c.token AND a.active"
                " WHERE c.state='claimed' AND NOT c.served AND a.uid!=c.owner AND (?1 IS NULL OR c.token=?1)"
                " AND (o.uid IS NULL OR max(o.seen, ?2)<=?3) LIMIT 100",
                "sii",
                token,
                h->started,
                limit);
        if (r < 0)
                return r;
        while ((r = db_step(s)) > 0)
                if (!hub_is_connected(h, db_text(s, 1)) && strv_extend(&list, db_text(s, 0)) < 0)
                        return -ENOMEM;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

int sweep_dead(Hub *h, const char *token) {
        _cleanup_strv_free_ char **ids = NULL;
        int r = dead_candidates(h, token, &ids);

        if (r < 0)
                return r;
        STRV_FOREACH(id, ids) {
                _cleanup_free_ char *message = NULL;
                RpcError e;

                r = hub_conversation_takeover(h, *id, false, &message, &e);
                if (r < 0)
                        return r;
                if (r > 0)
                        log_warning(
                                "Failed to issue conversation %s of a dead runner again: %s", *id, e.text);
        }
        return 0;
}

int lose_runner(Hub *h, const char *uid) {
        int r;

        r = db_run(
                h->db,
                "UPDATE conversations SET state='ended', reason='lost', ended=?1, updated=?1"
                " WHERE owner=?2 AND ended IS NULL",
                "is",
                now_usec(CLOCK_REALTIME),
                uid);
        if (r < 0)
                return r;
        r = fail_targeted(h, uid, RPC_UNKNOWN_CONVERSATION, "the runner was forgotten");
        hub_wake_topic(h, HUB_EVENTS);
        return r;
}
