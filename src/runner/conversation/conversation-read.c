/* SPDX-License-Identifier: MIT */
#include "common/bus-text.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/conversation-read.h"
#include "runner/conversation/event-cut.h"
#include "runner/conversation/event-follower.h"

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

/* Makes the text acceptable for the bus. */
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
        _cleanup_free_ char *cursor = cursor_format(k->at, n),
                            *place = xasprintf(
                                    "\"conversationId\":\"%s\",\"run\":%u", k->f->c->row.id, k->at.run);

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

/* Called before each item. */
static bool collecting_full(void *userdata) {
        Collecting *k = userdata;

        if (collecting_has_all(k))
                return true;
        /* Items behind the first one were not read before. */
        if (k->of_item > 0)
                k->skip = 0;
        k->of_item = 0;
        k->at = (EventPlace){ k->f->at.run,
                              event_reader_offset(k->f->reader),
                              event_reader_own_seq(k->f->reader) };
        return false;
}

/* Returns the cursor behind the collected events. */
static char *collecting_end(Collecting *k) {
        if (!k->stopped)
                return cursor_format(k->f->at, 0);
        event_cache_end(*k->cache, k->of_item, k->f->at);
        return k->stopped_at == k->of_item ? cursor_format(k->f->at, 0) :
                                             cursor_format(k->at, k->stopped_at);
}

void local_reader_done(LocalReader *l) {
        event_reader_free(l->reader);
        safe_close(l->outfd);
        free(l->cursor);
        *l = (LocalReader){ .outfd = -EBADF };
}

static void close_local(Conversation *c) {
        for (size_t i = 0; i < ENDED_READERS_MAX; i++)
                if (c->ctx->ended_read[i] == c)
                        c->ctx->ended_read[i] = NULL;
        local_reader_done(&c->local);
}

/* Keeps the reader. There may be many conversations that have ended: the oldest of their readers is freed. */
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

/* Reads from a cursor on into an empty *k, and keeps the reader for a caller that comes back with the cursor behind
 * it. */
static int collect(Conversation *c, const Cursor *at, Collecting *k, char **ret_cursor) {
        const EventOut out = {
                .userdata = k,
                .buffer = collecting_buffer,
                .done = collecting_done,
                .full = collecting_full,
        };
        _cleanup_(follower_done) Follower f = { .c = c, .outfd = -EBADF, .at = at->at };
        _cleanup_free_ char *cursor = cursor_format(at->at, 0), *reached = NULL;
        int r;

        if (!cursor)
                return -ENOMEM;
        k->f = &f;
        k->cache = &c->ctx->event_cache;
        k->skip = at->n;
        if (c->local.reader && streq_ptr(c->local.cursor, cursor)) {
                f.reader = TAKE_PTR(c->local.reader);
                f.outfd = TAKE_FD(c->local.outfd);
                f.limit = c->local.limit;
        }
        /* An empty list says that nothing is left: a long line is passed over to its end. */
        while ((r = follower_read(&f, &out)) > 0 && !collecting_has_all(k))
                ;
        buffer_done(&k->b);
        if (r < 0)
                return r;
        reached = cursor_format(f.at, 0);
        *ret_cursor = collecting_end(k);
        if (!reached || !*ret_cursor)
                return -ENOMEM;
        /* The reader that is kept until the next call holds little read-ahead. */
        if (f.reader)
                event_reader_pause(f.reader);
        event_reader_free(c->local.reader);
        safe_close(c->local.outfd);
        c->local.reader = TAKE_PTR(f.reader);
        c->local.outfd = TAKE_FD(f.outfd);
        c->local.limit = f.limit;
        if (!conversation_is_live(c))
                keep_local(c);
        free(c->local.cursor);
        c->local.cursor = TAKE_PTR(reached);
        return 0;
}

/* Collects the rest of an item from the cache. 1; 0: the cache has nothing of it. */
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
        *ret_cursor = event_cache_is_last(cache, n - 1, &next) ? cursor_format(next, 0) :
                                                                 cursor_format(at->at, n);
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
        r = cursor_open(c, cursor, &at);
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

        r = cursor_open(c, cursor, &at);
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

void conversation_read_rest(Conversation *c) {
        close_local(c);
}

void conversation_read_close(Conversation *c) {
        event_cache_drop(c->ctx->event_cache, c->row.id);
        close_local(c);
}
