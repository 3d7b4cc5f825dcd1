/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>

#include "common/bus-text.h"
#include "common/log.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/event-cut.h"
#include "runner/scope/run-folder.h"

/* Events for people on this machine: the same that the orchestrator gets, read again from out.log and the store. */

#define STREAM_PIECE_BYTES ((size_t) 64 * 1024)
/* A reader that takes nothing for this long is let go. */
#define STREAM_STALL_USEC (300 * USEC_PER_SEC)

/* Written "run:offset:own" or, where some events of the item there are behind it, "run:offset:own+n". */
typedef struct Cursor {
        EventPlace at;
        unsigned n;
} Cursor;

static char *format_cursor(EventPlace at, unsigned n) {
        char events[16] = "";

        if (n > 0)
                (void) snprintf(events, sizeof(events), "+%u", n);
        return xasprintf(
                        "%u:%llu:%lld%s",
                        at.run,
                        (unsigned long long) at.offset,
                        (long long) at.own_seq,
                        events);
}

static int parse_cursor(const char *text, Cursor *ret) {
        unsigned long long offset;
        long long own;
        unsigned run, n = 0;
        int end = 0;

        if (isempty(text)) {
                *ret = (Cursor){ .at.run = 1 };
                return 0;
        }
        if (sscanf(text, "%u:%llu:%lld%n", &run, &offset, &own, &end) != 3 || run == 0 || own < 0)
                return -EINVAL;
        text += end;
        end = 0;
        if (*text && (sscanf(text, "+%u%n", &n, &end) != 1 || text[end] != 0))
                return -EINVAL;
        *ret = (Cursor){
                {run, offset, own},
                n
        };
        return 0;
}

/* A reader of one conversation's events that goes from run to run. */
typedef struct Follower {
        Conversation *c;
        EventReader *reader;
        int outfd;
        EventPlace at;
        uint64_t limit; /* of a run that is not the present one */
} Follower;

static void follower_done(Follower *f) {
        event_reader_free(f->reader);
        safe_close(f->outfd);
        *f = (Follower){ .outfd = -EBADF };
}

/* Up to here the run may be read. */
static uint64_t follower_limit(Follower *f) {
        Conversation *c = f->c;

        if (c->run && c->run->row.run == f->at.run)
                return c->run->row.driven;
        return c->ended.run == f->at.run ? c->ended.driven : f->limit;
}

/* Nothing is added to the output of that run. */
static bool follower_is_ended(Follower *f) {
        return f->at.run < f->c->row.run || !conversation_is_live(f->c);
}

static int follower_output(Follower *f) {
        _cleanup_close_ int parent = -EBADF, folder = -EBADF;
        char name[16];

        if (f->outfd >= 0)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", f->at.run);
        parent = run_folder_open(f->c->ctx->run.conversations_fd, f->c->row.id);
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
        int r;

        r = follower_output(f);
        if (r < 0 || f->reader)
                return r;
        r = store_get_run(f->c->ctx->run.store, f->c->row.id, f->at.run, &row);
        if (r <= 0)
                return r < 0 ? r : -EINVAL;
        f->limit = row.out_bytes;
        r = json_parse_from(JSON_OF_STORE, row.spec, strlen(row.spec), &spec, NULL);
        if (r == -ENOMEM)
                return r;
        return event_reader_new(
                        &(EventReaderParams){
                                        .store = f->c->ctx->run.store,
                                        .driver = conversation_driver(f->c, spec),
                                        .spec = spec,
                                        .conversation = f->c->row.id,
                                        .task = f->c->row.task,
                                        .run = f->at.run,
                                        .run_id = row.run_id,
                                        .outfd = f->outfd,
                                        .offset = f->at.offset,
                                        .own_seq = f->at.own_seq,
                                        .end = follower_is_ended(f) ? follower_limit(f) : 0,
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
                event_reader_set_ended(f->reader, follower_is_ended(f));
                r = event_reader_read(f->reader, follower_limit(f), out);
                if (r < 0)
                        return r;
                f->at.offset = event_reader_offset(f->reader);
                f->at.own_seq = event_reader_own_seq(f->reader);
                if (r > 0 || f->at.run >= f->c->row.run)
                        return r;
                f->reader = event_reader_free(f->reader);
                f->outfd = safe_close(f->outfd);
                f->at = (EventPlace){ .run = f->at.run + 1 };
        }
}

static int end_cursor(Conversation *c, Cursor *ret) {
        _cleanup_(own_event_done) OwnEvent e = {};
        int64_t seq = 0;
        int r;

        while ((r = store_next_own_event(c->ctx->run.store, c->row.id, c->row.run, seq, &e)) > 0) {
                seq = e.seq;
                own_event_done(&e);
                e = (OwnEvent){};
        }
        if (r < 0)
                return r;
        *ret = (Cursor){
                {c->row.run, conversation_driven(c), seq},
                0
        };
        return 0;
}

static int open_cursor(Conversation *c, const char *cursor, Cursor *ret) {
        int r = streq(cursor, "end") ? end_cursor(c, ret) : parse_cursor(cursor, ret);

        if (r < 0)
                return r;
        return ret->at.run > c->row.run ? -EINVAL : 0;
}

/* ---- ReadEvents ---- */

typedef struct Collecting {
        Follower *f;
        EventCache **cache;
        char **list;
        Buffer b;
        size_t bytes;
        unsigned n, max;
        unsigned skip;    /* events of the first item that are behind the cursor */
        unsigned of_item; /* events of the present item so far */
        EventPlace at;    /* of the present item */
        bool stopped;     /* inside that item: the rest of it goes into the cache */
        unsigned stopped_at;
        bool whole; /* one event is wanted, and not cut: into the cache with it */
} Collecting;

static Buffer *collecting_buffer(void *userdata) {
        return &((Collecting *) userdata)->b;
}

/* Such that the bus takes it; text is taken over. */
static char *for_bus(char *text_consume) {
        _cleanup_free_ char *text = text_consume;

        return !text || utf8_is_for_bus(text) ? TAKE_PTR(text) : bus_json(text);
}

static int stop_at(Collecting *k, unsigned n, char *text_consume) {
        int r;

        k->stopped = true;
        k->stopped_at = n;
        r = event_cache_begin(k->cache, k->f->c->ctx->run.event, k->f->c->row.id, k->at);
        if (r < 0) {
                free(text_consume);
                return r;
        }
        return event_cache_add(*k->cache, n, text_consume);
}

static char *cut(Collecting *k, unsigned n, const char *text, const char *message_id) {
        _cleanup_free_ char *cursor = format_cursor(k->at, n),
                            *place =
                                            xasprintf("\"conversationId\":\"%s\",\"run\":%u",
                                                      k->f->c->row.id,
                                                      k->at.run);

        return cursor && place ? event_cut(text, message_id, place, cursor) : NULL;
}

static int collecting_done(void *userdata, const char *message_id) {
        Collecting *k = userdata;
        unsigned n = k->of_item++;
        char *text, *small;
        size_t size;
        int r;

        if (n < k->skip || (k->whole && k->stopped)) {
                buffer_clear(&k->b, EVENT_INLINE_MAX);
                return 0;
        }
        text = for_bus(buffer_steal(&k->b));
        if (!text)
                return -ENOMEM;
        if (k->stopped)
                return event_cache_add(*k->cache, n, text);
        size = strlen(text);
        if (k->whole || (k->n > 0 && (k->n >= k->max || k->bytes + size > EVENT_LIST_MAX)))
                return stop_at(k, n, text);
        if (size > EVENT_INLINE_MAX) {
                small = cut(k, n, text, message_id);
                r = stop_at(k, n, text);
                if (r < 0) {
                        free(small);
                        return r;
                }
                k->stopped_at++;
                text = small;
        }
        k->n++;
        k->bytes += size;
        return strv_consume(&k->list, text);
}

static bool collecting_has_all(const Collecting *k) {
        return k->stopped || k->n >= k->max || k->bytes >= EVENT_LIST_MAX;
}

/* Asked before each item. */
static bool collecting_full(void *userdata) {
        Collecting *k = userdata;

        if (collecting_has_all(k))
                return true;
        /* Behind the first item nothing was read before. */
        if (k->of_item > 0)
                k->skip = 0;
        k->of_item = 0;
        k->at = (EventPlace){ k->f->at.run,
                              event_reader_offset(k->f->reader),
                              event_reader_own_seq(k->f->reader) };
        return false;
}

/* The cursor behind what was collected. */
static char *collecting_end(Collecting *k) {
        if (!k->stopped)
                return format_cursor(k->f->at, 0);
        event_cache_end(*k->cache, k->of_item, k->f->at);
        return k->stopped_at == k->of_item ? format_cursor(k->f->at, 0) :
                                             format_cursor(k->at, k->stopped_at);
}

static void close_local(Conversation *c) {
        for (size_t i = 0; i < ENDED_READERS_MAX; i++)
                if (c->ctx->ended_read[i] == c)
                        c->ctx->ended_read[i] = NULL;
        c->local = event_reader_free(c->local);
        c->local_outfd = safe_close(c->local_outfd);
        free(c->local_cursor);
        c->local_cursor = NULL;
}

/* Of those that have ended there may be many: the oldest of their readers goes. */
static void keep_local(Conversation *c) {
        ConversationContext *ctx = c->ctx;
        Conversation **slot = &ctx->ended_read[ctx->ended_read_next % ENDED_READERS_MAX];

        for (size_t i = 0; i < ENDED_READERS_MAX; i++)
                if (ctx->ended_read[i] == c)
                        return;
        if (*slot)
                close_local(*slot);
        *slot = c;
        ctx->ended_read_next++;
}

/* Reads from a cursor on into an empty *k, and keeps the reader for who comes back with the cursor behind it. */
static int collect(Conversation *c, const Cursor *at, Collecting *k, char **ret_cursor) {
        const EventOut out = {
                .userdata = k,
                .buffer = collecting_buffer,
                .done = collecting_done,
                .full = collecting_full,
        };
        _cleanup_(follower_done) Follower f = { .c = c, .outfd = -EBADF, .at = at->at };
        _cleanup_free_ char *cursor = format_cursor(at->at, 0), *reached = NULL;
        int r;

        if (!cursor)
                return -ENOMEM;
        k->f = &f;
        k->cache = &c->ctx->event_cache;
        k->skip = at->n;
        if (c->local && streq_ptr(c->local_cursor, cursor)) {
                f.reader = TAKE_PTR(c->local);
                f.outfd = TAKE_FD(c->local_outfd);
                f.limit = c->local_limit;
        }
        /* An empty list says that nothing is left: a long line is passed over to its end. */
        while ((r = follower_read(&f, &out)) > 0 && !collecting_has_all(k))
                ;
        buffer_done(&k->b);
        if (r < 0)
                return r;
        reached = format_cursor(f.at, 0);
        *ret_cursor = collecting_end(k);
        if (!reached || !*ret_cursor)
                return -ENOMEM;
        /* What is kept until the next call has little of what was read ahead. */
        if (f.reader)
                event_reader_pause(f.reader);
        event_reader_free(c->local);
        safe_close(c->local_outfd);
        c->local = TAKE_PTR(f.reader);
        c->local_outfd = TAKE_FD(f.outfd);
        c->local_limit = f.limit;
        if (!conversation_is_live(c))
                keep_local(c);
        free(c->local_cursor);
        c->local_cursor = TAKE_PTR(reached);
        return 0;
}

/* The rest of an item, as far as the cache has it. 1; 0: nothing of it. */
static int collect_cached(Conversation *c, const Cursor *at, Collecting *k, char **ret_cursor) {
        EventCache *cache = c->ctx->event_cache;
        unsigned n = at->n;
        const char *text;
        EventPlace next;

        while (k->n < k->max && (text = event_cache_get(cache, c->row.id, at->at, n))) {
                size_t size = strlen(text);
                char *copy;

                if (k->n > 0 && k->bytes + size > EVENT_LIST_MAX)
                        break;
                if (size > EVENT_INLINE_MAX) {
                        _cleanup_free_ char *id = NULL;
                        Follower f = { .c = c };
                        Slice value;

                        if (json_scan_path((Slice){ text, size }, &value, "params", "messageId", NULL))
                                (void) json_scan_string(value, &id, NULL);
                        k->f = &f;
                        k->at = at->at;
                        copy = cut(k, n, text, strempty(id));
                } else
                        copy = strdup(text);
                if (strv_consume(&k->list, copy) < 0)
                        return -ENOMEM;
                k->n++;
                k->bytes += size;
                n++;
                if (size > EVENT_INLINE_MAX)
                        break;
        }
        if (k->n == 0)
                return 0;
        *ret_cursor = event_cache_is_last(cache, n - 1, &next) ? format_cursor(next, 0) :
                                                                 format_cursor(at->at, n);
        return *ret_cursor ? 1 : -ENOMEM;
}

int conversation_read_events(
                Conversation *c,
                const char *cursor,
                unsigned max,
                char ***ret_events,
                char **ret_cursor) {
        Collecting collecting = { .max = max > 0 ? MIN(max, 1000U) : 100, .list = new0(char *, 1) };
        _cleanup_free_ char *next = NULL;
        Cursor at;
        int r;

        if (!collecting.list)
                return -ENOMEM;
        r = open_cursor(c, cursor, &at);
        if (r >= 0 && at.n > 0)
                r = collect_cached(c, &at, &collecting, &next);
        else if (r >= 0)
                r = 0;
        if (r == 0)
                r = collect(c, &at, &collecting, &next);
        if (r < 0) {
                strv_free(collecting.list);
                return r;
        }
        *ret_events = collecting.list;
        *ret_cursor = TAKE_PTR(next);
        return 0;
}

int conversation_read_event(
                Conversation *c,
                const char *cursor,
                uint64_t offset,
                char **ret_piece,
                uint64_t *ret_size) {
        Collecting collecting = { .max = 1, .whole = true };
        _cleanup_free_ char *next = NULL;
        const char *text;
        ssize_t n;
        Cursor at;
        int r;

        r = open_cursor(c, cursor, &at);
        if (r < 0)
                return r;
        text = event_cache_get(c->ctx->event_cache, c->row.id, at.at, at.n);
        if (!text) {
                r = collect(c, &at, &collecting, &next);
                if (r < 0)
                        return r;
                if (!collecting.stopped)
                        return -ENOENT;
                /* The first event behind a cursor may be of another run. */
                text = event_cache_get(c->ctx->event_cache, c->row.id, collecting.at, collecting.stopped_at);
        }
        if (!text)
                return -ENOENT;
        *ret_size = strlen(text);
        n = event_piece(text, (size_t) *ret_size, offset);
        if (n < 0)
                return (int) n;
        *ret_piece = strndup(text + offset, (size_t) n);
        return *ret_piece ? 0 : -ENOMEM;
}

/* ---- OpenEvents ---- */

typedef struct EventStream {
        Conversation *c;
        struct EventStream *next;
        Follower follower;
        StreamShare share;
        Buffer out;
        size_t begun;  /* where the present event begins in it */
        unsigned skip; /* events that are behind the cursor */
        int fd;
        bool waits; /* for room, with its timer running */
        sd_event_source *io, *stall;
} EventStream;

static EventStream *stream_of(StreamShare *share) {
        return (EventStream *) ((char *) share - offsetof(EventStream, share));
}

/* Those that wait for room look again, each in a turn of its own. */
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
        int r;

        if (usec == 0)
                return s->stall ? sd_event_source_set_enabled(s->stall, SD_EVENT_OFF) : 0;
        if (!s->stall)
                return sd_event_add_time_relative(
                                s->c->ctx->run.event, &s->stall, CLOCK_MONOTONIC, usec, 0, on_stall, s);
        r = sd_event_source_set_time_relative(s->stall, usec);
        return r < 0 ? r : sd_event_source_set_enabled(s->stall, SD_EVENT_ONESHOT);
}

/* A stream that waits for something keeps what its reader did not take, and little of what was read ahead. */
static int stream_pause(EventStream *s, uint32_t events, uint64_t usec) {
        int r = sd_event_source_set_io_events(s->io, events);

        if (s->follower.reader)
                event_reader_pause(s->follower.reader);
        return r < 0 ? r : stream_set_timer(s, usec);
}

static int stream_wait_for_room(EventStream *s) {
        /* The timer of one that was woken in vain goes on. */
        if (s->waits)
                return sd_event_source_set_io_events(s->io, 0);
        s->waits = true;
        return stream_pause(s, 0, STREAM_ROOM_USEC);
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata) {
        EventStream *s = userdata;
        StreamShare *stalled;

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
                .follower = {.c = c, .outfd = -EBADF, .at = at.at},
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
        event_cache_drop(c->ctx->event_cache, c->row.id);
        close_local(c);
}

void conversation_events_rest(Conversation *c) {
        close_local(c);
}
