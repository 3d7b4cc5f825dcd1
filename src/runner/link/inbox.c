/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/link/claim-request.h"
#include "runner/link/claims.h"
#include "runner/link/decision.h"
#include "runner/link/inbox.h"
#include "runner/link/rpc.h"
#include "runner/link/sse.h"
#include "runner/store/store-inbound.h"
#include "runner/store/transaction.h"

#define BAD_LOGGED_MAX 20
#define BAD_LOG_INTERVAL (60 * USEC_PER_SEC)

/* One message that waits behind a claim. */
typedef struct Inbound {
        struct Inbound *next;
        ParsedEnvelope *parsed;
        enum {
                CLAIM_NONE,
                CLAIM_ASKED,
                CLAIM_GRANTED,
                CLAIM_REFUSED,
        } claim;
        char *owner; /* of a refused one, or NULL */
} Inbound;

struct Inbox {
        Store *store;
        Endpoint *endpoint;
        LinkRecord *record;
        const InboxOps *ops;
        void *userdata;
        Claims *claims;
        Inbound *queue, **tail;
        Inbound *last;
        size_t count, bytes;
        InboxStats stats;
};

/* ---- the queue ---- */

static Inbound *inbound_free(Inbound *m) {
        if (!m)
                return NULL;
        parsed_envelope_free(m->parsed);
        free(m->owner);
        free(m);
        return NULL;
}

static void pop(Inbox *i) {
        Inbound *m = i->queue;

        i->queue = m->next;
        if (!i->queue) {
                i->tail = &i->queue;
                i->last = NULL;
        }
        i->count--;
        i->bytes -= m->parsed->size;
        inbound_free(m);
}

static int push(Inbox *i, ParsedEnvelope *p) {
        Inbound *m = new0(Inbound, 1);

        if (!m)
                return -ENOMEM;
        m->parsed = p;
        *i->tail = m;
        i->tail = &m->next;
        i->last = m;
        i->count++;
        i->bytes += p->size;
        return 0;
}

bool inbox_is_empty(Inbox *i) {
        return !i->queue;
}

void inbox_clear(Inbox *i) {
        claims_stop(i->claims);
        while (i->queue)
                pop(i);
}

/* ---- what is answered here ---- */

static int advance(Inbox *i, const char *cursor, const char *created_at, bool stored) {
        int r = link_record_advance(i->record, cursor, created_at, stored);

        if (r > 0)
                i->ops->advanced(i->userdata);
        return MIN(r, 0);
}

/* Accepts with this response (JSON text, or NULL) and nothing left to do. */
static int
accept_done(Inbox *i, const Envelope *e, const char *result, const char *error, const char *cursor) {
        _cleanup_free_ char *response = NULL;
        InboundMessage m;
        int64_t seq;
        int r;

        if (e->request_id) {
                response = rpc_response(e->id, e->request_id, result, error);
                if (!response)
                        return -ENOMEM;
        }
        m = envelope_row(e, response);
        r = store_accept(i->store, &m, cursor, true, &seq);
        if (r < 0)
                return r;
        if (response)
                i->ops->responded(i->userdata);
        return 0;
}

/* The active runner is another one from here on. Where it is us, the orchestrator may name a cursor to read from: what
 * came since was meant for the one before, and may not have been served. */
static int uid_changed(Inbox *i, const Envelope *e) {
        _cleanup_(transaction_done) Transaction t = {};
        const char *uid = json_get_string(e->params, "runnerUid"),
                   *floor = json_get_string(e->params, "cursor");
        _cleanup_free_ char *copy = NULL, *error = NULL;
        bool was_active = link_record_is_active(i->record), now_active;
        int r;

        if (!token_text_is_valid(uid) || (floor && strlen(floor) > SSE_ID_MAX)) {
                error = rpc_error(
                        RPC_INVALID_PARAMS, "runnerUid or cursor: missing or not valid", NULL, NULL);
                return error ? accept_done(i, e, NULL, error, e->cursor) : -ENOMEM;
        }
        copy = strdup(uid);
        if (!copy)
                return -ENOMEM;
        now_active = streq_ptr(uid, link_record_runner_uid(i->record));
        if (!now_active || was_active || isempty(floor) || streq_ptr(floor, e->cursor) ||
            streq_ptr(floor, link_record_cursor(i->record)))
                floor = NULL;
        r = transaction_begin(i->store, &t);
        if (r < 0)
                return r;
        (void) link_record_store_active(i->record, uid);
        r = accept_done(i, e, "{\"accepted\":true}", NULL, floor ? floor : e->cursor);
        r = transaction_finish(&t, r);
        if (r < 0)
                return r;
        link_record_set_active(i->record, TAKE_PTR(copy));
        log_info("The active runner is now %s%s.", uid, now_active ? ", this one" : "");
        if (floor) {
                /* Again from there; what was accepted since is sent once more. */
                r = advance(i, floor, NULL, true);
                if (r < 0)
                        return r;
        }
        i->ops->active_changed(i->userdata);
        return floor ? -ERESTART : 0;
}

static int process(Inbox *i, const Envelope *e) {
        if (streq(e->method, "runner.ping"))
                return accept_done(i, e, "{\"pong\":true}", NULL, e->cursor);
        if (streq(e->method, "runner.uid.changed"))
                return uid_changed(i, e);
        return i->ops->process(i->userdata, e);
}

static int answer_unknown(Inbox *i, const Envelope *e) {
        _cleanup_free_ char *error = rpc_error(
                RPC_UNKNOWN_CONVERSATION, "unknown conversation", e->conversation, NULL);

        return error ? accept_done(i, e, NULL, error, e->cursor) : -ENOMEM;
}

static int send_again(Inbox *i, const Envelope *e) {
        InboundMessage m = envelope_row(e, NULL);
        int64_t seq;
        int r;

        i->stats.duplicates++;
        r = store_accept(i->store, &m, e->cursor, true, &seq);
        if (r < 0)
                return r;
        i->ops->responded(i->userdata);
        return 0;
}

/* ---- deciding ---- */

static int decide_about(Inbox *i, const Envelope *e, Decision *ret, const char **ret_reason) {
        int r, here = e->conversation ? i->ops->knows(i->userdata, e->conversation) : 0;
        DecisionInput in = {
                .is_runner_method = startswith(e->method, "runner.") != NULL,
                .addressee = !e->runner_uid                                         ? ADDRESSEE_ANY :
                        streq_ptr(e->runner_uid, link_record_runner_uid(i->record)) ? ADDRESSEE_SELF :
                                                                                      ADDRESSEE_OTHER,
                .names_conversation = e->conversation != NULL,
                .is_here = here > 0,
                .creates_work = method_creates_work(e->method),
                .is_active = link_record_is_active(i->record),
                .can_claim = endpoint_can_claim(i->endpoint),
        };

        if (here < 0)
                return here;
        r = store_is_accepted(i->store, e->id);
        if (r < 0)
                return r;
        in.accepted = r > 0;
        *ret = decide(&in, ret_reason);
        return 0;
}

/* 1: dealt with; 0: it waits for a claim; negative errno. */
static int deal_with(Inbox *i, Inbound *m) {
        const Envelope *e = &m->parsed->e;
        const char *reason = "";
        Decision d = DECISION_PROCESS;
        bool stored = true;
        int r;
        LOG_ABOUT(.conversation = e->conversation, .task = e->task);

        r = decide_about(i, e, &d, &reason);
        if (r < 0)
                return r;
        if (d == DECISION_CLAIM && (m->claim == CLAIM_NONE || m->claim == CLAIM_ASKED))
                return 0;
        if (d == DECISION_CLAIM && m->claim == CLAIM_REFUSED) {
                i->stats.skipped++;
                log_debug(
                        "Message %s (%s): skip: claimed by %s.",
                        e->id,
                        e->method,
                        m->owner ? m->owner : "another runner");
                r = advance(i, e->cursor, e->created_at, false);
                return r < 0 ? r : 1;
        }
        log_debug("Message %s (%s): %s, since %s.", e->id, e->method, decision_to_string(d), reason);
        switch (d) {
        case DECISION_SKIP_DUPLICATE:
                r = send_again(i, e);
                break;
        case DECISION_SKIP_NOT_MINE:
        case DECISION_SKIP_NOT_ACTIVE:
                i->stats.skipped++;
                stored = false;
                break;
        case DECISION_ANSWER_UNKNOWN:
                r = answer_unknown(i, e);
                break;
        default:
                r = process(i, e);
        }
        if (r >= 0)
                r = advance(i, e->cursor, e->created_at, stored);
        return r < 0 ? r : 1;
}

/* ---- claims ---- */

static bool wants_claim(Inbox *i, Inbound *m) {
        Decision d;

        return m->claim == CLAIM_NONE && decide_about(i, &m->parsed->e, &d, NULL) >= 0 &&
                d == DECISION_CLAIM;
}

/* Those at the head of the queue that need one; one about the runner itself may change who is active. */
static int collect(Inbox *i, Json *ids) {
        size_t n = 0;

        for (Inbound *m = i->queue; m && n < LINK_CLAIM_MAX; m = m->next) {
                if (startswith(m->parsed->e.method, "runner."))
                        break;
                if (!wants_claim(i, m))
                        continue;
                Json *id = json_object_new_string(m->parsed->e.id);
                if (!id || json_object_array_add(ids, id) < 0) {
                        json_object_put(id);
                        return -ENOMEM;
                }
                m->claim = CLAIM_ASKED;
                n++;
        }
        return 0;
}

static void ask_claims(Inbox *i) {
        _cleanup_json_ Json *ids = NULL;

        if (claims_is_busy(i->claims))
                return;
        ids = json_object_new_array();
        claims_ask(i->claims, ids && collect(i, ids) >= 0 ? ids : NULL);
}

/* Deals with what waits, as far as that goes. Negative errno as of inbox_take(). */
static int run_queue(Inbox *i) {
        bool had = i->queue != NULL;
        int r;

        while (i->queue) {
                r = deal_with(i, i->queue);
                if (r < 0)
                        return r;
                if (r == 0) {
                        ask_claims(i);
                        return 0;
                }
                pop(i);
        }
        if (had)
                i->ops->emptied(i->userdata);
        return 0;
}

static void resume(void *userdata) {
        Inbox *i = userdata;
        int r = run_queue(i);

        if (r < 0)
                i->ops->failed(i->userdata, r);
}

static void take_claims(Inbox *i, ClaimOutcome outcome, Json *result) {
        for (Inbound *m = i->queue; m; m = m->next) {
                const char *id = m->parsed->e.id, *owner;

                if (m->claim != CLAIM_ASKED)
                        continue;
                if (outcome == CLAIMS_REFUSED)
                        m->claim = CLAIM_REFUSED;
                else if (outcome != CLAIMS_ANSWERED)
                        m->claim = CLAIM_NONE;
                else {
                        m->claim = claim_result_grants(result, id) ? CLAIM_GRANTED : CLAIM_REFUSED;
                        owner = claim_result_owner(result, id);
                        if (owner)
                                (void) free_and_strdup(&m->owner, owner);
                }
        }
}

static void on_claims_decided(void *userdata, ClaimOutcome outcome, Json *result) {
        Inbox *i = userdata;

        take_claims(i, outcome, result);
        if (outcome != CLAIMS_UNANSWERED)
                resume(i);
}

static const ClaimsOps claims_ops = {
        .decided = on_claims_decided,
        .retry = resume,
};

/* ---- accepting ---- */

static bool log_allowed(void) {
        static uint64_t begun = 0;
        static unsigned n = 0;
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (begun == 0 || now - begun > BAD_LOG_INTERVAL) {
                begun = now;
                n = 0;
        }
        return n++ < BAD_LOGGED_MAX;
}

static int refuse(Inbox *i, const EnvelopeError *e, const char *cursor) {
        _cleanup_free_ char *error = NULL, *response = NULL;
        InboundMessage m;
        int64_t seq;
        int r;
        LOG_ABOUT(.conversation = e->conversation);

        i->stats.bad_messages++;
        log_full(
                log_allowed() ? LOG_WARNING : LOG_DEBUG, 0, NULL, "Refused message %s: %s.", e->id, e->text);
        if (!e->request_id)
                return inbox_advance(i, cursor);
        error = rpc_error(e->code, e->text, e->conversation, NULL);
        response = error ? rpc_response(e->id, e->request_id, NULL, error) : NULL;
        if (!response)
                return -ENOMEM;
        m = envelope_error_row(e, response);
        /* The cursor is stored with it where nothing before it is open. */
        r = store_accept(i->store, &m, i->queue ? NULL : cursor, true, &seq);
        if (r < 0)
                return r;
        i->ops->responded(i->userdata);
        return i->queue ? inbox_advance(i, cursor) : advance(i, cursor, NULL, true);
}

int inbox_advance(Inbox *i, const char *cursor) {
        ParsedEnvelope *last;
        int r;

        if (isempty(cursor))
                return 0;
        if (!i->queue)
                return advance(i, cursor, NULL, false);
        last = i->last->parsed;
        r = free_and_strdup(&last->cursor, cursor);
        last->e.cursor = last->cursor;
        return r;
}

int inbox_skip(Inbox *i, const char *cursor) {
        i->stats.bad_messages++;
        return inbox_advance(i, cursor);
}

int inbox_take(Inbox *i, const char *text, size_t size, Json *object, const char *cursor) {
        _cleanup_(parsed_envelope_freep) ParsedEnvelope *p = NULL;
        _cleanup_envelope_error_ EnvelopeError e = {};
        int r;

        i->stats.last_event_usec = now_usec(CLOCK_REALTIME);
        r = text ? envelope_parse(text, size, cursor, &p, &e) : envelope_parse_json(object, cursor, &p, &e);
        if (r == -EBADMSG)
                return refuse(i, &e, cursor);
        if (r < 0)
                return r;
        /* A page is as large as one message, and the next one is asked for when the queue is empty. */
        if (text && i->queue && (i->count >= LINK_QUEUE_MAX || i->bytes + p->size > LINK_QUEUE_BYTES_MAX))
                return -ENOBUFS;
        bool first = i->queue == NULL;
        r = push(i, p);
        if (r < 0)
                return r;
        p = NULL;
        return first ? run_queue(i) : 0;
}

/* ---- made and freed ---- */

void inbox_get_stats(Inbox *i, InboxStats *ret) {
        *ret = i->stats;
        ret->waiting = i->count;
        ret->waiting_bytes = i->bytes;
}

int inbox_new(
        sd_event *event,
        Store *store,
        Endpoint *endpoint,
        LinkRecord *record,
        const Backoff *backoff,
        const InboxOps *ops,
        void *userdata,
        Inbox **ret) {
        _cleanup_(inbox_freep) Inbox *i = new0(Inbox, 1);
        int r;

        if (!i)
                return -ENOMEM;
        *i = (Inbox){
                .store = store,
                .endpoint = endpoint,
                .record = record,
                .ops = ops,
                .userdata = userdata,
                .tail = &i->queue,
        };
        r = claims_new(event, endpoint, backoff, &claims_ops, i, &i->claims);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(i);
        return 0;
}

Inbox *inbox_free(Inbox *i) {
        if (!i)
                return NULL;
        claims_free(i->claims);
        while (i->queue)
                pop(i);
        free(i);
        return NULL;
}
