/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/ident.h"
#include "common/log.h"
#include "orchestrator/hub/conversations.h"
#include "orchestrator/hub/hub-internal.h"
#include "orchestrator/hub/messages.h"
#include "orchestrator/hub/runners.h"
#include "orchestrator/hub/takeover.h"
#include "orchestrator/hub/tokens.h"
#include "orchestrator/wire/json-members.h"

/* A store's identity is its storeId; the uid that addresses its runner stays the same for the store's whole life. The
 * runnerId is another one for each generation, so that requests of a process that was superseded are distinguished from
 * those of its successor, and of a clone. */

#define PROTOCOL 1
#define STORE_ID_MAX 128
/* "Seen" is written no oftener than this. */
#define SEEN_USEC (5 * USEC_PER_SEC)

typedef struct Registration {
        const char *token;
        Slice params, conversations;
        char store_id[STORE_ID_MAX + 1], previous_uid[RANDOM_ID_SIZE]; /* "": none */
        uint64_t generation;
        char uid[RANDOM_ID_SIZE], runner_id[RANDOM_ID_SIZE];
        char *hostname, *version;
        bool is_known, is_active, same_process;
        int64_t acked;
} Registration;

static void registration_done(Registration *g) {
        free(g->hostname);
        free(g->version);
}

/* How many conversations it names. */
static size_t count_conversations(const Registration *g) {
        size_t n = 0, iter = 0;
        Slice v;

        while (json_scan_element(g->conversations, &iter, &v))
                n++;
        return n;
}

static int
check_registration(Registration *g, Slice protocol, Slice generation, Slice store_id, RpcError *e) {
        uint64_t version;
        int r;

        if (json_scan_u64(protocol, &version) < 0 || version != PROTOCOL)
                return rpc_refuse(e, RPC_INVALID_PARAMS, "protocol: only version %d is supported", PROTOCOL);
        if (json_is_there(generation) &&
            (json_scan_u64(generation, &g->generation) < 0 || g->generation > INT64_MAX))
                return rpc_refuse(e, RPC_INVALID_PARAMS, "generation: not a whole number");
        r = json_string_into(store_id, g->store_id, sizeof(g->store_id));
        if (r == -ENOMEM)
                return r;
        if (r == -EOVERFLOW || (r >= 0 && !g->store_id[0]))
                return rpc_refuse(e, RPC_INVALID_PARAMS, "storeId: empty or too long");
        if (json_scan_type(g->conversations) != SCAN_ARRAY)
                g->conversations = (Slice){};
        if (count_conversations(g) > HUB_ADOPTED_MAX)
                return rpc_refuse(e, RPC_INVALID_PARAMS, "conversations: more than %d", HUB_ADOPTED_MAX);
        return 0;
}

static int parse_registration(Registration *g, Slice params, RpcError *e) {
        Slice protocol = {}, generation = {}, store_id = {}, previous_uid = {}, hostname = {}, version = {};
        const char *twice;
        int r;

        if (params.size > HUB_REGISTRATION_MAX)
                return rpc_refuse(
                        e, RPC_INVALID_PARAMS, "params: more than %zu bytes", HUB_REGISTRATION_MAX);
        g->params = params;
        twice = json_members(
                params,
                (const JsonMember[]){
                        { "protocol", &protocol },
                        { "generation", &generation },
                        { "storeId", &store_id },
                        { "previousRunnerUid", &previous_uid },
                        { "hostname", &hostname },
                        { "version", &version },
                        { "conversations", &g->conversations },
                },
                7);
        if (twice)
                return rpc_refuse(e, RPC_INVALID_PARAMS, "%s: duplicate member", twice);
        r = check_registration(g, protocol, generation, store_id, e);
        if (r != 0)
                return r;
        /* One that is longer than any of ours is none of ours. */
        r = json_string_into(previous_uid, g->previous_uid, sizeof(g->previous_uid));
        if (r == -ENOMEM)
                return r;
        r = json_string_cut(hostname, HUB_NAME_MAX, &g->hostname);
        if (r >= 0)
                r = json_string_cut(version, HUB_NAME_MAX, &g->version);
        return r;
}

/* The check for restored backups and cloned machines: a store's generation only grows. The same generation once more is
 * the same process (it shows the runnerId it was given), or one whose first answer was lost on the way. */
static int check_known(Hub *h, Registration *g, Statement *s, const char *runner_id, RpcError *e) {
        uint64_t known = (uint64_t) db_int(s, 2);
        bool confirmed = db_int(s, 4);

        (void) snprintf(g->uid, sizeof(g->uid), "%s", db_text(s, 0));
        (void) snprintf(g->runner_id, sizeof(g->runner_id), "%s", db_text(s, 1));
        g->is_known = true;
        g->is_active = db_int(s, 5);
        g->acked = db_int(s, 6);
        if (!streq(db_text(s, 3), g->token) && confirmed && !streq(g->previous_uid, g->uid))
                return rpc_refuse(e, RPC_STALE_STORE, "this store is registered with another token");
        if (!g->store_id[0])
                return 0;
        /* A store has the newest runnerId before anything is asked with it, so that a copy is who shows an older one. */
        if (confirmed && runner_id && !streq(runner_id, g->runner_id) && hub_is_connected(h, g->uid))
                return rpc_refuse(
                        e,
                        RPC_STALE_STORE,
                        "another process with this store is connected: a restored backup or a cloned machine");
        if (g->generation > known)
                return 0;
        if (g->generation < known)
                return rpc_refuse(
                        e,
                        RPC_STALE_STORE,
                        "generation %" PRIu64 " of this store is older than %" PRIu64
                        ", which is known: a restored backup or a cloned machine",
                        g->generation,
                        known);
        g->same_process = streq_ptr(runner_id, g->runner_id);
        if (confirmed && !g->same_process)
                return rpc_refuse(
                        e,
                        RPC_STALE_STORE,
                        "generation %" PRIu64 " of this store is registered by another process: "
                        "a restored backup or a cloned machine",
                        g->generation);
        return 0;
}

static int find_known(Hub *h, Registration *g, const char *runner_id, RpcError *e) {
        _cleanup_statement_ Statement *s = NULL;
        int64_t n;
        int r;

#define COLUMNS "uid, runner_id, generation, token, confirmed, active, acked"
        if (g->store_id[0])
                r = db_query(
                        h->db, &s, "SELECT " COLUMNS " FROM runners WHERE store_id=?", "s", g->store_id);
        else /* a runner without a store of its own */
                r = db_query(
                        h->db,
                        &s,
                        "SELECT " COLUMNS " FROM runners WHERE uid=? AND token=? AND store_id IS NULL",
                        "ss",
                        g->previous_uid,
                        g->token);
#undef COLUMNS
        if (r < 0)
                return r;
        r = db_step(s);
        if (r < 0)
                return r;
        if (r > 0)
                return check_known(h, g, s, runner_id, e);
        r = db_lookup_int(h->db, &n, "SELECT count(*) FROM runners WHERE token=?", "s", g->token);
        if (r < 0)
                return r;
        if (n >= HUB_RUNNERS_PER_TOKEN_MAX)
                return rpc_refuse(
                        e,
                        RPC_AT_CAPACITY,
                        "too many runners with this token: forget those that no longer exist");
        random_id("ru-", g->uid);
        return 0;
}

static int send_uid_changed(Hub *h, const char *token, const char *to, const char *active) {
        _cleanup_json_ Json *params = json_object_new_object();
        char cursor[CURSOR_SIZE], stamp[TIMESTAMP_MAX];
        _cleanup_free_ char *id = NULL;
        int64_t acked, last;
        RpcError e;
        int r;

        if (!params)
                return -ENOMEM;
        /* Only the newest of them says anything. */
        r = db_run(
                h->db,
                "UPDATE messages SET answered=? WHERE target=? AND method='runner.uid.changed' AND answered IS NULL",
                "is",
                now_usec(CLOCK_REALTIME),
                to);
        if (r < 0)
                return r;
        r = db_lookup_int(h->db, &acked, "SELECT acked FROM runners WHERE uid=?", "s", to);
        if (r < 0)
                return r;
        r = db_lookup_int(
                h->db,
                &last,
                "SELECT created FROM messages WHERE target=? AND seq<=? ORDER BY seq DESC LIMIT 1",
                "si",
                to,
                acked);
        if (r < 0)
                return r;
        if (json_set_string(params, "runnerUid", active) < 0 ||
            json_object_object_add(
                    params,
                    "cursor",
                    acked > 0 ? json_object_new_string(hub_cursor(h, acked, cursor)) : NULL) < 0)
                return -ENOMEM;
        if (last > 0 &&
            json_set_string(params, "lastProcessedAt", format_timestamp((uint64_t) last, stamp)) < 0)
                return -ENOMEM;
        HubMessage m = {
                .token = token,
                .target = to,
                .method = "runner.uid.changed",
                .params = params,
                .notification = true,
        };
        r = hub_send(h, &m, &id, &e);
        if (r > 0)
                log_warning("Failed to inform runner %s that the active runner has changed: %s", to, e.text);
        return MIN(r, 0);
}

/* Makes uid the token's active runner, informs the runners concerned, and gives it the work that no runner has claimed. */
static int make_active(Hub *h, const char *token, const char *uid, bool notify_itself) {
        _cleanup_strv_free_ char **others = NULL;
        _cleanup_statement_ Statement *s = NULL;
        int r;

        r = db_query(
                h->db,
                &s,
                "SELECT uid FROM runners WHERE token=? AND (?2 OR uid!=?3)",
                "sis",
                token,
                (int64_t) notify_itself,
                uid);
        if (r < 0)
                return r;
        while ((r = db_step(s)) > 0)
                if (strv_extend(&others, db_text(s, 0)) < 0)
                        return -ENOMEM;
        if (r < 0)
                return r;
        r = db_run(h->db, "UPDATE runners SET active=(uid=?) WHERE token=?", "ss", uid, token);
        if (r < 0)
                return r;
        if (!notify_itself) {
                /* The answer to its registration reports it; what waited for it while it was away is out of date. */
                r = db_run(
                        h->db,
                        "UPDATE messages SET answered=? WHERE target=? AND method='runner.uid.changed'"
                        " AND answered IS NULL",
                        "is",
                        now_usec(CLOCK_REALTIME),
                        uid);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH(other, others) {
                r = send_uid_changed(h, token, *other, uid);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What is shown to administrators: of a long registration all but the conversations, which they see anyway. */
static int registration_kept(const Registration *g, Buffer *b) {
        bool whole = g->params.size <= HUB_REGISTRATION_KEPT;
        const char *before = "{";
        Slice name, value;
        size_t iter = 0;

        if (whole)
                return json_append_line(b, g->params);
        while (json_scan_next_member(g->params, &iter, &name, &value)) {
                if (value.data == g->conversations.data ||
                    b->size + name.size + value.size + strlen(",:}") > HUB_REGISTRATION_KEPT)
                        continue;
                (void) buffer_append_str(b, before);
                (void) json_append_line(b, name);
                (void) buffer_append_str(b, ":");
                (void) json_append_line(b, value);
                before = ",";
        }
        return buffer_append_str(b, *before == '{' ? "{}" : "}");
}

static int store_registration(Hub *h, Registration *g) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        _cleanup_buffer_ Buffer kept = {};
        int r;

        if (!g->same_process)
                random_id("rn-", g->runner_id);
        r = registration_kept(g, &kept);
        if (r < 0)
                return r;
        if (g->is_known)
                r = db_run(
                        h->db,
                        "UPDATE runners SET runner_id=?, token=?, generation=?, confirmed=?, hostname=?, version=?,"
                        " info=?, heartbeat=NULL, registered=?, seen=? WHERE uid=?",
                        "ssiisstiis",
                        g->runner_id,
                        g->token,
                        g->generation,
                        (int64_t) g->same_process,
                        g->hostname,
                        g->version,
                        kept.data,
                        kept.size,
                        now,
                        now,
                        g->uid);
        else
                r = db_run(
                        h->db,
                        "INSERT INTO runners(uid, runner_id, token, store_id, generation, hostname, version, info,"
                        " registered, seen) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        "ssssisstii",
                        g->uid,
                        g->runner_id,
                        g->token,
                        g->store_id[0] ? g->store_id : NULL,
                        g->generation,
                        g->hostname,
                        g->version,
                        kept.data,
                        kept.size,
                        now,
                        now);
        return MIN(r, 0);
}

static int adopt_all(Hub *h, const Registration *g) {
        char id[IDENT_MAX + 1];
        size_t iter = 0;
        Slice v;
        int r;

        while (json_scan_element(g->conversations, &iter, &v)) {
                Slice name = {};

                if (json_scan_type(v) != SCAN_OBJECT ||
                    json_members(v, &(JsonMember){ "conversationId", &name }, 1))
                        continue;
                r = json_string_into(name, id, sizeof(id));
                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !ident_is_valid(id))
                        continue;
                r = adopt_conversation(h, g->token, g->uid, id);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int registration_result(Hub *h, const Registration *g, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object(), *capabilities = json_object_new_array();
        char cursor[CURSOR_SIZE], stamp[TIMESTAMP_MAX];
        int64_t last;
        int r;

        r = db_lookup_int(
                h->db,
                &last,
                "SELECT created FROM messages WHERE target=? AND seq<=? ORDER BY seq DESC LIMIT 1",
                "si",
                g->uid,
                g->acked);
        if (r < 0)
                return r;
        if (!o || !capabilities || json_object_array_add(capabilities, json_object_new_string("claim")) < 0)
                return -ENOMEM;
        if (json_set_string(o, "runnerId", g->runner_id) < 0 ||
            json_set_string(o, "runnerUid", g->uid) < 0 ||
            json_set_bool(o, "isActiveRunner", g->is_active) < 0 ||
            json_object_object_add(
                    o,
                    "cursor",
                    g->acked > 0 ? json_object_new_string(hub_cursor(h, g->acked, cursor)) : NULL) < 0 ||
            json_object_object_add(
                    o,
                    "lastProcessedAt",
                    last > 0 ? json_object_new_string(format_timestamp((uint64_t) last, stamp)) : NULL) <
                    0 ||
            json_set(o, "capabilities", TAKE_PTR(capabilities)) < 0 ||
            (h->config.heartbeat_msec > 0 &&
             json_set_u64(o, "heartbeatIntervalMs", h->config.heartbeat_msec) < 0) ||
            (h->config.max_body_bytes > 0 && json_set_u64(o, "maxBodyBytes", h->config.max_body_bytes) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}

int hub_register(Hub *h, const char *token, const char *runner_id, Slice params, Json **ret, RpcError *e) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *active = NULL;
        _cleanup_(registration_done) Registration g = { .token = token };
        int r;

        r = parse_registration(&g, params, e);
        if (r != 0)
                return r;
        r = transaction_begin(h->db, &t);
        if (r < 0)
                return r;
        r = find_known(h, &g, runner_id, e);
        if (r != 0)
                return r;
        r = hub_active_runner(h, token, &active);
        if (r < 0)
                return r;
        r = store_registration(h, &g);
        if (r < 0)
                return r;
        /* A new registration makes its runner the active one; a process that merely comes back stays what it was. */
        if (!g.same_process || !active) {
                if (!streq_ptr(active, g.uid)) {
                        r = make_active(h, token, g.uid, false);
                        if (r < 0)
                                return r;
                }
                g.is_active = true;
        }
        r = adopt_all(h, &g);
        if (r < 0)
                return r;
        if (g.is_active) {
                r = readdress_work(h, token, g.uid);
                if (r < 0)
                        return r;
        }
        r = sweep_dead(h, token);
        if (r < 0)
                return r;
        r = registration_result(h, &g, ret);
        if (r < 0)
                return r;
        r = transaction_commit(&t);
        if (r < 0)
                return r;
        log_info(
                "Runner %s registered: %s, generation %" PRIu64 ", %s.",
                g.uid,
                strempty(g.hostname),
                g.generation,
                g.is_active ? "active" : "standby");
        return 0;
}

int hub_runner_seen(Hub *h, const char *token, const char *runner_id, char **ret_uid) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        int r;

        r = db_lookup(
                h->db,
                ret_uid,
                "SELECT uid FROM runners WHERE runner_id=? AND token=?",
                "ss",
                runner_id,
                token);
        if (r <= 0)
                return r;
        /* A full disk shall not keep a runner from reading what is there for it. */
        r = db_run(
                h->db,
                "UPDATE runners SET seen=?1, confirmed=1 WHERE uid=?2 AND (NOT confirmed OR seen<?3)",
                "isi",
                now,
                *ret_uid,
                now - SEEN_USEC);
        if (r < 0)
                log_debug_errno(r, "Failed to store the heartbeat of runner %s, ignoring: %m", *ret_uid);
        return 1;
}

int hub_heartbeat(Hub *h, const char *uid, const RunnerMessage *heartbeat) {
        _cleanup_buffer_ Buffer params = {};
        char cursor[CURSOR_SIZE];
        int r;

        r = json_append_line(&params, heartbeat->params);
        if (r < 0)
                return r;
        r = db_run(
                h->db,
                "UPDATE runners SET heartbeat=?, seen=? WHERE uid=?",
                "tis",
                params.data,
                params.size,
                now_usec(CLOCK_REALTIME),
                uid);
        if (r < 0)
                return r;
        r = json_string_into(heartbeat->cursor, cursor, sizeof(cursor));
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return hub_acknowledge(h, uid, hub_cursor_parse(h, cursor));
}

int hub_runner_token(Hub *h, const char *uid, char **ret, RpcError *e) {
        int r = db_lookup(h->db, ret, "SELECT token FROM runners WHERE uid=?", "s", uid);

        return r == 0 ?
                rpc_refuse(e, RPC_INVALID_PARAMS, "there is no runner %.*s", utf8_cut(uid, 64), uid) :
                MIN(r, 0);
}

/* Begins a transaction about a runner. 0, or what hub_runner_token() returned. */
static int begin_about(Hub *h, const char *uid, Transaction *t, char **ret_token, RpcError *e) {
        int r = transaction_begin(h->db, t);

        return r < 0 ? r : hub_runner_token(h, uid, ret_token, e);
}

int hub_runner_activate(Hub *h, const char *uid, RpcError *e) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *token = NULL;
        int r;

        r = begin_about(h, uid, &t, &token, e);
        if (r != 0)
                return r;
        r = make_active(h, token, uid, true);
        if (r < 0)
                return r;
        r = readdress_work(h, token, uid);
        if (r < 0)
                return r;
        return transaction_commit(&t);
}

int hub_runner_forget(Hub *h, const char *uid, RpcError *e) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_free_ char *token = NULL;
        int r;

        r = begin_about(h, uid, &t, &token, e);
        if (r != 0)
                return r;
        if (hub_is_connected(h, uid))
                return rpc_refuse(e, RPC_WRONG_STATE, "runner %s is connected", uid);
        r = db_run(h->db, "DELETE FROM runners WHERE uid=?", "s", uid);
        if (r < 0)
                return r;
        r = sweep_dead(h, token);
        if (r < 0)
                return r;
        r = lose_runner(h, uid);
        if (r < 0)
                return r;
        return transaction_commit(&t);
}

static int runner_to_json(Hub *h, Statement *s, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        const char *uid = db_text(s, 0), *info = db_text(s, 9), *heartbeat = db_text(s, 10);
        char cursor[CURSOR_SIZE];

        if (!o)
                return -ENOMEM;
        if (row_string(o, "runnerUid", s, 0) < 0 || row_string(o, "token", s, 1) < 0 ||
            row_string(o, "hostname", s, 2) < 0 || row_string(o, "version", s, 3) < 0 ||
            json_set_u64(o, "generation", (uint64_t) db_int(s, 4)) < 0 ||
            json_set_bool(o, "active", db_int(s, 5)) < 0 ||
            json_set_bool(o, "connected", hub_is_connected(h, uid)) < 0 ||
            row_time(o, "registeredAt", s, 6) < 0 || row_time(o, "seenAt", s, 7) < 0 ||
            json_set_u64(o, "conversations", (uint64_t) db_int(s, 11)) < 0 ||
            json_set_u64(o, "openMessages", (uint64_t) db_int(s, 12)) < 0 ||
            (db_int(s, 8) > 0 && json_set_string(o, "cursor", hub_cursor(h, db_int(s, 8), cursor)) < 0) ||
            (info && json_set(o, "registration", json_raw((Slice){ info, strlen(info) })) < 0) ||
            (heartbeat && json_set(o, "heartbeat", json_raw((Slice){ heartbeat, strlen(heartbeat) })) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}

int hub_next_runners(Hub *h, char **token, Buffer *b) {
        _cleanup_statement_ Statement *s = NULL;
        _cleanup_free_ char *next = NULL;
        size_t n = 0;
        int r;

        r = db_lookup(
                h->db, &next, "SELECT token FROM runners WHERE token>? ORDER BY token LIMIT 1", "s", *token);
        if (r <= 0)
                return r;
        r = db_query(
                h->db,
                &s,
                "SELECT uid, token, substr(hostname, 1, 256), substr(version, 1, 256), generation, active, registered,"
                " seen, acked, iif(length(info)<=?2, info, NULL), iif(length(heartbeat)<=?2, heartbeat, NULL),"
                " (SELECT count(*) FROM conversations WHERE owner=uid AND ended IS NULL),"
                " (SELECT count(*) FROM messages WHERE target=uid AND answered IS NULL)"
                " FROM runners WHERE token=?1 ORDER BY registered",
                "si",
                next,
                (int64_t) HUB_REGISTRATION_KEPT);
        if (r < 0)
                return r;
        while ((r = db_step(s)) > 0) {
                _cleanup_json_ Json *o = NULL;

                r = runner_to_json(h, s, &o);
                if (r < 0)
                        return r;
                if ((n++ > 0 && buffer_append_str(b, ",") < 0) || buffer_append_str(b, json_text(o)) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        free(*token);
        *token = TAKE_PTR(next);
        return 1;
}
