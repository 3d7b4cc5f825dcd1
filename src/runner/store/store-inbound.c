/* SPDX-License-Identifier: MIT */
#include "runner/store/store-change.h"
#include "runner/store/store-inbound.h"
#include "runner/store/store-statement.h"
#include "runner/store/transaction.h"

/* One call deletes at most so many, so that the loop is not held up; the caller comes again. */
#define PRUNE_AT_ONCE 5000

void inbound_message_done(InboundMessage *m) {
        free(m->envelope_id);
        free(m->conversation);
        free(m->method);
        free(m->params);
        free(m->request_id);
        free(m->response);
        *m = (InboundMessage){};
}

static int queue_response(Store *s, int64_t seq) {
        /* A new place at the end of the queue: acknowledging up to an older one does not touch it. */
        return store_execute(
                s,
                STATEMENT_RESPONSE_QUEUE,
                "INSERT OR REPLACE INTO responses (inbound) VALUES (?)",
                "i",
                seq);
}

/* 1, its seq and whether its response is known; 0 where the id is new. */
static int find(Store *s, const char *envelope_id, int64_t *ret_seq, bool *ret_has_response) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_INBOUND_FIND,
                "SELECT seq, response IS NOT NULL FROM inbound WHERE envelope_id = ?",
                "s",
                envelope_id);
        if (r <= 0)
                return r;
        *ret_seq = statement_int(&st, 0);
        *ret_has_response = statement_int(&st, 1) != 0;
        return 1;
}

static int add(Store *s, const InboundMessage *m, bool done, int64_t *ret_seq) {
        int r;

        r = store_execute(
                s,
                STATEMENT_INBOUND_ADD,
                "INSERT INTO inbound (envelope_id, conversation, method, params, request_id, response, "
                "received_usec, done) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                "ssssssui",
                m->envelope_id,
                m->conversation,
                m->method,
                done ? NULL : m->params,
                m->request_id,
                m->response,
                m->received_usec,
                (int64_t) done);
        if (r < 0)
                return r;
        *ret_seq = sqlite3_last_insert_rowid(s->db);
        return m->response ? queue_response(s, *ret_seq) : 0;
}

int store_accept(Store *s, const InboundMessage *m, const char *cursor, bool done, int64_t *ret_seq) {
        _cleanup_(transaction_done) Transaction t = {};
        bool has_response = false;
        int64_t seq = 0;
        int r, known;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = known = find(s, m->envelope_id, &seq, &has_response);
        if (known == 0)
                r = add(s, m, done, &seq);
        else if (known > 0 && has_response)
                r = queue_response(s, seq);
        if (r >= 0 && cursor)
                r = store_set(s, "cursor", cursor);
        r = transaction_finish(&t, r);
        if (r < 0)
                return r;
        if (ret_seq)
                *ret_seq = seq;
        return known > 0 ? 0 : 1;
}

int store_is_accepted(Store *s, const char *envelope_id) {
        bool has_response;
        int64_t seq;

        return find(s, envelope_id, &seq, &has_response);
}

int store_inbound_done(Store *s, int64_t seq) {
        return store_change(
                s,
                STATEMENT_INBOUND_DONE,
                "UPDATE inbound SET done = 1, params = NULL WHERE seq = ?",
                "i",
                seq);
}

int store_set_response(Store *s, int64_t seq, const char *response) {
        _cleanup_(transaction_done) Transaction t = {};
        int r;

        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        r = store_change(
                s,
                STATEMENT_INBOUND_RESPONSE,
                "UPDATE inbound SET response = ?2 WHERE seq = ?1",
                "is",
                seq,
                response);
        if (r >= 0)
                r = queue_response(s, seq);
        r = transaction_finish(&t, r);
        return r < 0 ? r : 0;
}

#define COLUMNS \
        "m.seq, m.envelope_id, m.conversation, m.method, m.params, m.request_id, m.response, m.received_usec"

static void borrow_row(Statement *st, InboundMessage *ret) {
        *ret = (InboundMessage){
                .seq = statement_int(st, 0),
                .envelope_id = (char *) statement_text(st, 1),
                .conversation = (char *) statement_text(st, 2),
                .method = (char *) statement_text(st, 3),
                .params = (char *) statement_text(st, 4),
                .request_id = (char *) statement_text(st, 5),
                .response = (char *) statement_text(st, 6),
                .received_usec = statement_u64(st, 7),
        };
}

static int copy_row(Statement *st, InboundMessage *ret) {
        InboundMessage m = { .seq = statement_int(st, 0), .received_usec = statement_u64(st, 7) };
        char **fields[] = {
                &m.envelope_id, &m.conversation, &m.method, &m.params, &m.request_id, &m.response
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(fields) && r >= 0; i++)
                r = statement_dup(st, (int) i + 1, fields[i]);
        if (r < 0) {
                inbound_message_done(&m);
                return r;
        }
        *ret = m;
        return 0;
}

int store_pending_inbound(Store *s, const char *conversation, InboundCallback cb, void *userdata) {
        _cleanup_statement_ Statement st = {};
        int r;

        if (conversation)
                r = statement_open(
                        s,
                        &st,
                        STATEMENT_INBOUND_PENDING,
                        "SELECT " COLUMNS " FROM inbound m WHERE conversation = ? AND done = 0 ORDER BY seq",
                        "s",
                        conversation);
        else
                r = statement_open(
                        s,
                        &st,
                        STATEMENT_INBOUND_PENDING_ALL,
                        "SELECT " COLUMNS " FROM inbound m WHERE done = 0 ORDER BY seq",
                        "");
        if (r < 0)
                return r;
        while ((r = statement_step(&st)) > 0) {
                InboundMessage m;

                borrow_row(&st, &m);
                r = cb(&m, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

int64_t store_count_pending(Store *s, const char *conversation) {
        _cleanup_statement_ Statement st = {};
        int r;

        if (conversation)
                r = statement_first(
                        s,
                        &st,
                        STATEMENT_INBOUND_COUNT,
                        "SELECT count(*) FROM inbound WHERE conversation = ? AND done = 0",
                        "s",
                        conversation);
        else
                r = statement_first(
                        s,
                        &st,
                        STATEMENT_INBOUND_COUNT_ALL,
                        "SELECT count(*) FROM inbound WHERE done = 0",
                        "");
        return r < 0 ? r : statement_int(&st, 0);
}

int store_next_response(Store *s, int64_t after_seq, InboundMessage *ret) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_RESPONSE_NEXT,
                "SELECT r.seq, m.envelope_id, m.conversation, m.method, NULL, m.request_id, m.response, "
                "m.received_usec FROM responses r JOIN inbound m ON m.seq = r.inbound "
                "WHERE r.seq > ? ORDER BY r.seq LIMIT 1",
                "i",
                after_seq);
        if (r <= 0)
                return r;
        r = copy_row(&st, ret);
        return r < 0 ? r : 1;
}

int store_response_acked(Store *s, int64_t upto_seq) {
        int r = store_execute(
                s, STATEMENT_RESPONSE_ACKED, "DELETE FROM responses WHERE seq <= ?", "i", upto_seq);

        return r < 0 ? r : 0;
}

int store_unheard_start(Store *s, const char *conversation, char **ret_envelope_id) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_RESPONSE_START,
                "SELECT m.envelope_id FROM responses r JOIN inbound m ON m.seq = r.inbound "
                "WHERE m.conversation = ? AND m.method IN ('conversation.start', 'conversation.resume') "
                "ORDER BY m.seq DESC LIMIT 1",
                "s",
                conversation);
        if (r <= 0)
                return r;
        r = statement_dup(&st, 0, ret_envelope_id);
        return r < 0 ? r : 1;
}

int store_prune_inbound(Store *s, uint64_t older_than_usec, uint64_t keep_rows) {
        /* Only the oldest numbers are ever pruned, so the newest keep_rows are the last keep_rows numbers. */
        return store_execute(
                s,
                STATEMENT_INBOUND_PRUNE,
                "DELETE FROM inbound WHERE seq IN (SELECT m.seq FROM inbound m "
                "WHERE m.seq <= (SELECT max(seq) FROM inbound) - ?2 AND m.received_usec < ?1 AND m.done = 1 "
                "AND (m.request_id IS NULL OR m.response IS NOT NULL) "
                "AND NOT EXISTS (SELECT 1 FROM responses r WHERE r.inbound = m.seq) ORDER BY m.seq LIMIT ?3)",
                "uui",
                MIN(older_than_usec, (uint64_t) INT64_MAX),
                MIN(keep_rows, (uint64_t) INT64_MAX),
                (int64_t) PRUNE_AT_ONCE);
}
