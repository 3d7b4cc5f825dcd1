/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/run/position.h"
#include "runner/scope/run-folder.h"

/* From accepted messages to bytes of in.log. Every byte stands in the store first, with its offset; writing it to the
 * file is then a thing that may be done again at any time. */

#define PUMP_MAX 64
/* Of messages that are taken up together, besides the first; those for the agent, which may have to wait, and all others
 * each have this. One may have 16 MiB. */
#define PUMP_BYTES_MAX ((size_t) 16 * 1024 * 1024)

/* ---- in.log ---- */

typedef struct Writing {
        Run *run;
        bool wrote;
} Writing;

static int write_row(uint64_t offset, const void *data, size_t size, void *userdata) {
        Writing *w = userdata;
        Run *r = w->run;
        int k;

        if (offset + size <= r->input_written)
                return 0;
        k = run_folder_write_input(r->dirfd, offset, data, size);
        if (k < 0)
                return k;
        r->input_written = offset + size;
        w->wrote = true;
        return 0;
}

int conversation_write_input(Conversation *c) {
        Run *r = c->run;
        Writing w = { .run = r };
        uint64_t total, written;
        int k;

        if (!r || r->dirfd < 0 || r->over)
                return 0;
        k = store_input_size(c->ctx->run.store, c->row.id, r->row.run, &total, &written);
        if (k < 0)
                return k;
        r->input_written = MAX(r->input_written, written);
        if (total == r->input_written)
                return 0;
        k = store_unwritten_input(c->ctx->run.store, c->row.id, r->row.run, write_row, &w);
        if (w.wrote) {
                int rung = run_folder_ring(r->dirfd, 'w');
                if (rung < 0 && rung != -ENXIO)
                        log_debug_errno(rung, "Ringing the supervisor of %s: %m", c->row.id);
        }
        if (k < 0) {
                log_full(r->input_failed ? LOG_DEBUG : LOG_WARNING,
                         k,
                         NULL,
                         "in.log of conversation %s could not be written, trying again: %m",
                         c->row.id);
                c->ctx->hooks->no_room(c->ctx->userdata);
        } else
                c->ack_dirty = true; /* the written mark goes with the next group of cursors */
        r->input_failed = k < 0;
        return k;
}

/* ---- commands ---- */

typedef struct Pending {
        InboundMessage list[PUMP_MAX]; /* params NULL: left for another time */
        size_t n, bytes[2];            /* [1]: for the agent */
        bool more;
} Pending;

static bool is_for_agent(const char *method) {
        return streq(method, "message.user") || streq(method, "conversation.start") ||
                        streq(method, "conversation.resume");
}

static int collect(const InboundMessage *m, void *userdata) {
        Pending *p = userdata;

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

/* "<runId>:<offset>.<n>" of the present run. */
static int parse_question(Run *r, const char *id, uint64_t *ret_offset, unsigned *ret_n) {
        unsigned long long offset;
        const char *rest;
        unsigned n;
        int end = 0;

        rest = id ? startswith(id, r->row.run_id) : NULL;
        if (!rest || sscanf(rest, ":%llu.%u%n", &offset, &n, &end) != 2 || rest[end] != 0)
                return -EINVAL;
        *ret_offset = offset;
        *ret_n = n;
        return 0;
}

bool conversation_has_question(Conversation *c, const char *request_id) {
        uint64_t offset;
        unsigned n;

        return c->run && parse_question(c->run, request_id, &offset, &n) >= 0 &&
                        run_has_question(c->run, offset, n);
}

/* The driver's command of a message. 1; 0: it is none for the driver (and is done); -EINVAL. */
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
                if (parse_question(r, json_get_string(*params, "requestId"), &command.offset, &command.n) <
                    0)
                        return -EINVAL;
        } else
                return 0;
        *ret = command;
        return 1;
}

/* Stores what a command became, with the driver's new state and what that means for the conversation's. m: the message
 * that it comes from, or NULL and the question that has expired. */
static int store_rendered(Run *r, const InboundMessage *m, const char *expired, const Buffer *lines) {
        _cleanup_free_ char *state = NULL,
                            *members = expired ? xasprintf("\"requestId\":\"%s\"", expired) : NULL;
        Conversation *c = r->conversation;
        uint64_t offset;
        int k;

        if (expired && !members)
                return -ENOMEM;
        k = store_begin(c->ctx->run.store);
        if (k < 0)
                return k;
        if (lines->size > 0)
                k =
                                store_render(c->ctx->run.store,
                                             c->row.id,
                                             r->row.run,
                                             lines->data,
                                             lines->size,
                                             m ? m->seq : 0,
                                             &offset);
        else if (m)
                k = store_inbound_done(c->ctx->run.store, m->seq);
        if (k >= 0)
                k = position_save(r->driver, r->lines.lines, &state);
        if (k >= 0)
                k = store_set_driven(c->ctx->run.store, c->row.id, r->row.run, r->row.driven, state);
        if (k >= 0 && members)
                k = conversation_emit(c, NULL, "permission.expired", members);
        if (k >= 0 && expired)
                k = c->ctx->hooks->question_expiring(c, expired, c->ctx->userdata);
        if (k >= 0)
                k = conversation_emit_state(c);
        if (k < 0) {
                store_rollback(c->ctx->run.store);
                return k;
        }
        k = store_commit(c->ctx->run.store);
        if (k >= 0)
                r->driven_stored = r->row.driven;
        return k;
}

int conversation_expire_question(Conversation *c, const char *request_id, const DriverCommand *answer) {
        _cleanup_buffer_ Buffer lines = {};
        _cleanup_free_ char *error = NULL;
        Run *r = c->run;
        int k;

        k = r->ops->command(r->driver, answer, &lines, &error);
        if (k == 0 || k == -EINVAL)
                return 0;
        if (k > 0)
                k = store_rendered(r, NULL, request_id, &lines);
        if (k < 0)
                return k;
        (void) conversation_write_input(c);
        conversation_changed(c);
        return 1;
}

static int refuse(Conversation *c, const InboundMessage *m, const char *why) {
        int k;

        log_warning("Conversation %s: message %s can never be delivered: %s",
                    c->row.id,
                    m->envelope_id,
                    why);
        k = store_begin(c->ctx->run.store);
        if (k < 0)
                return k;
        k = conversation_report(c, "message-not-delivered", why, m->envelope_id);
        if (k >= 0)
                k = store_inbound_done(c->ctx->run.store, m->seq);
        if (k < 0) {
                store_rollback(c->ctx->run.store);
                return k;
        }
        return store_commit(c->ctx->run.store);
}

/* What the agent has in its own queue is spent whatever the budget says: with one, a message waits here until the turn
 * before it has ended. */
static bool waits_for_budget(Run *r) {
        DriverPhase phase = r->ops->phase(r->driver);

        return json_get(r->conversation->params, "budget") &&
                        (phase == DRIVER_RUNNING || phase == DRIVER_WAITING_PERMISSION);
}

/* 1: done with it; 0: it waits. */
static int pump_one(Run *r, const InboundMessage *m, bool *user_blocked) {
        Conversation *c = r->conversation;
        _cleanup_free_ char *error = NULL;
        _cleanup_(line_reader_done) LineReader question = {};
        _cleanup_json_ Json *params = NULL;
        _cleanup_buffer_ Buffer lines = {};
        DriverCommand command;
        int k;

        if (streq(m->method, "conversation.stop"))
                return 0;
        if (!m->params) {
                *user_blocked = *user_blocked || is_for_agent(m->method);
                return 0;
        }
        k = command_of(r, m, &params, &command);
        if (k == 0) {
                k = store_inbound_done(c->ctx->run.store, m->seq);
                return k < 0 ? k : 1;
        }
        if (k > 0) {
                /* Messages keep their order; an interrupt or an answer goes past messages that wait. */
                if (command.type == DRIVER_COMMAND_USER && (*user_blocked || waits_for_budget(r))) {
                        *user_blocked = true;
                        return 0;
                }
                /* Where it cannot be read, the driver says what that means for this answer. */
                if (command.type == DRIVER_COMMAND_ANSWER && run_has_question(r, command.offset, command.n))
                        (void) run_read_question(r, command.offset, &question, &command.line);
                k = r->ops->command(r->driver, &command, &lines, &error);
                if (k == 0) {
                        *user_blocked = *user_blocked || command.type == DRIVER_COMMAND_USER;
                        return 0;
                }
        }
        if (k == -EINVAL || k == -EBADMSG)
                k = refuse(c, m, error ? error : "it does not fit the agent's protocol");
        else if (k > 0)
                k = store_rendered(r, m, NULL, &lines);
        return k < 0 ? k : 1;
}

/* Takes up what waits, as far as it goes at once. 1: there was progress, and there is more; 0; or negative. */
static int pump_some(Run *r, bool *progress) {
        _cleanup_(pending_done) Pending pending = {};
        bool user_blocked = false, some = false, left = false;
        Conversation *c = r->conversation;
        int k;

        k = store_pending_inbound(c->ctx->run.store, c->row.id, collect, &pending);
        for (size_t i = 0; k >= 0 && i < pending.n; i++) {
                left = left || !pending.list[i].params;
                k = pump_one(r, &pending.list[i], &user_blocked);
                if (k > 0) {
                        c->n_pending--;
                        *progress = some = true;
                }
        }
        return k < 0 ? k : some && (left || pending.more);
}

void conversation_pump_input(Conversation *c) {
        bool progress = false;
        Run *r = c->run;
        int k;

        if (c->n_pending == 0 || c->ctx->run.broken || !r || !r->driver || r->over || c->stop != STOP_NONE ||
            !streq(c->row.state, "live"))
                return;
        do
                k = pump_some(r, &progress);
        while (k > 0);
        if (k < 0) {
                c->ctx->hooks->store_failed(k, c->ctx->userdata);
                return;
        }
        if (progress) {
                (void) conversation_write_input(c);
                run_watchdog_look(r, true);
                conversation_changed(c);
        }
}
