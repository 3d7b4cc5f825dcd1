/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "runner/store/store-change.h"
#include "runner/store/store-events.h"
#include "runner/store/store-statement.h"
#include "runner/store/transaction.h"

/* ---- the runner's own events ---- */

void own_event_done(OwnEvent *e) {
        free(e->message_id);
        free(e->method);
        free(e->members);
        *e = (OwnEvent){};
}

/* The first part of a message id: the run's, or the store's where there is no run (yet). */
static int id_prefix(Store *s, const char *conversation, unsigned run, char **ret) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_RUN_ID,
                "SELECT run_id FROM runs WHERE conversation = ? AND run = ?",
                "si",
                conversation,
                (int64_t) run);
        if (r < 0)
                return r;
        if (r > 0)
                return statement_dup(&st, 0, ret);
        r = store_get(s, "storeId", ret);
        return r < 0 ? r : r == 0 ? -EUCLEAN : 0;
}

static int name_event(Store *s, const char *conversation, unsigned run, int64_t seq) {
        _cleanup_free_ char *prefix = NULL, *id = NULL;
        int r;

        r = id_prefix(s, conversation, run, &prefix);
        if (r < 0)
                return r;
        id = xasprintf("%s:e%lld", prefix, (long long) seq);
        if (!id)
                return -ENOMEM;
        return store_execute(
                s,
                STATEMENT_EVENT_NAME,
                "UPDATE own_events SET message_id = ?2 WHERE seq = ?1",
                "is",
                seq,
                id);
}

/* The text between the braces of an object. */
static char *text_of(Json *params) {
        const char *text = params ? json_text(params) : "{}";

        return text && strlen(text) >= 2 ? strndup(text + 1, strlen(text) - 2) : NULL;
}

int store_add_own_event(
        Store *s,
        const char *conversation,
        unsigned run,
        uint64_t at_offset,
        const char *message_id,
        const char *method,
        Json *params,
        int64_t *ret_seq) {
        _cleanup_free_ char *members = text_of(params);
        _cleanup_(transaction_done) Transaction t = {};
        int64_t seq = 0;
        int r;

        if (!members)
                return -ENOMEM;
        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = store_execute(
                s,
                STATEMENT_EVENT_ADD,
                "INSERT INTO own_events (conversation, run, at_offset, message_id, method, members) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                "siusss",
                conversation,
                (int64_t) run,
                at_offset,
                message_id,
                method,
                members);
        if (r >= 0) {
                seq = sqlite3_last_insert_rowid(s->db);
                if (!message_id)
                        r = name_event(s, conversation, run, seq);
        }
        r = transaction_finish(&t, r);
        if (r < 0)
                return r;
        if (ret_seq)
                *ret_seq = seq;
        return 0;
}

int store_next_own_event(
        Store *s,
        const char *conversation,
        unsigned run,
        int64_t after_seq,
        OwnEvent *ret) {
        _cleanup_statement_ Statement st = {};
        OwnEvent e = {};
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_EVENT_NEXT,
                "SELECT seq, at_offset, message_id, method, members FROM own_events "
                "WHERE conversation = ? AND run = ? AND seq > ? ORDER BY seq LIMIT 1",
                "sii",
                conversation,
                (int64_t) run,
                after_seq);
        if (r <= 0)
                return r;
        e.seq = statement_int(&st, 0);
        e.at_offset = statement_u64(&st, 1);
        r = statement_dup(&st, 2, &e.message_id);
        if (r >= 0)
                r = statement_dup(&st, 3, &e.method);
        if (r >= 0)
                r = statement_dup(&st, 4, &e.members);
        if (r < 0) {
                own_event_done(&e);
                return r;
        }
        *ret = e;
        return 1;
}

uint64_t store_count_own_events(Store *s, const char *conversation, unsigned run, int64_t after_seq) {
        _cleanup_statement_ Statement st = {};

        if (statement_first(
                    s,
                    &st,
                    STATEMENT_EVENT_COUNT,
                    "SELECT count(*) FROM own_events WHERE conversation = ? AND run >= ? AND seq > ?",
                    "sii",
                    conversation,
                    (int64_t) run,
                    after_seq) <= 0)
                return 0;
        return (uint64_t) sqlite3_column_int64(st.stmt, 0);
}

int store_delete_own_events(Store *s, const char *conversation, unsigned run, int64_t upto_seq) {
        int r = store_execute(
                s,
                STATEMENT_EVENT_ACKED,
                "DELETE FROM own_events WHERE conversation = ? AND run = ? AND seq <= ?",
                "sii",
                conversation,
                (int64_t) run,
                upto_seq);

        return r < 0 ? r : 0;
}

/* ---- events set aside ---- */

void set_aside_done(SetAside *e) {
        free(e->message_id);
        free(e->conversation);
        free(e->json);
        free(e->why);
        *e = (SetAside){};
}

int store_set_aside(
        Store *s,
        const char *message_id,
        const char *conversation,
        const char *json,
        size_t size,
        const char *why) {
        _cleanup_(transaction_done) Transaction t = {};
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = store_execute(
                s,
                STATEMENT_ASIDE_ADD,
                "INSERT INTO set_aside (message_id, conversation, json, why, when_usec) VALUES (?, ?, ?, ?, ?)",
                "ssbsu",
                message_id,
                conversation,
                json,
                size,
                why,
                now_usec(CLOCK_REALTIME));
        if (r >= 0)
                r = store_execute(
                        s,
                        STATEMENT_ASIDE_BOUND,
                        "DELETE FROM set_aside WHERE seq <= (SELECT max(seq) FROM set_aside) - ?",
                        "i",
                        (int64_t) STORE_SET_ASIDE_MAX);
        r = transaction_finish(&t, r);
        return r < 0 ? r : 0;
}

int store_list_set_aside(Store *s, SetAsideCallback cb, void *userdata) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_open(
                s,
                &st,
                STATEMENT_ASIDE_LIST,
                "SELECT seq, message_id, conversation, json, why, when_usec FROM set_aside ORDER BY seq",
                "");
        if (r < 0)
                return r;
        while ((r = statement_step(&st)) > 0) {
                SetAside e = {
                        .seq = statement_int(&st, 0),
                        .message_id = (char *) statement_text(&st, 1),
                        .conversation = (char *) statement_text(&st, 2),
                        .json = (char *) statement_text(&st, 3),
                        .why = (char *) statement_text(&st, 4),
                        .when_usec = statement_u64(&st, 5),
                };

                r = cb(&e, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

uint64_t store_count_set_aside(Store *s) {
        _cleanup_statement_ Statement st = {};

        if (statement_first(s, &st, STATEMENT_ASIDE_COUNT, "SELECT count(*) FROM set_aside", "") <= 0)
                return 0;
        return statement_u64(&st, 0);
}

int store_delete_set_aside(Store *s, int64_t seq) {
        return store_change(s, STATEMENT_ASIDE_DELETE, "DELETE FROM set_aside WHERE seq = ?", "i", seq);
}
