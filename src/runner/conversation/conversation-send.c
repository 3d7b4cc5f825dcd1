/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/agent/driver-none.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-send.h"
#include "runner/run/position.h"
#include "runner/run/run-effects.h"
#include "runner/run/run-input.h"
#include "runner/scope/run-directory.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"

/* A failed read is repeated, at growing intervals. */
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

void conversation_send_stop_reading(ConversationSend *s) {
        s->counted = false;
        s->reader = event_reader_free(s->reader);
        s->outfd = safe_close(s->outfd);
        free(s->ack_state);
        s->ack_state = NULL;
        s->ack_pending = false;
}

static void close_reader(Conversation *c) {
        if (c->send.counted)
                c->ctx->ended_sending--;
        conversation_send_stop_reading(&c->send);
}

/* The number of the run is kept: the runs before it are acknowledged. */
static void forget_row(Conversation *c) {
        unsigned run = c->send.row.run;

        run_row_done(&c->send.row);
        c->send.row.run = run;
}

/* Finds the first run that is not acknowledged to its end. 1, or 0 where there is none. */
static int find_run(Conversation *c) {
        int r;

        c->send.rests = false;
        if (c->send.row.conversation && !c->send.row.delivered)
                return 1;
        for (unsigned i = MAX(c->send.row.run, 1U); i <= c->row.run; i++) {
                run_row_done(&c->send.row);
                r = store_get_run(c->ctx->run.store, c->row.id, i, &c->send.row);
                if (r < 0)
                        return r;
                c->send.lines = position_lines(c->send.row.driven_state);
                free(c->send.row.driven_state);
                c->send.row.driven_state = NULL;
                if (r > 0 && !c->send.row.delivered)
                        return 1;
        }
        return 0;
}

static bool is_present_run(Conversation *c) {
        return c->run && run_row(c->run)->run == c->send.row.run;
}

static int open_output(Conversation *c) {
        _cleanup_close_ int parent = -EBADF, directory = -EBADF;
        char name[16];

        if (c->send.outfd >= 0)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", c->send.row.run);
        parent = run_directory_open(c->ctx->run.conversations_fd, c->row.id);
        directory = parent < 0 ? parent : run_directory_open(parent, name);
        int fd = directory < 0 ? directory : run_directory_open_output(directory);
        if (fd == -ENOENT)
                return 0; /* nothing was written (yet) */
        if (fd < 0)
                return fd;
        c->send.outfd = fd;
        if (c->send.reader)
                event_reader_set_output(c->send.reader, fd);
        return 0;
}

/* Returns how far the run that is being sent may be read, and whether it ends there. */
static uint64_t send_limit(Conversation *c, bool *ret_ended) {
        if (is_present_run(c)) {
                *ret_ended = run_row(c->run)->state == RUN_ENDED;
                return run_row(c->run)->driven;
        }
        *ret_ended = true;
        return c->ended.run == c->send.row.run ? c->ended.driven : c->send.row.out_bytes;
}

/* If a run that has ended cannot be read, because its agent was taken out of the configuration and an older program
 * began it, its events wait for the agent to come back. A run that was ended for that says so in its spec. */
static int find_driver(Conversation *c, Json *spec, const DriverOps **ret) {
        *ret = is_present_run(c) ? run_driver_ops(c->run) : conversation_driver(c, spec);
        if (*ret != &none_driver_ops || is_present_run(c) || !spec || json_get_string(spec, "protocol"))
                return 0;
        if (!c->send.failed)
                log_warning(
                        "Events of conversation %s wait: agent %s is not configured any more, add it to \"agents\" in the "
                        "runner's configuration again.",
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
        if (c->send.reader)
                return 0;
        r = json_parse_from(JSON_OF_STORE, c->send.row.spec, strlen(c->send.row.spec), &spec, NULL);
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
                        .run = c->send.row.run,
                        .run_id = c->send.row.run_id,
                        .forward_raw = c->ctx->run.config->forward_raw,
                        .notified_of_own = true,
                        .outfd = c->send.outfd,
                        .offset = c->send.row.acked,
                        .own_seq = c->send.row.acked_own,
                        .state = c->send.row.acked_state,
                        .end = ended ? limit : 0,
                },
                &c->send.reader);
}

static bool all_acked(Conversation *c) {
        _cleanup_(own_event_done) OwnEvent next = {};
        bool ended;
        uint64_t limit = send_limit(c, &ended);

        return ended && c->send.row.acked >= limit &&
                store_next_own_event(
                        c->ctx->run.store, c->row.id, c->send.row.run, c->send.row.acked_own, &next) == 0;
}

/* delivered: the run is acknowledged to its end. */
static int store_acked(Conversation *c, bool delivered) {
        return store_set_acked(
                c->ctx->run.store,
                c->row.id,
                c->send.row.run,
                c->send.row.acked,
                c->send.row.acked_own,
                c->send.row.acked_state,
                delivered);
}

static int finish_run(Conversation *c) {
        int r = store_acked(c, true);

        if (r < 0) {
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return r;
        }
        c->send.row.delivered = true;
        close_reader(c);
        return 0;
}

static void note_delivered(Conversation *c) {
        int r;

        if (c->row.delivered || conversation_is_live(c) || c->send.row.run < c->row.run ||
            !c->send.row.delivered)
                return;
        c->row.delivered = true;
        r = store_set_delivered(c->ctx->run.store, c->row.id);
        if (r < 0) {
                c->row.delivered = false;
                c->ctx->hooks->store_failed(r, c->ctx->userdata);
                return;
        }
        c->send.queued_since_usec = 0;
        forget_row(c);
        c->ctx->hooks->delivered(c, c->ctx->userdata);
}

/* The events that the last fill read are acknowledged. */
static void take_ack(Conversation *c) {
        c->send.ack_pending = false;
        c->send.row.acked = c->send.ack_offset;
        c->send.row.acked_own = c->send.ack_own;
        free(c->send.row.acked_state);
        c->send.row.acked_state = TAKE_PTR(c->send.ack_state);
        c->send.dirty = true;
        if (conversation_queued_bytes(c) == 0)
                c->send.queued_since_usec = 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        c->send.again = sd_event_source_disable_unref(c->send.again);
        sender_wake(c->send.source);
        return 0;
}

/* The events that were read since the last acknowledgement are lost with the batch: they are read again, after a
 * while. */
static int fail(Conversation *c, int error) {
        if (!c->send.again) {
                c->send.again_usec = MIN(MAX(2 * c->send.again_usec, AGAIN_MIN_USEC), AGAIN_MAX_USEC);
                (void) oneshot_start(&c->send.again, c->ctx->run.event, c->send.again_usec, on_again, c);
        }
        log_full(
                c->send.failed ? LOG_DEBUG : LOG_WARNING,
                error,
                NULL,
                "Failed to read the events of conversation %s, retrying: %m",
                c->row.id);
        c->send.failed = true;
        return error;
}

/* Conversations that have ended are read in turn, so many at a time: the whole run of each is in memory meanwhile. One
 * of these with neither a batch on the wire nor its end reached is skipping a long line. */
static bool has_turn(Conversation *c) {
        if (conversation_is_live(c) || c->send.reader)
                return true;
        if (c->ctx->ended_sending < ENDED_READERS_MAX)
                return true;
        sender_wake(c->send.source);
        return false;
}

static int open_counted(Conversation *c) {
        bool open = c->send.reader;
        int r = open_reader(c);

        if (r >= 0 && !open && !conversation_is_live(c)) {
                c->send.counted = true;
                c->ctx->ended_sending++;
        }
        return r;
}

/* Adds the events of the run to the batch. 1: nothing more is to be added; 0: all of the run is acknowledged. */
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
        event_reader_set_ended(c->send.reader, ended);
        r = event_reader_read(c->send.reader, limit, &out);
        /* There was no memory for an event: the whole batch is dropped. */
        if (r >= 0 && batch_buffer(filling)->failed)
                r = -ENOMEM;
        if (r < 0)
                return r;
        event_reader_pause(c->send.reader);
        more = r > 0;
        c->send.ack_offset = event_reader_offset(c->send.reader);
        c->send.ack_own = event_reader_own_seq(c->send.reader);
        if (c->send.ack_offset != c->send.row.acked || c->send.ack_own != c->send.row.acked_own) {
                free(c->send.ack_state);
                c->send.ack_state = NULL;
                r = event_reader_save(c->send.reader, &c->send.ack_state);
                if (r < 0)
                        return r;
                c->send.ack_pending = true;
                if (filling->n > 0)
                        return 1;
                /* Lines that make no event need no acknowledgement. */
                take_ack(c);
        } else if (!c->send.ack_pending && !all_acked(c))
                c->send.queued_since_usec = 0;
        if (more)
                sender_wake(c->send.source); /* a long line is being passed over */
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
        LOG_ABOUT_CONVERSATION(c);

        if (c->ctx->run.broken)
                return 0;
        while (!c->row.delivered && has_turn(c)) {
                r = find_run(c);
                if (r < 0)
                        return fail(c, r);
                /* All was acknowledged, and an earlier runner had no time to store that. */
                if (r == 0) {
                        note_delivered(c);
                        break;
                }
                r = fill_run(c, &filling);
                if (r < 0)
                        return fail(c, r);
                c->send.failed = false;
                c->send.again_usec = 0;
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
        LOG_ABOUT_CONVERSATION(c);

        if (!c->send.ack_pending)
                return;
        take_ack(c);
        if (all_acked(c) && finish_run(c) >= 0)
                note_delivered(c);
        conversation_send_rest(c);
        c->ctx->hooks->acked(c, c->ctx->userdata);
        sender_wake(c->send.source);
}

static void on_lost(void *userdata) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        close_reader(c);
        conversation_send_rest(c);
}

static int
on_set_aside(void *userdata, const char *message_id, const char *json, size_t size, const char *why) {
        Conversation *c = userdata;
        LOG_ABOUT_CONVERSATION(c);

        return store_set_aside(c->ctx->run.store, message_id, c->row.id, json, size, why);
}

static void on_about(void *userdata, LogContext *log) {
        const Conversation *c = userdata;

        log_context_push_subject(
                log,
                &(LogSubject){ .conversation = c->row.id,
                               .task = c->row.task,
                               .workspace = c->row.workspace,
                               .unit = conversation_scope(userdata) });
}

static const SendSourceOps source_ops = {
        .about = on_about,
        .fill = on_fill,
        .acked = on_acked,
        .lost = on_lost,
        .set_aside = on_set_aside,
};

int conversation_send_open(Conversation *c) {
        int r;

        if (c->send.source || !c->ctx->sender || streq(c->row.origin, "local"))
                return 0;
        r = send_source_new(c->ctx->sender, &source_ops, c, &c->send.source);
        if (r < 0)
                return r;
        if (c->row.delivered)
                return 0;
        /* It ended under an earlier runner, and not all of it was acknowledged. */
        if (!conversation_is_live(c))
                c->send.queued_since_usec = c->row.ended_usec;
        sender_wake(c->send.source);
        return 0;
}

void conversation_send_close(Conversation *c) {
        c->send.source = send_source_free(c->send.source);
        c->send.again = sd_event_source_disable_unref(c->send.again);
        close_reader(c);
        run_row_done(&c->send.row);
}

void conversation_send_wake(Conversation *c) {
        if (!c->send.source)
                return;
        if (c->send.queued_since_usec == 0)
                c->send.queued_since_usec = now_usec(CLOCK_REALTIME);
        sender_wake(c->send.source);
}

void conversation_send_next_run(Conversation *c) {
        /* From now on the end of the run before it is read from the copy. */
        if (c->send.row.conversation && is_present_run(c))
                c->send.row.out_bytes = run_row(c->run)->out_bytes;
        c->send.rests = false;
}

int conversation_flush(Conversation *c) {
        int r = 0;

        if (!c->send.dirty && !(c->run && run_is_behind(c->run)))
                return 0;
        if (c->run && !run_has_ended(c->run)) {
                r = run_store_driven(c->run);
                if (r >= 0)
                        r = run_store_input_written(c->run);
        }
        if (r >= 0 && c->send.row.conversation && !c->send.row.delivered)
                r = store_acked(c, false);
        if (r >= 0)
                c->send.dirty = false;
        return r;
}

void conversation_flush_undone(Conversation *c) {
        c->send.dirty = true;
        if (c->run)
                run_store_undone(c->run);
}

void conversation_send_rest(Conversation *c) {
        uint64_t bytes, events;

        /* Waits until the events on the wire are acknowledged or lost. */
        if (!c->send.source || c->row.delivered || conversation_is_live(c) || c->run ||
            c->send.ack_pending || c->send.rests || c->ctx->run.broken)
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
        c->send.queued_events = events;
        c->send.queued_bytes = bytes;
        c->send.rests = true;
}

/* Reports whether a newer run than the one that is being sent has begun. */
static bool is_behind(Conversation *c) {
        return c->send.row.run < c->row.run;
}

uint64_t conversation_queued_events(Conversation *c) {
        uint64_t events = 0, acked;

        if (!c->send.source || c->row.delivered)
                return 0;
        if (c->send.rests)
                return c->send.queued_events;
        if (find_run(c) <= 0)
                return 0;
        acked = position_lines(c->send.row.acked_state);
        if (is_present_run(c))
                events = run_lines(c->run) > acked ? run_lines(c->run) - acked : 0;
        else {
                events = c->send.lines > acked ? c->send.lines - acked : 0;
                if (is_behind(c))
                        events += c->run ? run_lines(c->run) : c->ended.lines;
        }
        return events +
                store_count_own_events(c->ctx->run.store, c->row.id, c->send.row.run, c->send.row.acked_own);
}

uint64_t conversation_queued_bytes(Conversation *c) {
        uint64_t end;
        bool ended;

        if (!c->send.source || c->row.delivered)
                return 0;
        if (c->send.rests)
                return c->send.queued_bytes;
        if (!c->send.row.conversation)
                return 0;
        end = send_limit(c, &ended);
        uint64_t queued = end > c->send.row.acked ? end - c->send.row.acked : 0;
        if (!is_present_run(c) && is_behind(c))
                queued += conversation_driven(c);
        return queued;
}
