/* SPDX-License-Identifier: MIT */
#include <fcntl.h>

#include "common/oneshot.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-stream.h"
#include "runner/conversation/event-cut.h"
#include "runner/conversation/event-follower.h"

#define STREAM_PIECE_BYTES ((size_t) 64 * 1024)
/* A reader that reads nothing for this long is dropped. */
#define STREAM_STALL_USEC (300 * USEC_PER_SEC)

typedef struct EventStream {
        Conversation *c;
        struct EventStream *next;
        Follower follower;
        StreamShare share;
        Buffer out;
        size_t begun;  /* where the present event begins in `out` */
        unsigned skip; /* events that are behind the cursor */
        int fd;
        bool waits; /* for room, with its timer running */
        sd_event_source *io, *stall;
} EventStream;

static EventStream *stream_of(StreamShare *share) {
        return (EventStream *) ((char *) share - offsetof(EventStream, share));
}

/* Makes the streams that wait for room check again, each in a turn of its own. */
static void wake_waiting(StreamRoom *room) {
        for (StreamShare *share = room->shares; share; share = share->next)
                if (share->wanted > 0)
                        (void) sd_event_source_set_io_events(stream_of(share)->io, EPOLLOUT);
}

static void stream_hold(EventStream *s, size_t bytes) {
        bool less = bytes < s->share.held;

        stream_share_hold(&s->share, bytes);
        if (less)
                wake_waiting(s->share.room);
}

static EventStream *stream_free(EventStream *s) {
        Conversation *c = s->c;

        for (EventStream **p = &c->streams; *p; p = &(*p)->next)
                if (*p == s) {
                        *p = s->next;
                        break;
                }
        c->ctx->event_streams--;
        stream_share_close(&s->share);
        wake_waiting(&c->ctx->stream_room);
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->stall);
        follower_done(&s->follower);
        buffer_done(&s->out);
        safe_close(s->fd);
        free(s);
        return NULL;
}

static Buffer *stream_buffer(void *userdata) {
        EventStream *s = userdata;

        s->begun = s->out.size;
        return &s->out;
}

static int stream_done(void *userdata, const char *message_id) {
        EventStream *s = userdata;

        if (s->skip > 0) {
                s->skip--;
                s->out.size = s->begun;
                return 0;
        }
        return buffer_append(&s->out, "\n", 1);
}

static bool stream_full(void *userdata) {
        EventStream *s = userdata;

        if (s->out.size >= STREAM_PIECE_BYTES)
                return true;
        stream_hold(s, s->out.allocated);
        return !stream_share_ask(&s->share, event_reader_next_size(s->follower.reader));
}

/* Writes what fits. 1: all is out; 0: the reader is slow. */
static int stream_flush(EventStream *s) {
        while (s->out.size > 0) {
                ssize_t n = write(s->fd, s->out.data, s->out.size);
                if (n < 0 && errno != EAGAIN)
                        return -errno;
                if (n < 0)
                        break;
                buffer_consume(&s->out, (size_t) n);
                s->share.taken_usec = now_usec(CLOCK_MONOTONIC);
        }
        if (s->out.size == 0)
                buffer_clear(&s->out, 0);
        else
                buffer_trim(&s->out);
        stream_hold(s, s->out.allocated);
        return s->out.size == 0;
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata);

static int stream_set_timer(EventStream *s, uint64_t usec) {
        if (usec > 0)
                return oneshot_start(&s->stall, s->c->ctx->run.event, usec, on_stall, s);
        oneshot_disarm(s->stall);
        return 0;
}

/* Pauses a stream. It keeps the bytes that its reader has not read, and little read-ahead. */
static int stream_pause(EventStream *s, uint32_t events, uint64_t usec) {
        int r = sd_event_source_set_io_events(s->io, events);

        if (s->follower.reader)
                event_reader_pause(s->follower.reader);
        return r < 0 ? r : stream_set_timer(s, usec);
}

static int stream_wait_for_room(EventStream *s) {
        /* The timer continues for a stream that was woken in vain. */
        if (s->waits)
                return sd_event_source_set_io_events(s->io, 0);
        s->waits = true;
        return stream_pause(s, 0, STREAM_ROOM_USEC);
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata) {
        EventStream *s = userdata;
        StreamShare *stalled;
        LOG_ABOUT_CONVERSATION(s->c);

        if (!s->waits) {
                stream_free(s);
                return 0;
        }
        while ((stalled = stream_share_stalled(&s->share, now_usec(CLOCK_MONOTONIC))))
                stream_free(stream_of(stalled));
        return stream_set_timer(s, STREAM_ROOM_USEC);
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
                        return stream_pause(s, EPOLLOUT, STREAM_STALL_USEC);
                if (s->share.wanted > 0 && !stream_share_ask(&s->share, s->share.wanted))
                        return stream_wait_for_room(s);
                s->waits = false;
                r = follower_read(&s->follower, &out);
                if (r < 0)
                        return r;
                stream_hold(s, s->out.allocated);
                if (s->out.size > 0 || s->share.wanted > 0)
                        continue;
                if (r == 0)
                        break;
                /* A long line is being passed over, the rest of it in the next turn. */
                return stream_pause(s, EPOLLOUT, STREAM_STALL_USEC);
        }
        if (!conversation_is_live(s->c))
                return -ESHUTDOWN;
        return stream_pause(s, 0, 0);
}

static int on_stream_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        EventStream *s = userdata;
        LOG_ABOUT_CONVERSATION(s->c);

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
        r = cursor_open(c, cursor, &at);
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
                .follower = { .c = c, .outfd = -EBADF, .at = at.at },
                .skip = at.n,
                .fd = fds[1],
        };
        c->streams = s;
        c->ctx->event_streams++;
        stream_share_open(&s->share, &c->ctx->stream_room, now_usec(CLOCK_MONOTONIC));
        r = sd_event_add_io(c->ctx->run.event, &s->io, s->fd, 0, on_stream_io, s);
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

void conversation_streams_wake(Conversation *c) {
        for (EventStream *s = c->streams; s; s = s->next)
                (void) sd_event_source_set_io_events(s->io, EPOLLOUT);
}

void conversation_streams_close(Conversation *c) {
        while (c->streams)
                stream_free(c->streams);
}
