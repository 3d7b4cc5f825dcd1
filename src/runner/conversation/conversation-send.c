/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/agent/driver-none.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/run/position.h"
#include "runner/scope/run-folder.h"

/* The way to the orchestrator: out.log is the queue, a cursor in the store says how much of it was acknowledged, and the
 * events between are made again whenever they have to be sent. An outage of any length costs disk and no memory. */

/* What could not be read is tried again, more and more seldom. */
#define AGAIN_MIN_USEC (5 * USEC_PER_SEC)
#define AGAIN_MAX_USEC (300 * USEC_PER_SEC)

typedef struct Filling {
        SendBatch *batch;
        unsigned n;
} Filling;

static Buffer *batch_buffer(void *userdata) {
        return send_batch_buffer(((Filling *) userdata)->batch);
}

static int batch_done(void *userdata, const char *message_id) {
        Filling *f = userdata;

        f->n++;
        return send_batch_event_done(f->batch, message_id);
}

static bool batch_full(void *userdata) {
        return send_batch_full(((Filling *) userdata)->batch);
}

static void close_reader(Conversation *c) {
        if (c->send_counted)
                c->ctx->ended_sending--;
        c->send_counted = false;
        c->send = event_reader_free(c->send);
        c->send_outfd = safe_close(c->send_outfd);
        free(c->ack_state);
        c->ack_state = NULL;
        c->ack_pending = false;
}

/* Which run it was is remembered: those before it are acknowledged. */
static void forget_row(Conversation *c) {
        unsigned run = c->send_row.run;

        run_row_done(&c->send_row);
        c->send_row.run = run;
}

/* The first run that is not all acknowledged. 1, or 0 where there is none. */
static int find_run(Conversation *c) {
        int r;

        c->ended.rests = false;
        if (c->send_row.conversation && !c->send_row.delivered)
                return 1;
        for (unsigned i = MAX(c->send_row.run, 1U); i <= c->row.run; i++) {
                run_row_done(&c->send_row);
                r = store_get_run(c->ctx->run.store, c->row.id, i, &c->send_row);
                if (r < 0)
                        return r;
                c->send_lines = position_lines(c->send_row.driven_state);
                free(c->send_row.driven_state);
                c->send_row.driven_state = NULL;
                if (r > 0 && !c->send_row.delivered)
                        return 1;
        }
        return 0;
}

static bool is_present_run(Conversation *c) {
        return c->run && c->run->row.run == c->send_row.run;
}

static int open_output(Conversation *c) {
        _cleanup_close_ int parent = -EBADF, folder = -EBADF;
        char name[16];

        if (c->send_outfd >= 0)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", c->send_row.run);
        parent = run_folder_open(c->ctx->run.conversations_fd, c->row.id);
        folder = parent < 0 ? parent : run_folder_open(parent, name);
        int fd = folder < 0 ? folder : run_folder_open_output(folder);
        if (fd == -ENOENT)
                return 0; /* nothing was written (yet) */
        if (fd < 0)
                return fd;
        c->send_outfd = fd;
        if (c->send)
                event_reader_set_output(c->send, fd);
        return 0;
}

/* How far the run that is being sent may be read, and whether it ends there. */
static uint64_t send_limit(Conversation *c, bool *ret_ended) {
        if (is_present_run(c)) {
                *ret_ended = streq(c->run->row.state, "ended");
                return c->run->row.driven;
        }
        *ret_ended = true;
        return c->ended.run == c->send_row.run ? c->ended.driven : c->send_row.out_bytes;
}

/* Where nobody knows how to read a run that has ended, because its agent was taken out of the configuration and an older program
 * began it, its events wait for the agent to come back. A run that was ended for that says so in its spec. */
static int find_driver(Conversation *c, Json *spec, const DriverOps **ret) {
        *ret = is_present_run(c) ? c->run->ops : conversation_driver(c, spec);
        if (*ret != &none_driver_ops || is_present_run(c) || !spec || json_get_string(spec, "protocol"))
                return 0;
        if (!c->send_failed)
                log_warning("Events of conversation %s wait: agent %s is not known here any more, put it back into \"agents\" in "
                            "the runner's configuration.",
                            c->row.id,
                            c->row.agent);
        return -ENOENT;
}

static int open_reader(Conversation *c) {
        _cleanup_json_ Json *spec = NULL;
        const DriverOps *ops;
        uint64_t limit;
        bool ended;
        int r;

        r = open_output(c);
        if (r < 0)
                return r;
        if (c->send)
                return 0;
        r = json_parse_from(JSON_OF_STORE, c->send_row.spec, strlen(c->send_row.spec), &spec, NULL);
        if (r == -ENOMEM)
                return r;
        r = find_driver(c, spec, &ops);
        if (r < 0)
                return r;
        limit = send_limit(c, &ended);
        return event_reader_new(
                        &(EventReaderParams){
                                        .store = c->ctx->run.store,
                                        .driver = ops,
                                        .spec = spec,
                                        .conversation = c->row.id,
                                        .task = c->row.task,
                                        .run = c->send_row.run,
                                        .run_id = c->send_row.run_id,
                                        .forward_raw = c->ctx->run.config->forward_raw,
                                        .told_of_own = true,
                                        .outfd = c->send_outfd,
                                        .offset = c->send_row.acked,
                                        .own_seq = c->send_row.acked_own,
                                        .state = c->send_row.acked_state,
                                        .end = ended ? limit : 0,
                        },
                        &c->send);
}

static bool all_acked(Conversation *c) {
        _cleanup_(own_event_done) OwnEvent next = {};
        bool ended;
        uint64_t limit = send_limit(c, &ended);

        return ended && c->send_row.acked >= limit &&
                        store_next_own_event(
                                        c->ctx->run.store,
                                        c->row.id,
                                        c->send_row.run,
                                        c->send_row.acked_own,
                                        &next) == 0;
}

static int finish_run(Conversation *c) {
        int r;

        r =
                        store_set_acked(c->ctx->run.store,
                                        c->row.id,
                                        c->send_row.run,
                                        c->send_row.acked,
                                        c->send_row.acked_own,
                                        c->send_row.acked_state,
                                        true);
        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return r;
        }
        c->send_row.delivered = true;
        close_reader(c);
        return 0;
}

static void note_delivered(Conversation *c) {
        int r;

        if (c->row.delivered || conversation_is_live(c) || c->send_row.run < c->row.run ||
            !c->send_row.delivered)
                return;
        c->row.delivered = true;
        r = store_set_delivered(c->ctx->run.store, c->row.id);
        if (r < 0) {
                c->row.delivered = false;
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        c->queued_since_usec = 0;
        forget_row(c);
        c->ctx->hooks->delivered(c, c->ctx->userdata);
}

/* What the last fill read is behind us. */
static void take_ack(Conversation *c) {
        c->ack_pending = false;
        c->send_row.acked = c->ack_offset;
        c->send_row.acked_own = c->ack_own;
        free(c->send_row.acked_state);
        c->send_row.acked_state = TAKE_PTR(c->ack_state);
        c->ack_dirty = true;
        if (conversation_queued_bytes(c) == 0)
                c->queued_since_usec = 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Conversation *c = userdata;

        c->send_again = sd_event_source_disable_unref(c->send_again);
        sender_wake(c->source);
        return 0;
}

/* What was read since the last acknowledgement is lost with the batch: it is read once more, after a while. */
static int fail(Conversation *c, int error) {
        if (!c->send_again) {
                c->send_again_usec = MIN(MAX(2 * c->send_again_usec, AGAIN_MIN_USEC), AGAIN_MAX_USEC);
                (void) sd_event_add_time_relative(
                                c->ctx->run.event,
                                &c->send_again,
                                CLOCK_MONOTONIC,
                                c->send_again_usec,
                                USEC_PER_SEC,
                                on_again,
                                c);
        }
        log_full(c->send_failed ? LOG_DEBUG : LOG_WARNING,
                 error,
                 NULL,
                 "Events of conversation %s cannot be read, trying again: %m",
                 c->row.id);
        c->send_failed = true;
        return error;
}

/* One that has ended is read where its turn comes, and only so many of them are at a time: of each the whole run is in memory
 * meanwhile. Those that are neither on the wire nor at their end pass over a long line. */
static bool has_turn(Conversation *c) {
        if (conversation_is_live(c) || c->send)
                return true;
        if (c->ctx->ended_sending < ENDED_READERS_MAX)
                return true;
        sender_wake(c->source);
        return false;
}

static int open_counted(Conversation *c) {
        bool open = c->send;
        int r = open_reader(c);

        if (r >= 0 && !open && !conversation_is_live(c)) {
                c->send_counted = true;
                c->ctx->ended_sending++;
        }
        return r;
}

/* Puts what there is of the run into the batch. 1: nothing more is to be put into it; 0: all of the run is acknowledged. */
static int fill_run(Conversation *c, Filling *filling) {
        const EventOut out = {
                .userdata = filling,
                .buffer = batch_buffer,
                .done = batch_done,
                .full = batch_full,
        };
        uint64_t limit;
        bool ended, more;
        int r;

        r = open_counted(c);
        if (r < 0)
                return r;
        limit = send_limit(c, &ended);
        event_reader_set_ended(c->send, ended);
        r = event_reader_read(c->send, limit, &out);
        /* There was no memory for an event that did not become one: all of the batch goes. */
        if (r >= 0 && batch_buffer(filling)->failed)
                r = -ENOMEM;
        if (r < 0)
                return r;
        event_reader_pause(c->send);
        more = r > 0;
        c->ack_offset = event_reader_offset(c->send);
        c->ack_own = event_reader_own_seq(c->send);
        if (c->ack_offset != c->send_row.acked || c->ack_own != c->send_row.acked_own) {
                free(c->ack_state);
                c->ack_state = NULL;
                r = event_reader_save(c->send, &c->ack_state);
                if (r < 0)
                        return r;
                c->ack_pending = true;
                if (filling->n > 0)
                        return 1;
                /* Lines that make no event need no word of the orchestrator. */
                take_ack(c);
        } else if (!c->ack_pending && !all_acked(c))
                c->queued_since_usec = 0;
        if (more)
                sender_wake(c->source); /* a long line is being passed over */
        if (all_acked(c))
                return 0;
        if (!more)
                conversation_send_rest(c);
        return 1;
}

static int on_fill(void *userdata, SendBatch *batch) {
        Conversation *c = userdata;
        Filling filling = { .batch = batch };
        int r;

        if (c->ctx->run.broken)
                return 0;
        while (!c->row.delivered && has_turn(c)) {
                r = find_run(c);
                if (r < 0)
                        return fail(c, r);
                /* All was acknowledged, and a runner before us had no time to note that. */
                if (r == 0) {
                        note_delivered(c);
                        break;
                }
                r = fill_run(c, &filling);
                if (r < 0)
                        return fail(c, r);
                c->send_failed = false;
                c->send_again_usec = 0;
                if (r > 0)
                        break;
                r = finish_run(c);
                if (r < 0)
                        return fail(c, r);
                note_delivered(c);
        }
        return 0;
}

static void on_acked(void *userdata) {
        Conversation *c = userdata;

        if (!c->ack_pending)
                return;
        take_ack(c);
        if (all_acked(c) && finish_run(c) >= 0)
                note_delivered(c);
        conversation_send_rest(c);
        c->ctx->hooks->acked(c, c->ctx->userdata);
        sender_wake(c->source);
}

static void on_lost(void *userdata) {
        close_reader(userdata);
        conversation_send_rest(userdata);
}

static int
on_set_aside(void *userdata, const char *message_id, const char *json, size_t size, const char *why) {
        Conversation *c = userdata;

        return store_set_aside(c->ctx->run.store, message_id, c->row.id, json, size, why);
}

static const SendSourceOps source_ops = {
        .fill = on_fill,
        .acked = on_acked,
        .lost = on_lost,
        .set_aside = on_set_aside,
};

int conversation_send_open(Conversation *c) {
        int r;

        if (c->source || !c->ctx->sender || streq(c->row.origin, "local"))
                return 0;
        r = send_source_new(c->ctx->sender, &source_ops, c, &c->source);
        if (r < 0)
                return r;
        if (c->row.delivered)
                return 0;
        /* It ended under a runner before us, and not all of it was acknowledged. */
        if (!conversation_is_live(c))
                c->queued_since_usec = c->row.ended_usec;
        sender_wake(c->source);
        return 0;
}

void conversation_send_close(Conversation *c) {
        c->source = send_source_free(c->source);
        c->send_again = sd_event_source_disable_unref(c->send_again);
        close_reader(c);
        run_row_done(&c->send_row);
}

void conversation_send_wake(Conversation *c) {
        if (!c->source)
                return;
        if (c->queued_since_usec == 0)
                c->queued_since_usec = now_usec(CLOCK_REALTIME);
        sender_wake(c->source);
}

int conversation_flush(Conversation *c) {
        int r = 0;

        if (!c->ack_dirty && !(c->run && c->run->driven_stored != c->run->row.driven))
                return 0;
        if (c->run && !c->run->over) {
                r = run_store_driven(c->run);
                if (r >= 0 && c->run->input_written > 0)
                        r = store_input_written(
                                        c->ctx->run.store,
                                        c->row.id,
                                        c->run->row.run,
                                        c->run->input_written);
        }
        if (r >= 0 && c->send_row.conversation && !c->send_row.delivered)
                r =
                                store_set_acked(c->ctx->run.store,
                                                c->row.id,
                                                c->send_row.run,
                                                c->send_row.acked,
                                                c->send_row.acked_own,
                                                c->send_row.acked_state,
                                                false);
        if (r >= 0)
                c->ack_dirty = false;
        return r;
}

void conversation_flush_undone(Conversation *c) {
        c->ack_dirty = true;
        if (c->run)
                c->run->driven_stored = UINT64_MAX;
}

void conversation_send_rest(Conversation *c) {
        uint64_t bytes, events;

        /* What is on the wire is acknowledged or lost first. */
        if (!c->source || c->row.delivered || conversation_is_live(c) || c->run || c->ack_pending ||
            c->ended.rests || c->ctx->run.broken)
                return;
        if (conversation_flush(c) < 0)
                return;
        close_reader(c);
        forget_row(c);
        if (find_run(c) < 0)
                return;
        events = conversation_queued_events(c);
        bytes = conversation_queued_bytes(c);
        forget_row(c);
        c->ended.queued_events = events;
        c->ended.queued_bytes = bytes;
        c->ended.rests = true;
}

/* Of the run behind the one that is being sent. */
static bool is_behind(Conversation *c) {
        return c->send_row.run < c->row.run;
}

uint64_t conversation_queued_events(Conversation *c) {
        uint64_t events = 0, acked;

        if (!c->source || c->row.delivered)
                return 0;
        if (c->ended.rests)
                return c->ended.queued_events;
        if (find_run(c) <= 0)
                return 0;
        acked = position_lines(c->send_row.acked_state);
        if (is_present_run(c))
                events = c->run->lines.lines > acked ? c->run->lines.lines - acked : 0;
        else {
                events = c->send_lines > acked ? c->send_lines - acked : 0;
                if (is_behind(c))
                        events += c->run ? c->run->lines.lines : c->ended.lines;
        }
        return events +
                        store_count_own_events(
                                        c->ctx->run.store,
                                        c->row.id,
                                        c->send_row.run,
                                        c->send_row.acked_own);
}

uint64_t conversation_queued_bytes(Conversation *c) {
        uint64_t end;
        bool ended;

        if (!c->source || c->row.delivered)
                return 0;
        if (c->ended.rests)
                return c->ended.queued_bytes;
        if (!c->send_row.conversation)
                return 0;
        end = send_limit(c, &ended);
        uint64_t queued = end > c->send_row.acked ? end - c->send_row.acked : 0;
        if (!is_present_run(c) && is_behind(c))
                queued += conversation_driven(c);
        return queued;
}
