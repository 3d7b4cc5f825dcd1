/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/link/decision.h"
#include "runner/link/link-internal.h"
#include "runner/store/store-inbound.h"

/* From envelope to effect, in the order of the stream. A message that has to be claimed stops the line: what comes behind
 * it waits in a queue, so that a conversation.start is never overtaken by the message for it. */

#define BAD_LOGGED_MAX 20
#define BAD_LOG_INTERVAL (60 * USEC_PER_SEC)

static Inbound *inbound_free(Inbound *i) {
        if (!i)
                return NULL;
        parsed_envelope_free(i->parsed);
        free(i->owner);
        free(i);
        return NULL;
}

static void pop(Link *l) {
        Inbound *i = l->queue;

        l->queue = i->next;
        if (!l->queue) {
                l->queue_tail = &l->queue;
                l->queue_last = NULL;
        }
        l->queue_count--;
        l->queue_bytes -= i->parsed->size;
        inbound_free(i);
}

void link_inbound_clear(Link *l) {
        while (l->queue)
                pop(l);
}

static int push(Link *l, ParsedEnvelope *p) {
        Inbound *i = new0(Inbound, 1);

        if (!i)
                return -ENOMEM;
        i->parsed = p;
        *l->queue_tail = i;
        l->queue_tail = &i->next;
        l->queue_last = i;
        l->queue_count++;
        l->queue_bytes += p->size;
        return 0;
}

static void responded(Link *l) {
        if (l->ops->responded)
                l->ops->responded(l->userdata);
}

/* ---- what the link answers itself ---- */

/* Accepts with this response (JSON text, or NULL) and nothing left to do. */
static int
accept_done(Link *l, const Envelope *e, const char *result, const char *error, const char *cursor) {
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
        r = store_accept(l->store, &m, cursor, true, &seq);
        if (r < 0)
                return r;
        if (response)
                responded(l);
        return 0;
}

/* The active runner is another one from here on. Where it is us, the orchestrator may name a cursor to read from: what
 * came since was meant for the one before, and may not have been served. */
static int uid_changed(Link *l, const Envelope *e) {
        const char *uid = json_get_string(e->params, "runnerUid"),
                   *floor = json_get_string(e->params, "cursor");
        _cleanup_free_ char *copy = NULL, *error = NULL;
        bool was_active = link_is_active(l), now_active;
        int r;

        if (!token_text_is_valid(uid) || (floor && strlen(floor) > SSE_ID_MAX)) {
                error = rpc_error(
                                RPC_INVALID_PARAMS, "runnerUid or cursor: missing or not valid", NULL, NULL);
                return error ? accept_done(l, e, NULL, error, e->cursor) : -ENOMEM;
        }
        copy = strdup(uid);
        if (!copy)
                return -ENOMEM;
        now_active = streq_ptr(uid, l->runner_uid);
        if (!now_active || was_active || isempty(floor) || streq_ptr(floor, e->cursor) ||
            streq_ptr(floor, l->cursor))
                floor = NULL;
        r = store_begin(l->store);
        if (r < 0)
                return r;
        (void) store_set(l->store, "activeUid", uid);
        r = accept_done(l, e, "{\"accepted\":true}", NULL, floor ? floor : e->cursor);
        if (r < 0) {
                store_rollback(l->store);
                return r;
        }
        r = store_commit(l->store);
        if (r < 0)
                return r;
        free(l->active_uid);
        l->active_uid = TAKE_PTR(copy);
        log_info("The active runner is now %s%s.", uid, now_active ? ", this one" : "");
        if (floor) {
                /* From there anew; what was taken in since comes once more. */
                r = link_advance(l, floor, NULL, true);
                if (r < 0)
                        return r;
        }
        link_update_state(l);
        return floor ? -ERESTART : 0;
}

static int process(Link *l, const Envelope *e) {
        if (streq(e->method, "runner.ping"))
                return accept_done(l, e, "{\"pong\":true}", NULL, e->cursor);
        if (streq(e->method, "runner.uid.changed"))
                return uid_changed(l, e);
        return l->ops->process(l->userdata, e);
}

static int answer_unknown(Link *l, const Envelope *e) {
        _cleanup_free_ char *error =
                        rpc_error(RPC_UNKNOWN_CONVERSATION, "unknown conversation", e->conversation, NULL);

        return error ? accept_done(l, e, NULL, error, e->cursor) : -ENOMEM;
}

static int send_again(Link *l, const Envelope *e) {
        InboundMessage m = envelope_row(e, NULL);
        int64_t seq;
        int r;

        l->stats.duplicates++;
        r = store_accept(l->store, &m, e->cursor, true, &seq);
        if (r < 0)
                return r;
        responded(l);
        return 0;
}

/* ---- deciding ---- */

static int decide_about(Link *l, const Envelope *e, Decision *ret, const char **ret_reason) {
        DecisionInput in = {
                .is_runner_method = startswith(e->method, "runner.") != NULL,
                .addressee = !e->runner_uid                             ? ADDRESSEE_ANY :
                                streq_ptr(e->runner_uid, l->runner_uid) ? ADDRESSEE_SELF :
                                                                          ADDRESSEE_OTHER,
                .names_conversation = e->conversation != NULL,
                .is_here = e->conversation && l->ops->knows(l->userdata, e->conversation),
                .creates_work = method_creates_work(e->method),
                .is_active = link_is_active(l),
                .can_claim = l->can_claim,
        };
        int r = store_is_accepted(l->store, e->id);

        if (r < 0)
                return r;
        in.accepted = r > 0;
        *ret = decide(&in, ret_reason);
        return 0;
}

bool link_inbound_wants_claim(Link *l, Inbound *i) {
        Decision d;

        return i->claim == CLAIM_NONE && decide_about(l, &i->parsed->e, &d, NULL) >= 0 &&
                        d == DECISION_CLAIM;
}

/* 1: dealt with; 0: it waits for a claim; negative errno. */
static int deal_with(Link *l, Inbound *i) {
        const Envelope *e = &i->parsed->e;
        const char *reason = "";
        Decision d = DECISION_PROCESS;
        bool stored = true;
        int r;

        r = decide_about(l, e, &d, &reason);
        if (r < 0)
                return r;
        if (d == DECISION_CLAIM && (i->claim == CLAIM_NONE || i->claim == CLAIM_ASKED))
                return 0;
        if (d == DECISION_CLAIM && i->claim == CLAIM_REFUSED) {
                l->stats.skipped++;
                log_debug("Message %s (%s): skip: claimed by %s.",
                          e->id,
                          e->method,
                          i->owner ? i->owner : "another runner");
                r = link_advance(l, e->cursor, e->created_at, false);
                return r < 0 ? r : 1;
        }
        log_debug("Message %s (%s): %s, since %s.", e->id, e->method, decision_to_string(d), reason);
        switch (d) {
        case DECISION_SKIP_DUPLICATE:
                r = send_again(l, e);
                break;
        case DECISION_SKIP_NOT_MINE:
        case DECISION_SKIP_NOT_ACTIVE:
                l->stats.skipped++;
                stored = false;
                break;
        case DECISION_ANSWER_UNKNOWN:
                r = answer_unknown(l, e);
                break;
        default:
                r = process(l, e);
        }
        if (r >= 0)
                r = link_advance(l, e->cursor, e->created_at, stored);
        return r < 0 ? r : 1;
}

int link_inbound_run(Link *l) {
        bool had = l->queue != NULL;
        int r;

        while (l->queue) {
                if (!l->running)
                        return 0;
                r = deal_with(l, l->queue);
                if (r < 0)
                        return r;
                if (r == 0) {
                        link_claim_start(l);
                        return 0;
                }
                pop(l);
        }
        if (had)
                link_stream_queue_empty(l);
        return 0;
}

/* ---- taking in ---- */

static bool log_allowed(Link *l) {
        static uint64_t begun = 0;
        static unsigned n = 0;
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (begun == 0 || now - begun > BAD_LOG_INTERVAL) {
                begun = now;
                n = 0;
        }
        return n++ < BAD_LOGGED_MAX;
}

static int refuse(Link *l, const EnvelopeError *e, const char *cursor) {
        _cleanup_free_ char *error = NULL, *response = NULL;
        InboundMessage m;
        int64_t seq;
        int r;

        l->stats.bad_messages++;
        log_full(log_allowed(l) ? LOG_WARNING : LOG_DEBUG,
                 0,
                 NULL,
                 "Message %s is refused: %s.",
                 e->id,
                 e->text);
        if (!e->request_id)
                return link_inbound_cursor(l, cursor);
        error = rpc_error(e->code, e->text, e->conversation, NULL);
        response = error ? rpc_response(e->id, e->request_id, NULL, error) : NULL;
        if (!response)
                return -ENOMEM;
        m = envelope_error_row(e, response);
        /* The cursor is stored with it where nothing before it is open. */
        r = store_accept(l->store, &m, l->queue ? NULL : cursor, true, &seq);
        if (r < 0)
                return r;
        responded(l);
        return l->queue ? link_inbound_cursor(l, cursor) : link_advance(l, cursor, NULL, true);
}

int link_inbound_cursor(Link *l, const char *cursor) {
        ParsedEnvelope *last;
        int r;

        if (isempty(cursor))
                return 0;
        if (!l->queue)
                return link_advance(l, cursor, NULL, false);
        last = l->queue_last->parsed;
        r = free_and_strdup(&last->cursor, cursor);
        last->e.cursor = last->cursor;
        return r;
}

int link_inbound(Link *l, const char *text, size_t size, Json *object, const char *cursor) {
        _cleanup_(parsed_envelope_freep) ParsedEnvelope *p = NULL;
        _cleanup_envelope_error_ EnvelopeError e = {};
        int r;

        l->stats.last_event_usec = now_usec(CLOCK_REALTIME);
        r = text ? envelope_parse(text, size, cursor, &p, &e) : envelope_parse_json(object, cursor, &p, &e);
        if (r == -EBADMSG)
                return refuse(l, &e, cursor);
        if (r < 0)
                return r;
        /* A page is as large as one message, and the next one is asked for when the queue is empty. */
        if (text && l->queue &&
            (l->queue_count >= LINK_QUEUE_MAX || l->queue_bytes + p->size > LINK_QUEUE_BYTES_MAX))
                return -ENOBUFS;
        bool first = l->queue == NULL;
        r = push(l, p);
        if (r < 0)
                return r;
        p = NULL;
        return first ? link_inbound_run(l) : 0;
}
