/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/ident.h"
#include "common/json-scan.h"
#include "orchestrator/hub/hub-internal.h"
#include "orchestrator/hub/tokens.h"

#define TOKEN_PREFIX "nfr_"
#define TOKEN_MAX 256
/* "Last used" is for people: it is written no oftener than this. */
#define USED_USEC (60 * USEC_PER_SEC)

int hub_token_create(Hub *h, const char *name, Json **ret, RpcError *e) {
        _cleanup_json_ Json *o = json_object_new_object();
        char secret[80], hash[SHA256_HEX_SIZE], id[16];
        int64_t n;
        int r;

        if (name && !ident_is_valid(name))
                return rpc_refuse(
                        e, RPC_INVALID_PARAMS, "name: not a valid name: %.*s", utf8_cut(name, 64), name);
        r = db_lookup_int(h->db, &n, "SELECT count(*) FROM tokens WHERE revoked IS NULL", "");
        if (r < 0)
                return r;
        if (n >= HUB_TOKENS_MAX)
                return rpc_refuse(
                        e, RPC_AT_CAPACITY, "there are %" PRIi64 " tokens already: revoke some", n);
        if (name) {
                r = db_lookup_int(
                        h->db,
                        &n,
                        "SELECT count(*) FROM tokens WHERE revoked IS NULL AND ?1 IN (name, id)",
                        "s",
                        name);
                if (r < 0)
                        return r;
                if (n > 0)
                        return rpc_refuse(
                                e, RPC_WRONG_STATE, "there is a token with the name %s already", name);
        }
        (void) snprintf(
                secret,
                sizeof(secret),
                TOKEN_PREFIX "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64,
                random_u64(),
                random_u64(),
                random_u64(),
                random_u64());
        (void) snprintf(id, sizeof(id), "t-%08x", (unsigned) (random_u64() & UINT32_MAX));
        sha256_hex(secret, strlen(secret), hash);
        r = db_run(
                h->db,
                "INSERT INTO tokens(id, name, hash, created) VALUES(?, ?, ?, ?)",
                "sssi",
                id,
                name,
                hash,
                now_usec(CLOCK_REALTIME));
        if (r < 0)
                return r;
        if (!o || json_set_string(o, "id", id) < 0 || json_set_string(o, "name", name) < 0 ||
            json_set_string(o, "token", secret) < 0)
                r = -ENOMEM;
        explicit_bzero(secret, sizeof(secret));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

int hub_token_list(Hub *h, Json **ret) {
        _cleanup_json_ Json *list = json_object_new_array();
        _cleanup_statement_ Statement *s = NULL;
        int r;

        if (!list)
                return -ENOMEM;
        r = db_query(
                h->db,
                &s,
                "SELECT id, name, created, used, revoked,"
                " (SELECT count(*) FROM runners WHERE token=tokens.id) FROM tokens ORDER BY created, id",
                "");
        if (r < 0)
                return r;
        while ((r = db_step(s)) > 0) {
                Json *o = json_object_new_object();

                if (!o || json_object_array_add(list, o) < 0)
                        return -ENOMEM;
                if (row_string(o, "id", s, 0) < 0 || row_string(o, "name", s, 1) < 0 ||
                    row_time(o, "createdAt", s, 2) < 0 || row_time(o, "lastUsedAt", s, 3) < 0 ||
                    row_time(o, "revokedAt", s, 4) < 0 ||
                    json_set_u64(o, "runners", (uint64_t) db_int(s, 5)) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

int hub_token_revoke(Hub *h, const char *name) {
        _cleanup_free_ char *id = NULL;
        int r;

        r = db_lookup(
                h->db, &id, "SELECT id FROM tokens WHERE ?1 IN (id, name) AND revoked IS NULL", "s", name);
        if (r <= 0)
                return r;
        r = db_run(h->db, "UPDATE tokens SET revoked=? WHERE id=?", "is", now_usec(CLOCK_REALTIME), id);
        if (r < 0)
                return r;
        for (HubListener *l = h->listeners, *next; l; l = next) {
                next = l->next;
                if (l->topic == HUB_RUNNER && streq(l->token, id))
                        l->close(l);
        }
        return 1;
}

int hub_token_check(Hub *h, const char *secret, char **ret_id) {
        uint64_t now = now_usec(CLOCK_REALTIME);
        char hash[SHA256_HEX_SIZE];
        size_t n = strlen(secret);

        if (n == 0 || n > TOKEN_MAX)
                return 0;
        sha256_hex(secret, n, hash);
        int r = db_lookup(
                h->db, ret_id, "SELECT id FROM tokens WHERE hash=? AND revoked IS NULL", "s", hash);
        if (r <= 0)
                return r;
        (void) db_run(
                h->db,
                "UPDATE tokens SET used=?1 WHERE id=?2 AND (used IS NULL OR used<?3)",
                "isi",
                now,
                *ret_id,
                now - USED_USEC);
        return 1;
}

int hub_token_find(Hub *h, const char *name, char **ret_id, RpcError *e) {
        _cleanup_statement_ Statement *s = NULL;
        _cleanup_free_ char *best = NULL;
        int64_t best_load = INT64_MAX;
        unsigned n = 0, connected = 0;
        int r;

        if (name) {
                r = db_lookup(
                        h->db,
                        ret_id,
                        "SELECT id FROM tokens WHERE ?1 IN (id, name) AND revoked IS NULL",
                        "s",
                        name);
                return r == 0 ? rpc_refuse(
                                        e,
                                        RPC_INVALID_PARAMS,
                                        "there is no valid token %.*s",
                                        utf8_cut(name, 64),
                                        name) :
                                MIN(r, 0);
        }
        /* No token is named: to the active runner that is connected and has the least to do. */
        r = db_query(
                h->db,
                &s,
                "SELECT t.id, r.uid, (SELECT count(*) FROM conversations WHERE owner=r.uid AND ended IS NULL)"
                " FROM tokens t LEFT JOIN runners r ON r.token=t.id AND r.active"
                " WHERE t.revoked IS NULL ORDER BY t.created, t.id",
                "");
        if (r < 0)
                return r;
        while ((r = db_step(s)) > 0) {
                const char *uid = db_text(s, 1);
                bool live = uid && hub_is_connected(h, uid);

                n++;
                connected += live;
                if ((live && db_int(s, 2) < best_load) || (!best && !live)) {
                        if (free_and_strdup(&best, db_text(s, 0)) < 0)
                                return -ENOMEM;
                        if (live)
                                best_load = db_int(s, 2);
                }
        }
        if (r < 0)
                return r;
        if (n == 0)
                return rpc_refuse(
                        e,
                        RPC_WRONG_STATE,
                        "there is no token yet: create one, so that runners can register");
        if (n > 1 && connected == 0)
                return rpc_refuse(
                        e, RPC_WRONG_STATE, "no runner is connected: name the token that the work is for");
        *ret_id = TAKE_PTR(best);
        return 0;
}

int hub_active_runner(Hub *h, const char *token, char **ret_uid) {
        return db_lookup(h->db, ret_uid, "SELECT uid FROM runners WHERE token=? AND active", "s", token);
}
