/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>

#include "common/log.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/run-folder.h"

/* Events for people on this machine: the same that the orchestrator gets, read again from out.log and the store. */

#define STREAM_PIECE_BYTES ((size_t) 64 * 1024)
/* A reader that takes nothing for this long is let go. */
#define STREAM_STALL_USEC (300 * USEC_PER_SEC)

typedef struct Cursor {
        unsigned run;
        uint64_t offset;
        int64_t own_seq;
} Cursor;

static int parse_cursor(const char *text, Cursor *ret) {
        unsigned long long offset;
        long long own;
        unsigned run;
        int end = 0;

        if (isempty(text)) {
                *ret = (Cursor){ .run = 1 };
                return 0;
        }
        if (sscanf(text, "%u:%llu:%lld%n", &run, &offset, &own, &end) != 3 || text[end] != 0 || run == 0 ||
            own < 0)
                return -EINVAL;
        *ret = (Cursor){ run, offset, own };
        return 0;
}

/* A reader of one conversation's events that goes from run to run. */
typedef struct Follower {
        Conversation *c;
        EventReader *reader;
        int outfd;
        Cursor at;
        uint64_t limit; /* of a run that is not the present one */
} Follower;

static void follower_done(Follower *f) {
        event_reader_free(f->reader);
        safe_close(f->outfd);
        *f = (Follower){ .outfd = -EBADF };
}

static bool is_present(Follower *f) {
        return f->c->run && f->c->run->row.run == f->at.run;
}

static int follower_output(Follower *f) {
        _cleanup_close_ int parent = -EBADF, folder = -EBADF;
        char name[16];

        if (f->outfd >= 0)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", f->at.run);
        parent = run_folder_open(f->c->ctx->conversations_fd, f->c->row.id);
        folder = parent < 0 ? parent : run_folder_open(parent, name);
        int fd = folder < 0 ? folder : run_folder_open_output(folder);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        f->outfd = fd;
        if (f->reader)
                event_reader_set_output(f->reader, fd);
        return 0;
}

static int follower_open(Follower *f) {
        _cleanup_(run_row_done) RunRow row = {};
        _cleanup_json_ Json *spec = NULL;
        const DriverOps *ops = conversation_driver(f->c);
        int r;

        r = follower_output(f);
        if (r < 0 || f->reader)
                return r;
        if (!ops)
                return -ENOENT;
        r = store_get_run(f->c->ctx->store, f->c->row.id, f->at.run, &row);
        if (r <= 0)
                return r < 0 ? r : -EINVAL;
        f->limit = row.out_bytes;
        r = json_parse_from(JSON_OF_STORE, row.spec, strlen(row.spec), &spec, NULL);
        if (r < 0)
                return r;
        return event_reader_new(
                        &(EventReaderParams){
                                        .store = f->c->ctx->store,
                                        .driver = ops,
                                        .spec = spec,
                                        .conversation = f->c->row.id,
                                        .task = f->c->row.task,
                                        .run = f->at.run,
                                        .run_id = row.run_id,
                                        .outfd = f->outfd,
                                        .offset = f->at.offset,
                                        .own_seq = f->at.own_seq,
                        },
                        &f->reader);
}

/* Reads on until out is full or nothing is left. 1: more is there; 0: all that is there now was read. */
static int follower_read(Follower *f, const EventOut *out) {
        int r;

        for (;;) {
                r = follower_open(f);
                if (r < 0)
                        return r;
                bool present = is_present(f);
                r = event_reader_read(f->reader, present ? f->c->run->row.driven : f->limit, out);
                if (r < 0)
                        return r;
                f->at.offset = event_reader_offset(f->reader);
                f->at.own_seq = event_reader_own_seq(f->reader);
                if (r > 0 || f->at.run >= f->c->row.run)
                        return r;
                f->reader = event_reader_free(f->reader);
                f->outfd = safe_close(f->outfd);
                f->at = (Cursor){ .run = f->at.run + 1 };
        }
}

static int end_cursor(Conversation *c, Cursor *ret) {
        _cleanup_(own_event_done) OwnEvent e = {};
        int64_t seq = 0;
        int r;

        while ((r = store_next_own_event(c->ctx->store, c->row.id, c->row.run, seq, &e)) > 0) {
                seq = e.seq;
                own_event_done(&e);
                e = (OwnEvent){};
        }
        if (r < 0)
                return r;
        *ret = (Cursor){ c->row.run, c->run ? c->run->row.driven : 0, seq };
        return 0;
}

static int open_cursor(Conversation *c, const char *cursor, Cursor *ret) {
        int r = streq(cursor, "end") ? end_cursor(c, ret) : parse_cursor(cursor, ret);

        if (r < 0)
                return r;
        return ret->run > c->row.run ? -EINVAL : 0;
}

/* ---- ReadEvents ---- */

typedef struct Collecting {
        char **list;
        Buffer b;
        unsigned n, max;
} Collecting;

static Buffer *collecting_buffer(void *userdata) {
        return &((Collecting *) userdata)->b;
}

static int collecting_done(void *userdata, const char *message_id) {
        Collecting *k = userdata;

        k->n++;
        return strv_consume(&k->list, buffer_steal(&k->b));
}

static bool collecting_full(void *userdata) {
        Collecting *k = userdata;

        return k->n >= k->max;
}

int conversation_read_events(
                Conversation *c,
                const char *cursor,
                unsigned max,
                char ***ret_events,
                char **ret_cursor) {
        Collecting collecting = { .max = max > 0 ? MIN(max, 1000U) : 100, .list = new0(char *, 1) };
        const EventOut out = {
                .userdata = &collecting,
                .buffer = collecting_buffer,
                .done = collecting_done,
                .full = collecting_full,
        };
        _cleanup_(follower_done) Follower f = { .c = c, .outfd = -EBADF };
        _cleanup_free_ char *at = NULL;
        int r;

        if (!collecting.list)
                return -ENOMEM;
        r = open_cursor(c, cursor, &f.at);
        /* Whoever polls comes back with the cursor that we gave: the reader that stands there is kept. */
        if (r >= 0 && c->local && streq_ptr(c->local_cursor, cursor)) {
                f.reader = TAKE_PTR(c->local);
                f.outfd = TAKE_FD(c->local_outfd);
                f.limit = c->local_limit;
        }
        /* An empty list says that nothing is left: a long line is passed over to its end. */
        while (r >= 0 && (r = follower_read(&f, &out)) > 0 && !collecting_full(&collecting))
                ;
        if (r >= 0) {
                at = xasprintf("%u:%llu:%lld",
                               f.at.run,
                               (unsigned long long) f.at.offset,
                               (long long) f.at.own_seq);
                r = at ? 0 : -ENOMEM;
        }
        buffer_done(&collecting.b);
        if (r < 0) {
                strv_free(collecting.list);
                return r;
        }
        event_reader_free(c->local);
        safe_close(c->local_outfd);
        c->local = TAKE_PTR(f.reader);
        c->local_outfd = TAKE_FD(f.outfd);
        c->local_limit = f.limit;
        (void) free_and_strdup(&c->local_cursor, at);
        *ret_events = collecting.list;
        *ret_cursor = TAKE_PTR(at);
        return 0;
}

/* ---- OpenEvents ---- */

typedef struct EventStream {
        Conversation *c;
        struct EventStream *next;
        Follower follower;
        Buffer out;
        int fd;
        sd_event_source *io, *stall;
} EventStream;

static EventStream *stream_free(EventStream *s) {
        Conversation *c = s->c;

        for (EventStream **p = &c->streams; *p; p = &(*p)->next)
                if (*p == s) {
                        *p = s->next;
                        break;
                }
        c->ctx->event_streams--;
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->stall);
        follower_done(&s->follower);
        buffer_done(&s->out);
        safe_close(s->fd);
        free(s);
        return NULL;
}

static Buffer *stream_buffer(void *userdata) {
        return &((EventStream *) userdata)->out;
}

static int stream_done(void *userdata, const char *message_id) {
        return buffer_append(&((EventStream *) userdata)->out, "\n", 1);
}

static bool stream_full(void *userdata) {
        return ((EventStream *) userdata)->out.size >= STREAM_PIECE_BYTES;
}

/* Writes what fits. 1: all is out; 0: the reader is slow. */
static int stream_flush(EventStream *s) {
        while (s->out.size > 0) {
                ssize_t n = write(s->fd, s->out.data, s->out.size);
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                buffer_consume(&s->out, (size_t) n);
        }
        buffer_clear(&s->out, 0);
        return 1;
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata) {
        stream_free(userdata);
        return 0;
}

static int stream_set(EventStream *s, bool waiting) {
        int r = sd_event_source_set_io_events(s->io, waiting ? EPOLLOUT : 0);

        if (r < 0)
                return r;
        if (!waiting)
                return s->stall ? sd_event_source_set_enabled(s->stall, SD_EVENT_OFF) : 0;
        if (!s->stall)
                return sd_event_add_time_relative(
                                s->c->ctx->event,
                                &s->stall,
                                CLOCK_MONOTONIC,
                                STREAM_STALL_USEC,
                                0,
                                on_stall,
                                s);
        r = sd_event_source_set_time_relative(s->stall, STREAM_STALL_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(s->stall, SD_EVENT_ONESHOT);
}

/* Returns negative where the stream is at its end, good or bad: the caller frees it. */
static int stream_pump(EventStream *s) {
        const EventOut out = {
                .userdata = s, .buffer = stream_buffer, .done = stream_done, .full = stream_full
        };
        int r;

        for (;;) {
                r = stream_flush(s);
                if (r < 0)
                        return r;
                if (r == 0)
                        return stream_set(s, true);
                r = follower_read(&s->follower, &out);
                if (r < 0)
                        return r;
                if (s->out.size > 0)
                        continue;
                if (r == 0)
                        break;
                return stream_set(
                                s,
                                true); /* a long line is being passed over, the rest of it in the next turn */
        }
        if (!conversation_is_live(s->c))
                return -ESHUTDOWN;
        return stream_set(s, false);
}

static int on_stream_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        EventStream *s = userdata;

        if ((revents & (EPOLLHUP | EPOLLERR)) || stream_pump(s) < 0)
                stream_free(s);
        return 0;
}

int conversation_open_events(Conversation *c, const char *cursor, int *ret_fd) {
        _cleanup_close_ int read_end = -EBADF;
        int fds[2], r;
        EventStream *s;
        Cursor at;

        if (c->ctx->event_streams >= EVENT_STREAMS_MAX)
                return -EMFILE;
        r = open_cursor(c, cursor, &at);
        if (r < 0)
                return r;
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        read_end = fds[0];
        /* The caller gets an ordinary, blocking end. */
        if (fcntl(read_end, F_SETFL, 0) < 0) {
                safe_close(fds[1]);
                return -errno;
        }
        s = new0(EventStream, 1);
        if (!s) {
                safe_close(fds[1]);
                return -ENOMEM;
        }
        *s = (EventStream){
                .c = c,
                .next = c->streams,
                .follower = {.c = c, .outfd = -EBADF, .at = at},
                .fd = fds[1],
        };
        c->streams = s;
        c->ctx->event_streams++;
        r = sd_event_add_io(c->ctx->event, &s->io, s->fd, 0, on_stream_io, s);
        if (r >= 0)
                r = stream_pump(s);
        if (r < 0) {
                stream_free(s);
                if (r != -ESHUTDOWN)
                        return r;
        }
        *ret_fd = TAKE_FD(read_end);
        return 0;
}

void conversation_events_wake(Conversation *c) {
        for (EventStream *s = c->streams, *next; s; s = next) {
                next = s->next;
                /* Inside a transaction events may still be taken back: the pump runs from the loop. */
                (void) sd_event_source_set_io_events(s->io, EPOLLOUT);
        }
        c->ctx->hooks->events_available(c, c->ctx->userdata);
}

void conversation_events_close(Conversation *c) {
        while (c->streams)
                stream_free(c->streams);
        c->local = event_reader_free(c->local);
        c->local_outfd = safe_close(c->local_outfd);
        free(c->local_cursor);
        c->local_cursor = NULL;
}
