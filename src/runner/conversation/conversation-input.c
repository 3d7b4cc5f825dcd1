/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/conversation/conversation-apply.h"
#include "runner/conversation/conversation-input.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-report.h"
#include "runner/link/envelope.h"
#include "runner/run/run-input.h"
#include "runner/run/run-question.h"
#include "runner/run/run-watchdog.h"
#include "runner/store/store-inbound.h"

/* The way of a message to the agent: accepted messages are rendered by the driver, a batch of them is stored in one
 * transaction, then in.log is written. */

#define PUMP_MAX RUN_INPUT_PARTS_MAX
/* The bound of the messages that are read together, besides the first. It is counted for messages for the agent, which
 * may have to wait, and for all others separately. One message may have 16 MiB. */
#define PUMP_BYTES_MAX ((size_t) 16 * 1024 * 1024)
/* A batch ends when its lines for the agent have this many bytes; one message may exceed that. */
#define BATCH_BYTES_MAX ((size_t) 512 * 1024)

typedef struct Pending {
        InboundMessage list[PUMP_MAX]; /* params NULL: left for another time */
        size_t n, bytes[2];            /* [1]: for the agent */
        bool more;
        bool others; /* only messages that are not for the agent: they overtake those that wait */
} Pending;

static bool is_for_agent(const char *method) {
        return streq(method, "message.user") || streq(method, "conversation.start") ||
                streq(method, "conversation.resume");
}

static int collect(const InboundMessage *m, void *userdata) {
        Pending *p = userdata;

        if (p->others && is_for_agent(m->method))
                return 0;
        p->more = p->n >= PUMP_MAX;
        if (p->more)
                return 1;
        size_t size = strlen(m->params), *bytes = &p->bytes[is_for_agent(m->method)];
        bool later = *bytes > 0 && *bytes + size > PUMP_BYTES_MAX;
        *bytes += size;
        InboundMessage *copy = &p->list[p->n];
        *copy = (InboundMessage){
                .seq = m->seq,
                .envelope_id = strdup(m->envelope_id),
                .method = strdup(m->method),
                .params = later ? NULL : strdup(m->params),
        };
        p->n++;
        return copy->envelope_id && copy->method && (later || copy->params) ? 0 : -ENOMEM;
}

static void pending_done(Pending *p) {
        for (size_t i = 0; i < p->n; i++)
                inbound_message_done(&p->list[i]);
}

bool conversation_has_question(Conversation *c, const char *request_id) {
        uint64_t offset;
        unsigned n;

        return c->run && run_parse_question(c->run, request_id, &offset, &n) >= 0 &&
                run_has_question(c->run, offset, n);
}

int conversation_write_input(Conversation *c) {
        int r;
        LOG_ABOUT_CONVERSATION(c);

        r = c->run ? run_write_input(c->run) : 0;
        /* The written size is stored with the next group of cursors. */
        c->send.dirty = c->send.dirty || r > 0;
        return r;
}

/* Makes the driver's command of a message. 1; 0: the message is not for the driver (and is done); -EINVAL. */
static int command_of(Run *r, const InboundMessage *m, Json **params, DriverCommand *ret) {
        DriverCommand command = { .seq = (uint64_t) m->seq };
        int k;

        k = json_parse_from(JSON_OF_STORE, m->params, strlen(m->params), params, NULL);
        if (k < 0)
                return k;
        command.params = *params;
        if (streq(m->method, "conversation.start") || streq(m->method, "conversation.resume")) {
                Json *prompt = json_get(*params, "prompt");

                if (!prompt)
                        return 0;
                command.type = DRIVER_COMMAND_USER;
                k = json_set(*params, "content", json_object_get(prompt));
                if (k < 0)
                        return k;
        } else if (streq(m->method, "message.user"))
                command.type = DRIVER_COMMAND_USER;
        else if (streq(m->method, "conversation.interrupt"))
                command.type = DRIVER_COMMAND_INTERRUPT;
        else if (streq(m->method, "conversation.config"))
                command.type = DRIVER_COMMAND_CONFIG;
        else if (streq(m->method, "permission.respond")) {
                command.type = DRIVER_COMMAND_ANSWER;
                if (run_parse_question(
                            r, json_get_string(*params, "requestId"), &command.offset, &command.n) < 0)
                        return -EINVAL;
        } else
                return 0;
        *ret = command;
        return 1;
}

int conversation_on_deny(uint64_t offset, unsigned n, const char *message, void *userdata) {
        Conversation *c = userdata;
        _cleanup_json_ Json *params = json_object_new_object();
        _cleanup_free_ char *id = run_question_id(c->run, offset, n), *error = NULL;
        _cleanup_(run_effects_done) RunEffects effects = { .run = c->run };
        int r;
        LOG_ABOUT_CONVERSATION(c);

        if (!params || !id || json_set_string(params, "behavior", "deny") < 0 ||
            json_set_string(params, "message", message) < 0)
                return -ENOMEM;
        DriverCommand command = {
                .type = DRIVER_COMMAND_ANSWER, .params = params, .offset = offset, .n = n
        };
        r = run_command(c->run, &command, &effects.lines, &error);
        if (r == 0 || r == -EINVAL)
                return 0;
        if (r > 0 && effects.lines.size > 0)
                r = run_effects_add(&effects, 0, 0);
        if (r >= 0)
                r = conversation_apply(c, &(ConversationEffects){ .run = &effects, .expired = id });
        if (r < 0)
                return r;
        (void) conversation_write_input(c);
        conversation_changed(c);
        c->ctx->hooks->question_expired(c, id, c->ctx->userdata);
        return 1;
}

/* Messages in the agent's own queue are processed even if the budget is spent. So with a budget, a message waits here
 * until the turn before it has ended. */
static bool waits_for_budget(Conversation *c) {
        DriverPhase phase = run_phase(c->run);

        return json_get(c->params, "budget") &&
                (phase == DRIVER_RUNNING || phase == DRIVER_WAITING_PERMISSION);
}

/* A batch of messages, and their effects. */
typedef struct Batch {
        Conversation *conversation;
        RunEffects effects;
        Refusal refusals[PUMP_MAX];
        char *whys[PUMP_MAX]; /* texts of those that are not static */
        size_t n_refusals;
        unsigned n_done;   /* messages that are done with this batch */
        bool user_blocked; /* a message for the agent waits, so those behind it do */
} Batch;

static void batch_done(Batch *b) {
        run_effects_done(&b->effects);
        for (size_t i = 0; i < b->n_refusals; i++)
                free(b->whys[i]);
        b->n_refusals = 0;
}

/* Stores the batch. Its messages are done then, and the next batch begins. */
static int batch_apply(Batch *b) {
        int r;

        if (b->n_done == 0)
                return 0;
        r = conversation_apply(
                b->conversation,
                &(ConversationEffects){
                        .run = &b->effects,
                        .refusals = b->refusals,
                        .n_refusals = b->n_refusals,
                });
        if (r < 0)
                return r;
        b->conversation->n_pending -= b->n_done;
        b->n_done = 0;
        batch_done(b);
        return 0;
}

static void refuse(Batch *b, const InboundMessage *m, char *why_consume) {
        const char *why = why_consume ? why_consume : "it does not conform to the agent's protocol";

        log_warning(
                "Conversation %s: message %s cannot be delivered: %s",
                b->conversation->row.id,
                m->envelope_id,
                why);
        b->refusals[b->n_refusals] = (Refusal){ m->seq, m->envelope_id, why };
        b->whys[b->n_refusals++] = why_consume;
}

/* Appends the command's lines. 1; 0: it waits; -EINVAL or -EBADMSG: it never fits, *ret_why says why. */
static int render_command(Batch *b, DriverCommand *command, char **ret_why) {
        _cleanup_(line_reader_done) LineReader question = {};
        Run *r = b->conversation->run;
        bool user = command->type == DRIVER_COMMAND_USER;
        int k;

        /* Messages keep their order; an interrupt or an answer overtakes messages that wait. */
        if (user && (b->user_blocked || waits_for_budget(b->conversation))) {
                b->user_blocked = true;
                return 0;
        }
        /* If the question cannot be read, the driver decides about this answer. */
        if (command->type == DRIVER_COMMAND_ANSWER && run_has_question(r, command->offset, command->n))
                (void) run_read_question(r, command->offset, &question, &command->line);
        k = run_command(r, command, &b->effects.lines, ret_why);
        b->user_blocked = b->user_blocked || (k == 0 && user);
        return k;
}

/* Adds one message to the batch. 1: the message is done with that; 0: it waits. */
static int render(Batch *b, const InboundMessage *m) {
        size_t begun = b->effects.lines.size;
        _cleanup_json_ Json *params = NULL;
        _cleanup_free_ char *why = NULL;
        DriverCommand command;
        int k;

        if (streq(m->method, "conversation.stop"))
                return 0;
        if (!m->params) {
                b->user_blocked = b->user_blocked || is_for_agent(m->method);
                return 0;
        }
        k = command_of(b->conversation->run, m, &params, &command);
        if (k > 0) {
                k = render_command(b, &command, &why);
                if (k == 0)
                        return 0;
        }
        if (k == -EINVAL || k == -EBADMSG) {
                refuse(b, m, TAKE_PTR(why));
                return 1;
        }
        if (k >= 0)
                k = run_effects_add(&b->effects, m->seq, begun);
        return k < 0 ? k : 1;
}

/* Handles the messages that wait, as far as that is possible at once. 1: there was progress, and there are more, or
 * there may be others behind messages for the agent that wait; 0; or negative. */
static int pump_some(Conversation *c, bool *progress, bool *others) {
        _cleanup_(batch_done) Batch batch = { .conversation = c, .effects.run = c->run };
        _cleanup_(pending_done) Pending pending = { .others = *others };
        bool left = false, some = false;
        int k;

        k = store_pending_inbound(c->ctx->run.store, c->row.id, collect, &pending);
        for (size_t i = 0; k >= 0 && i < pending.n; i++) {
                left = left || !pending.list[i].params;
                k = render(&batch, &pending.list[i]);
                if (k > 0) {
                        batch.n_done++;
                        some = true;
                }
                if (k >= 0 && batch.effects.lines.size >= BATCH_BYTES_MAX)
                        k = batch_apply(&batch);
        }
        if (k >= 0)
                k = batch_apply(&batch);
        if (k < 0)
                return k;
        *progress = *progress || some;
        if (some || *others || !batch.user_blocked || !pending.more)
                return some && (left || pending.more);
        *others = true;
        return 1;
}

void conversation_pump_input(Conversation *c) {
        bool progress = false, others = false;
        int k;
        LOG_ABOUT_CONVERSATION(c);

        if (c->n_pending == 0 || c->ctx->run.broken || !c->run || run_has_ended(c->run) ||
            conversation_is_stopping(c) || c->row.state != CONVERSATION_LIVE)
                return;
        do
                k = pump_some(c, &progress, &others);
        while (k > 0);
        if (k < 0) {
                c->ctx->hooks->store_failed(k, c->ctx->userdata);
                return;
        }
        if (progress) {
                (void) conversation_write_input(c);
                run_watchdog_update(c->run, true);
                conversation_changed(c);
        }
}
