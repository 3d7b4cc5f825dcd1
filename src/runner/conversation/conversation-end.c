/* SPDX-License-Identifier: MIT */
#include "common/log-ids.h"
#include "common/log.h"
#include "runner/agent/driver-none.h"
#include "runner/conversation/conversation-end.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-report.h"
#include "runner/conversation/conversation-stop-order.h"
#include "runner/link/rpc.h"
#include "runner/run/budget.h"
#include "runner/run/run.h"
#include "runner/run/verdict.h"
#include "runner/store/state-step.h"
#include "runner/store/store-inbound.h"
#include "runner/store/transaction.h"

/* An end, as it is stored and announced. */
typedef struct End {
        const RunEndFacts *facts;
        EndReason reason;
        const char *text; /* or NULL */
} End;

static int copy_member(Json *to, Json *from, const char *name) {
        Json *v = json_get(from, name);
        return v ? json_set(to, name, json_object_get(v)) : 0;
}

static void describe_git(Conversation *c, Json *o) {
        Json *git;

        if (c->git.status) {
                (void) json_set(o, "git", json_object_get(c->git.status));
                return;
        }
        if (!c->row.branch)
                return;
        git = json_object_new_object();
        (void) json_set_string(git, "branch", c->row.branch);
        (void) json_set(o, "git", git);
}

static void describe_outcome(const RunEndFacts *facts, Json *o) {
        static const char *const members[] = {
                "exitCode", "signal", "resources", "stage", "errno", "outFull"
        };

        for (size_t i = 0; i < ELEMENTSOF(members) && facts->outcome; i++)
                (void) copy_member(o, facts->outcome, members[i]);
        if (!facts->outcome && facts->resources)
                (void) json_set(o, "resources", json_object_get(facts->resources));
}

/* The members of conversation.ended, as an object. */
static int describe_end(Conversation *c, const End *e, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        int r;

        if (!o)
                return -ENOMEM;
        r = json_set_string(o, "reason", end_reason_to_string(e->reason));
        if (r < 0)
                return r;
        (void) json_set_text(o, "detail", e->text);
        (void) json_set_text(o, "stopReason", c->stop.words);
        (void) json_set_string(o, "sessionId", c->row.session);
        (void) json_set_string(o, "directory", c->row.directory);
        if (!run_conclusion_is_short(c->run) && run_driver_ops(c->run) != &none_driver_ops)
                (void) json_set(o, "usage", conversation_usage_json(c));
        describe_git(c, o);
        describe_outcome(e->facts, o);
        if (conversation_is_stopping(c))
                (void) json_set_string(o, "stoppedBy", "runner");
        else if (e->facts->outcome)
                (void) copy_member(o, e->facts->outcome, "stoppedBy");
        else if (e->reason == END_SHUTDOWN || e->facts->stopped_by_systemd)
                (void) json_set_string(o, "stoppedBy", "systemd");
        (void) json_set_u64(o, "outBytes", run_row(c->run)->driven);
        *ret = TAKE_PTR(o);
        return 0;
}

/* Messages that wait when a conversation ends are settled so many at a time: a stop is accepted however many wait. */
#define ROUND_MAX 256

typedef struct Round {
        struct {
                int64_t seq;
                char *envelope_id, *request_id, *method;
                bool has_response;
        } list[ROUND_MAX];
        size_t n;
} Round;

/* The messages that were stops. */
typedef struct Stops {
        int64_t *seqs;
        size_t n;
} Stops;

static void stops_done(Stops *s) {
        free(s->seqs);
}

static int stops_add(Stops *s, int64_t seq) {
        int64_t *seqs = reallocarray(s->seqs, s->n + 1, sizeof(*seqs));

        if (!seqs)
                return -ENOMEM;
        s->seqs = seqs;
        s->seqs[s->n++] = seq;
        return 0;
}

static int collect_pending(const InboundMessage *m, void *userdata) {
        Round *u = userdata;

        if (u->n >= ELEMENTSOF(u->list))
                return 1;
        size_t i = u->n++;
        u->list[i].seq = m->seq;
        u->list[i].envelope_id = strdup(m->envelope_id);
        u->list[i].method = strdup(m->method);
        u->list[i].request_id = m->request_id ? strdup(m->request_id) : NULL;
        u->list[i].has_response = m->response;
        return u->list[i].envelope_id && u->list[i].method && (u->list[i].request_id || !m->request_id) ?
                0 :
                -ENOMEM;
}

static void round_done(Round *u) {
        for (size_t i = 0; i < u->n; i++) {
                free(u->list[i].envelope_id);
                free(u->list[i].request_id);
                free(u->list[i].method);
        }
}

static int answer_stop(
        Conversation *c,
        EndReason reason,
        int64_t seq,
        const char *envelope_id,
        const char *request_id) {
        _cleanup_json_ Json *result = conversation_stopped_result(c, reason);
        _cleanup_free_ char *response = result ?
                rpc_response(envelope_id, request_id, json_text(result), NULL) :
                NULL;

        return response ? store_set_response(c->ctx->run.store, seq, response) : -ENOMEM;
}

static int settle_round(Conversation *c, EndReason reason, const Round *u, Stops *stops) {
        int r = 0;

        for (size_t i = 0; i < u->n && r >= 0; i++) {
                bool stop = streq(u->list[i].method, "conversation.stop");

                if (stop)
                        r = stops_add(stops, u->list[i].seq);
                if (r >= 0 && stop && !u->list[i].has_response && u->list[i].request_id)
                        r = answer_stop(
                                c, reason, u->list[i].seq, u->list[i].envelope_id, u->list[i].request_id);
                else if (streq(u->list[i].method, "message.user"))
                        r = conversation_report(
                                c,
                                "message-not-delivered",
                                "The conversation ended before the agent could accept this message.",
                                u->list[i].envelope_id);
                if (r >= 0)
                        r = store_inbound_done(c->ctx->run.store, u->list[i].seq);
        }
        return r;
}

/* Reports messages that were accepted and can never be delivered now; a stop that waited is answered. */
static int settle_pending(Conversation *c, EndReason reason, Stops *stops) {
        int r;

        do {
                _cleanup_(round_done) Round u = {};

                r = store_pending_inbound(c->ctx->run.store, c->row.id, collect_pending, &u);
                if (r >= 0 && u.n == 0)
                        return 0;
                if (r >= 0)
                        r = settle_round(c, reason, &u, stops);
        } while (r >= 0);
        return r;
}

static int store_end(Conversation *c, EndReason reason, Json *end, Stops *stops) {
        _cleanup_free_ char *id = NULL;
        int r;

        r = settle_pending(c, reason, stops);
        if (r < 0)
                return r;
        id = xasprintf("%s:end", run_row(c->run)->run_id);
        if (!id)
                return -ENOMEM;
        r = conversation_emit(c, id, "conversation.ended", end);
        if (r >= 0)
                r = run_store_end(c->run);
        if (r < 0)
                return r;
        c->row.ended_usec = run_row(c->run)->ended_usec;
        conversation_row_set_state(&c->row, CONVERSATION_ENDED);
        conversation_row_set_reason(&c->row, reason);
        r = free_and_strdup(&c->row.detail, json_text(end));
        if (r >= 0)
                r = conversation_stop_unstore(c);
        if (r < 0)
                return r;
        c->row.delivered = !c->send.source;
        return conversation_store_row(c);
}

static void log_end(Conversation *c, EndReason reason, const char *text) {
        LOG_CONTEXT(log);
        bool good = reason == END_COMPLETED || reason == END_STOPPED;
        const char *words = text ? NULL : c->stop.words;

        log_context_push(&log, "NORTHFLARE_REASON", end_reason_to_string(reason));
        log_full(
                good ? LOG_INFO : LOG_WARNING,
                0,
                good ? NF_MESSAGE_CONVERSATION_ENDED : NF_MESSAGE_CONVERSATION_FAILED,
                "Conversation %s ended: %s%s%s%s.",
                c->row.id,
                end_reason_to_string(reason),
                text          ? ", " :
                        words ? ", in the words of who stopped it \"" :
                                "",
                text ? text : strempty(words),
                words ? "\"" : "");
}

static int store_it(Conversation *c, const End *e, Stops *stops) {
        _cleanup_(transaction_done) Transaction t = {};
        _cleanup_json_ Json *end = NULL;
        int r;

        r = describe_end(c, e, &end);
        if (r >= 0)
                r = transaction_begin(c->ctx->run.store, &t);
        if (r >= 0)
                r = store_end(c, e->reason, end, stops);
        return transaction_finish(&t, r);
}

static void finish(Conversation *c, const End *e) {
        _cleanup_(stops_done) Stops stops = {};
        int r;

        r = store_it(c, e, &stops);
        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        conversation_stop_forget(c);
        c->n_pending = 0;
        log_end(c, e->reason, e->text);
        run_close(c->run);
        run_usage(c->run, &c->ended.usage);
        conversation_announce(c);
        for (size_t i = 0; i < stops.n; i++)
                c->ctx->hooks->responded(c, stops.seqs[i], e->reason, c->ctx->userdata);
        conversation_changed(c);
        conversation_shrink(c);
        /* The caller still uses the run: it is freed in a turn of its own. */
        run_release(c->run);
        c->ctx->hooks->ended(c, c->ctx->userdata);
}

bool conversation_on_ending(void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        return conversation_ask_git(c);
}

/* Returns a text for people about a verdict, or NULL; *memory holds it. */
static const char *explain(Conversation *c, const RunEndFacts *facts, EndReason reason, char **memory) {
        DriverUsage usage;
        uint64_t error = 0;
        const char *spent;

        if (run_failure(c->run))
                return run_failure(c->run);
        run_usage(c->run, &usage);
        spent = reason == END_BUDGET ? budget_spent(json_get(c->params, "budget"), &usage) : NULL;
        if (spent)
                return *memory = xasprintf("its budget is exhausted: %s", spent);
        if (c->stop.cause == STOP_BY_SILENCE)
                return "the agent was silent for longer than timeouts.silenceSec allows";
        if (facts->oomd)
                return "killed by systemd-oomd, because this machine ran out of memory";
        if (reason == END_OOM_KILLED && facts->oom_by_workspace)
                return "the memoryMax that all conversations of the workspace share was reached";
        if (!json_get_string(facts->outcome, "stage"))
                return NULL;
        (void) json_get_u64(facts->outcome, "errno", &error);
        return *memory = xasprintf("the agent could not be executed: %s", strerror((int) error));
}

static void finish_short(Conversation *c, const RunEndFacts *facts, EndReason reason) {
        _cleanup_free_ char *text = xasprintf(
                "the runner crashed %u times while it concluded this run: the rest of its output, its usage and the state "
                "of its checkout are omitted",
                run_row(c->run)->conclusion_crashes);

        log_error("Conversation %s is concluded incompletely: %s.", c->row.id, strempty(text));
        finish(c, &(End){ .facts = facts, .reason = reason, .text = text });
}

void conversation_on_ended(const RunEndFacts *facts, void *userdata) {
        Conversation *c = userdata;
        const char *failure = facts->is_short ? NULL : run_failure(c->run), *text;
        _cleanup_free_ char *memory = NULL;
        EndReason reason;
        LOG_ABOUT_CONVERSATION(c);

        reason = verdict_reason(&(VerdictInput){
                .outcome = facts->outcome,
                .result = facts->result,
                .stop = c->stop.cause,
                .end_requested = !facts->is_short && run_end_was_sent(c->run),
                .shutdown = facts->shutdown,
                .stopped_by_systemd = !facts->is_short && facts->stopped_by_systemd,
                .oom = facts->oom,
                .last_turn_failed = facts->last_turn_failed,
                .failure = failure,
        });
        if (facts->is_short) {
                finish_short(c, facts, reason);
                return;
        }
        text = explain(c, facts, reason, &memory);
        if (facts->supervisor_lost && (reason == END_LOST || reason == END_OOM_KILLED))
                (void) conversation_report(
                        c,
                        "supervisor-lost",
                        "northflare-supervisor was killed, and its remaining processes with it",
                        NULL);
        finish(c, &(End){ .facts = facts, .reason = reason, .text = text });
}

void conversation_fail(Conversation *c, EndReason reason, const char *text) {
        LOG_ABOUT_CONVERSATION(c);

        assert(c->run);
        c->checkout = checkout_free(c->checkout);
        run_end_without_process(c->run);
        finish(c, &(End){ .facts = &(RunEndFacts){}, .reason = reason, .text = text });
}

void conversation_fail_start(Conversation *c, const char *text) {
        EndReason stopped = verdict_of_stop(c->stop.cause);

        if (stopped != END_NONE)
                conversation_fail(c, stopped, NULL);
        else
                conversation_fail(c, END_FAILED, text);
}
