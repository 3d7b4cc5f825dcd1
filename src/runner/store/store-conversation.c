/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "runner/store/store-change.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-statement.h"
#include "runner/store/transaction.h"

void conversation_row_done(ConversationRow *r) {
        free(r->id);
        free(r->workspace);
        free(r->task);
        free(r->agent);
        free(r->origin);
        free(r->params);
        free(r->session);
        free(r->unknown);
        free(r->detail);
        free(r->directory);
        free(r->branch);
        *r = (ConversationRow){};
}

int store_put_conversation(Store *s, const ConversationRow *r) {
        int q = store_execute(
                s,
                STATEMENT_CONVERSATION_PUT,
                "INSERT INTO conversations (id, workspace, task, agent, origin, params, session, state, reason, detail, "
                "directory, branch, run, created_usec, ended_usec, delivered) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) "
                "ON CONFLICT (id) DO UPDATE SET workspace = ?2, task = ?3, agent = ?4, origin = ?5, params = coalesce(?6, params), "
                "session = ?7, state = ?8, reason = ?9, detail = ?10, directory = ?11, branch = ?12, run = ?13, "
                "created_usec = ?14, ended_usec = ?15, delivered = ?16",
                "ssssssssssssiuui",
                r->id,
                r->workspace,
                r->task,
                r->agent,
                r->origin,
                r->params,
                r->session,
                conversation_state_to_string(r->state),
                end_reason_to_string(r->reason),
                r->detail,
                r->directory,
                r->branch,
                (int64_t) r->run,
                r->created_usec,
                r->ended_usec,
                (int64_t) r->delivered);

        return q < 0 ? q : 0;
}

#define CONVERSATION_COLUMNS                                                                                   \
        "id, workspace, task, agent, origin, params, session, detail, directory, branch, state, reason, run, " \
        "created_usec, ended_usec, delivered"
#define CONVERSATION_TEXTS(r)                                                                   \
        {                                                                                       \
                &(r)->id, &(r)->workspace, &(r)->task, &(r)->agent, &(r)->origin, &(r)->params, \
                        &(r)->session, &(r)->detail, &(r)->directory, &(r)->branch              \
        }
#define CONVERSATION_N_TEXTS 10

/* All that is not copied. *ret_unknown is lent, as the statement has it. */
static void conversation_values(Statement *st, ConversationRow *ret, const char **ret_unknown) {
        const char *state = statement_text(st, CONVERSATION_N_TEXTS),
                   *reason = statement_text(st, CONVERSATION_N_TEXTS + 1);

        ret->state = conversation_state_from_string(state);
        ret->reason = end_reason_from_string(reason);
        *ret_unknown = ret->state == CONVERSATION_UNKNOWN ? strempty(state) :
                ret->reason == END_UNKNOWN                ? reason :
                                                            NULL;
        ret->run = (unsigned) statement_int(st, CONVERSATION_N_TEXTS + 2);
        ret->created_usec = statement_u64(st, CONVERSATION_N_TEXTS + 3);
        ret->ended_usec = statement_u64(st, CONVERSATION_N_TEXTS + 4);
        ret->delivered = statement_int(st, CONVERSATION_N_TEXTS + 5) != 0;
}

int store_get_conversation(Store *s, const char *id, ConversationRow *ret) {
        _cleanup_statement_ Statement st = {};
        ConversationRow row = {};
        char **texts[CONVERSATION_N_TEXTS] = CONVERSATION_TEXTS(&row);
        const char *unknown;
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_CONVERSATION_GET,
                "SELECT " CONVERSATION_COLUMNS " FROM conversations WHERE id = ?",
                "s",
                id);
        if (r <= 0)
                return r;
        for (int i = 0; i < CONVERSATION_N_TEXTS && r >= 0; i++)
                r = statement_dup(&st, i, texts[i]);
        conversation_values(&st, &row, &unknown);
        if (r >= 0)
                r = free_and_strdup(&row.unknown, unknown);
        if (r < 0) {
                conversation_row_done(&row);
                return r;
        }
        *ret = row;
        return 1;
}

/* Calls for each row of the statement; texts are lent for that time. */
static int walk_conversations(Statement *st, ConversationCallback cb, void *userdata) {
        int r;

        while ((r = statement_step(st)) > 0) {
                ConversationRow row = {};
                char **texts[CONVERSATION_N_TEXTS] = CONVERSATION_TEXTS(&row);
                const char *unknown;

                for (int i = 0; i < CONVERSATION_N_TEXTS; i++)
                        *texts[i] = (char *) statement_text(st, i);
                conversation_values(st, &row, &unknown);
                row.unknown = (char *) unknown;
                r = cb(&row, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

int store_list_conversations(Store *s, bool live_only, ConversationCallback cb, void *userdata) {
        _cleanup_statement_ Statement st = {};
        int r;

        if (live_only)
                r = statement_open(
                        s,
                        &st,
                        STATEMENT_CONVERSATION_LIST_LIVE,
                        "SELECT " CONVERSATION_COLUMNS
                        " FROM conversations WHERE state <> 'ended' OR delivered = 0 ORDER BY seq",
                        "");
        else
                r = statement_open(
                        s,
                        &st,
                        STATEMENT_CONVERSATION_LIST,
                        "SELECT " CONVERSATION_COLUMNS " FROM conversations ORDER BY seq",
                        "");
        if (r < 0)
                return r;
        return walk_conversations(&st, cb, userdata);
}

int store_list_ended(Store *s, unsigned max, ConversationCallback cb, void *userdata) {
        _cleanup_statement_ Statement st = {};
        int r;

        r = statement_open(
                s,
                &st,
                STATEMENT_CONVERSATION_LIST_ENDED,
                "SELECT " CONVERSATION_COLUMNS
                " FROM conversations WHERE state = 'ended' AND delivered <> 0 ORDER BY seq DESC LIMIT ?",
                "u",
                (uint64_t) max);
        return r < 0 ? r : walk_conversations(&st, cb, userdata);
}

int store_set_delivered(Store *s, const char *id) {
        return store_change(
                s,
                STATEMENT_CONVERSATION_DELIVERED,
                "UPDATE conversations SET delivered = 1 WHERE id = ?",
                "s",
                id);
}

/* All keys NAME:ID:RUN; a semicolon is what follows the colon. */
#define KEYS_OF_RUNS(name) "key > '" name ":' || ?1 || ':' AND key < '" name ":' || ?1 || ';'"
#define FORGET_KEYS                                                                                       \
        "DELETE FROM meta WHERE " KEYS_OF_RUNS("stop") " OR " KEYS_OF_RUNS("limits") " OR " KEYS_OF_RUNS( \
                "runtime")

int store_delete_conversation(Store *s, const char *id) {
        _cleanup_(transaction_done) Transaction t = {};
        static const struct {
                StatementId id;
                const char *sql;
        } steps[] = {
                { STATEMENT_META_FORGET, FORGET_KEYS },
                { STATEMENT_EVENT_DELETE, "DELETE FROM own_events WHERE conversation = ?" },
                { STATEMENT_INPUT_DELETE, "DELETE FROM input WHERE conversation = ?" },
                { STATEMENT_INPUT_SIZE_DELETE, "DELETE FROM input_size WHERE conversation = ?" },
                { STATEMENT_PROGRESS_DELETE, "DELETE FROM progress WHERE conversation = ?" },
                { STATEMENT_RUN_DELETE, "DELETE FROM runs WHERE conversation = ?" },
                { STATEMENT_CONVERSATION_DELETE, "DELETE FROM conversations WHERE id = ?" },
                /* What the messages said goes; their ids stay until they are pruned, or a late duplicate would be
                 * taken for new, and so does a response that the orchestrator has not acknowledged. */
                { STATEMENT_INBOUND_FORGET,
                  "UPDATE inbound SET done = 1, params = NULL, conversation = NULL WHERE conversation = ?" },
        };
        int r;

        /* The runner's own events are under the empty name. */
        if (isempty(id))
                return -EINVAL;
        r = transaction_begin(s, &t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(steps) && r >= 0; i++)
                r = store_execute(s, steps[i].id, steps[i].sql, "s", id);
        r = transaction_finish(&t, r);
        return r < 0 ? r : 0;
}

/* ---- runs ---- */

void run_row_done(RunRow *r) {
        free(r->conversation);
        free(r->unknown);
        free(r->unit);
        free(r->invocation);
        free(r->spec);
        free(r->driven_state);
        free(r->acked_state);
        *r = (RunRow){};
}

int store_put_run(Store *s, const RunRow *r) {
        _cleanup_(transaction_done) Transaction t = {};
        int q;

        q = transaction_begin(s, &t);
        if (q < 0)
                return q;
        q = store_execute(
                s,
                STATEMENT_RUN_PUT,
                "INSERT INTO runs (conversation, run, run_id, state, unit, invocation, spec, out_bytes, started_usec, "
                "ended_usec) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
                "ON CONFLICT (conversation, run) DO UPDATE SET run_id = ?3, state = ?4, unit = ?5, invocation = ?6, "
                "spec = ?7, out_bytes = ?8, started_usec = ?9, ended_usec = ?10",
                "sisssssuuu",
                r->conversation,
                (int64_t) r->run,
                r->run_id,
                run_state_to_string(r->state),
                r->unit,
                r->invocation,
                r->spec,
                r->out_bytes,
                r->started_usec,
                r->ended_usec);
        if (q >= 0)
                q = store_execute(
                        s,
                        STATEMENT_PROGRESS_PUT,
                        "INSERT INTO progress (conversation, run, driven, driven_state, acked, acked_state, acked_own, "
                        "delivered) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
                        "ON CONFLICT (conversation, run) DO NOTHING",
                        "siususii",
                        r->conversation,
                        (int64_t) r->run,
                        r->driven,
                        r->driven_state,
                        r->acked,
                        r->acked_state,
                        r->acked_own,
                        (int64_t) r->delivered);
        q = transaction_finish(&t, q);
        return q < 0 ? q : 0;
}

int store_get_run(Store *s, const char *conversation, unsigned run, RunRow *ret) {
        _cleanup_statement_ Statement st = {};
        RunRow row = { .run = run };
        char **texts[] = { &row.conversation, &row.unit,         &row.invocation,
                           &row.spec,         &row.driven_state, &row.acked_state };
        int r;

        r = statement_first(
                s,
                &st,
                STATEMENT_RUN_GET,
                "SELECT r.conversation, r.unit, r.invocation, r.spec, p.driven_state, p.acked_state, r.state, "
                "r.run_id, p.driven, p.acked, p.acked_own, r.out_bytes, r.started_usec, r.ended_usec, p.delivered, "
                "r.conclusion_crashes "
                "FROM runs r JOIN progress p USING (conversation, run) WHERE r.conversation = ? AND r.run = ?",
                "si",
                conversation,
                (int64_t) run);
        if (r <= 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(texts) && r >= 0; i++)
                r = statement_dup(&st, (int) i, texts[i]);
        row.state = run_state_from_string(statement_text(&st, 6));
        if (r >= 0 && row.state == RUN_UNKNOWN)
                r = free_and_strdup(&row.unknown, strempty(statement_text(&st, 6)));
        if (r < 0) {
                run_row_done(&row);
                return r;
        }
        (void) snprintf(row.run_id, sizeof(row.run_id), "%s", strempty(statement_text(&st, 7)));
        row.driven = statement_u64(&st, 8);
        row.acked = statement_u64(&st, 9);
        row.acked_own = statement_int(&st, 10);
        row.out_bytes = statement_u64(&st, 11);
        row.started_usec = statement_u64(&st, 12);
        row.ended_usec = statement_u64(&st, 13);
        row.delivered = statement_int(&st, 14) != 0;
        row.conclusion_crashes = (unsigned) statement_u64(&st, 15);
        *ret = row;
        return 1;
}

int store_count_conclusion_crash(Store *s, const char *conversation, unsigned run) {
        return store_change(
                s,
                STATEMENT_RUN_CONCLUSION_CRASH,
                "UPDATE runs SET conclusion_crashes = conclusion_crashes + 1 WHERE conversation = ?1 AND run = ?2",
                "si",
                conversation,
                (int64_t) run);
}

int store_set_driven(Store *s, const char *conversation, unsigned run, uint64_t offset, const char *state) {
        return store_change(
                s,
                STATEMENT_PROGRESS_DRIVEN,
                "UPDATE progress SET driven = ?3, driven_state = ?4 WHERE conversation = ?1 AND run = ?2",
                "sius",
                conversation,
                (int64_t) run,
                offset,
                state);
}

int store_set_acked(
        Store *s,
        const char *conversation,
        unsigned run,
        uint64_t offset,
        int64_t own_seq,
        const char *state,
        bool delivered) {
        return store_change(
                s,
                STATEMENT_PROGRESS_ACKED,
                "UPDATE progress SET acked = ?3, acked_own = ?4, acked_state = ?5, delivered = ?6 "
                "WHERE conversation = ?1 AND run = ?2",
                "siuisi",
                conversation,
                (int64_t) run,
                offset,
                own_seq,
                state,
                (int64_t) delivered);
}
