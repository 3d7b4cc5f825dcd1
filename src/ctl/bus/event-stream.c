/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>

#include "common/buffer.h"
#include "common/oneshot.h"
#include "ctl/bus/connection.h"
#include "ctl/bus/event-json.h"
#include "ctl/bus/event-stream.h"
#include "ctl/options.h"

#define READ_MAX 256
/* Of one event; no line of an agent makes one as long. */
#define LINE_MAX_BYTES ((size_t) 256 * 1024 * 1024)
#define RETRY_USEC (500 * USEC_PER_MSEC)
#define RETRIES_MAX 60

struct EventStream {
        sd_event *event;
        char *id, *path, *cursor;
        bool follow, by_descriptor;
        const EventStreamOps *ops;
        void *userdata;

        int fd;
        sd_event_source *io, *retry;
        Buffer buffer;
        sd_bus_slot *signal_slot, *call_slot;
        bool calling, again; /* ReadEvents is under way; a signal came meanwhile */

        char *last;    /* messageId of the last event */
        bool skipping; /* after a restart: up to that one */
        bool ended;    /* conversation.ended was seen */
        bool finished;
        unsigned retries;
};

static int stream_connect(EventStream *s);

static void stream_finish(EventStream *s, int status) {
        if (s->finished)
                return;
        s->finished = true;
        s->io = sd_event_source_disable_unref(s->io);
        s->signal_slot = sd_bus_slot_unref(s->signal_slot);
        s->call_slot = sd_bus_slot_unref(s->call_slot);
        s->fd = safe_close(s->fd);
        s->ops->end(status, s->userdata);
}

static void stream_event(EventStream *s, const char *line, size_t size) {
        _cleanup_json_ Json *event = NULL;
        const char *id, *method;
        bool whole;

        event = event_take_apart((Slice){ line, size }, &whole);
        if (!event)
                return;
        id = json_get_string(json_get(event, "params"), "messageId");
        method = json_get_string(event, "method");
        if (streq_ptr(method, "conversation.ended"))
                s->ended = true;
        else if (streq_ptr(method, "conversation.started"))
                s->ended = false; /* it was resumed */
        if (s->skipping) {
                if (streq_ptr(id, s->last))
                        s->skipping = false;
                return;
        }
        if (id)
                (void) free_and_strdup(&s->last, id);
        s->ops->event(event, whole, line, s->userdata);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        EventStream *s = userdata;
        int status = stream_connect(s);

        if (status != EXIT_OK)
                stream_finish(s, status);
        return 0;
}

/* The stream broke off: the runner was restarted, or we were too slow. It is opened again from the beginning, since only the
 * runner knows where this one stood, and what was seen is skipped. */
static void stream_lost(EventStream *s) {
        s->io = sd_event_source_disable_unref(s->io);
        s->fd = safe_close(s->fd);
        buffer_clear(&s->buffer, 0);
        if (s->ended)
                return stream_finish(s, EXIT_OK);
        if (s->last) {
                free(s->cursor);
                s->cursor = strdup("");
                s->skipping = true;
        }
        if (s->retries++ == 0)
                (void) fputs("Connection to the runner was lost, waiting for it to return…\n", stderr);
        if (oneshot_start(&s->retry, s->event, RETRY_USEC, on_retry, s) < 0)
                stream_finish(s, EXIT_FAILED);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        EventStream *s = userdata;
        char chunk[65536];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        size_t done = 0;
        char *end;

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : (stream_lost(s), 0);
        if (n == 0) {
                stream_lost(s);
                return 0;
        }
        s->retries = 0;
        if (buffer_append(&s->buffer, chunk, (size_t) n) < 0 || s->buffer.size > LINE_MAX_BYTES) {
                (void) fputs("Failed to read an event: it is too long.\n", stderr);
                stream_finish(s, EXIT_FAILED);
                return 0;
        }
        while (!s->finished && (end = memchr(s->buffer.data + done, '\n', s->buffer.size - done))) {
                size_t size = (size_t) (end - s->buffer.data) - done;

                *end = 0;
                stream_event(s, s->buffer.data + done, size);
                done += size + 1;
        }
        buffer_consume(&s->buffer, done);
        return 0;
}

static int read_more(EventStream *s);

/* One piece of an event, appended to b, whose size is where it begins. 1: there are more; 0: that was the last. */
static int read_piece(const char *path, const char *cursor, Buffer *b, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *piece;
        uint64_t size;
        int r;

        r = sd_bus_call_method(
                bus,
                BUS_NAME,
                path,
                INTERFACE_CONVERSATION,
                "ReadEvent",
                error,
                &reply,
                "st",
                cursor,
                (uint64_t) b->size);
        if (r >= 0)
                r = sd_bus_message_read(reply, "st", &piece, &size);
        if (r < 0)
                return r;
        if (size > LINE_MAX_BYTES)
                return -EFBIG;
        /* An end before the end: it is another event by now. */
        if (isempty(piece))
                return b->size == size ? 0 : -EBADMSG;
        r = buffer_append_str(b, piece);
        return r < 0 ? r : b->size < size;
}

static int read_pieces(const char *path, const char *cursor, Buffer *b, sd_bus_error *error) {
        int r;

        while ((r = read_piece(path, cursor, b, error)) > 0)
                ;
        return r;
}

char *read_event(const char *id, const char *cursor, int *ret_status) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = conversation_path(id, ret_status);
        _cleanup_buffer_ Buffer b = {};
        int r;

        if (!path)
                return NULL;
        r = read_pieces(path, cursor, &b, &error);
        if (r < 0) {
                *ret_status = report_error(&error, r, id);
                return NULL;
        }
        *ret_status = EXIT_OK;
        return buffer_steal(&b);
}

/* Whether the runner is away, and the call comes again. */
static bool retry_later(EventStream *s, const sd_bus_error *e) {
        static const char *const away[] = {
                SD_BUS_ERROR_NO_REPLY,
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
        };

        if (!s->follow || s->retries >= RETRIES_MAX)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(away); i++)
                if (sd_bus_error_has_name(e, away[i])) {
                        s->retries++;
                        return oneshot_start(&s->retry, s->event, RETRY_USEC, on_retry, s) >= 0;
                }
        return false;
}

/* An event that was cut: all of it is fetched first. 0: it comes later, or the stream is at its end. */
static int stream_cut_event(EventStream *s, const char *cursor) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_buffer_ Buffer b = {};
        int r;

        /* Where it fails, reading continues before this event. */
        r = free_and_strdup(&s->cursor, cursor);
        if (r >= 0)
                r = read_pieces(s->path, s->cursor, &b, &error);
        if (r < 0) {
                if (!retry_later(s, &error))
                        stream_finish(s, report_error(&error, r, s->id));
                return 0;
        }
        stream_event(s, b.data, b.size);
        return 1;
}

static int on_events(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        EventStream *s = userdata;
        const char *line, *next;
        unsigned n = 0;
        int r;

        s->calling = false;
        s->call_slot = sd_bus_slot_unref(s->call_slot);
        if (sd_bus_message_is_method_error(m, NULL)) {
                const sd_bus_error *e = sd_bus_message_get_error(m);

                if (!retry_later(s, e))
                        stream_finish(s, report_error(e, sd_bus_message_get_errno(m), s->id));
                return 1;
        }
        s->retries = 0;
        r = sd_bus_message_enter_container(m, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(m, "s", &line)) > 0) {
                _cleanup_free_ char *cursor = event_cut_cursor(line);

                n++;
                if (!cursor)
                        stream_event(s, line, strlen(line));
                else if (stream_cut_event(s, cursor) == 0)
                        return 1;
                if (s->finished)
                        return 1;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &next);
        if (r >= 0)
                r = free_and_strdup(&s->cursor, next);
        if (r < 0) {
                stream_finish(s, report_error(NULL, r, s->id));
                return 1;
        }
        if (n > 0 || s->again)
                r = read_more(s);
        else if (s->ended || !s->follow)
                stream_finish(s, EXIT_OK);
        if (r < 0)
                stream_finish(s, report_error(NULL, r, s->id));
        return 1;
}

static int read_more(EventStream *s) {
        int r;

        if (s->calling) {
                s->again = true;
                return 0;
        }
        s->again = false;
        r = sd_bus_call_method_async(
                bus,
                &s->call_slot,
                BUS_NAME,
                s->path,
                INTERFACE_CONVERSATION,
                "ReadEvents",
                on_events,
                s,
                "su",
                s->cursor,
                (uint32_t) READ_MAX);
        if (r >= 0)
                s->calling = true;
        return r;
}

static int on_available(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        EventStream *s = userdata;

        if (read_more(s) < 0)
                stream_finish(s, EXIT_FAILED);
        return 0;
}

static int connect_descriptor(EventStream *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int fd, r;

        r = sd_bus_call_method(
                bus,
                BUS_NAME,
                s->path,
                INTERFACE_CONVERSATION,
                "OpenEvents",
                &error,
                &reply,
                "s",
                s->cursor);
        if (r < 0 && s->retries > 0 && s->retries < RETRIES_MAX) {
                stream_lost(s);
                return EXIT_OK;
        }
        if (r >= 0)
                r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return report_error(&error, r, s->id);
        s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (s->fd < 0)
                return report_error(NULL, -errno, s->id);
        (void) fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
        r = sd_event_add_io(s->event, &s->io, s->fd, EPOLLIN, on_readable, s);
        return r < 0 ? report_error(NULL, r, s->id) : EXIT_OK;
}

static int stream_connect(EventStream *s) {
        int r;

        if (s->by_descriptor)
                return connect_descriptor(s);
        if (!s->signal_slot && s->follow) {
                r = sd_bus_match_signal(
                        bus,
                        &s->signal_slot,
                        BUS_NAME,
                        s->path,
                        INTERFACE_CONVERSATION,
                        "EventsAvailable",
                        on_available,
                        s);
                if (r < 0)
                        return report_error(NULL, r, s->id);
        }
        r = read_more(s);
        return r < 0 ? report_error(NULL, r, s->id) : EXIT_OK;
}

int event_stream_open(
        sd_event *event,
        const char *id,
        const char *cursor,
        bool follow,
        const EventStreamOps *ops,
        void *userdata,
        EventStream **ret) {
        _cleanup_(event_stream_freep) EventStream *s = new0(EventStream, 1);
        int status = EXIT_OK;

        if (!s)
                return EXIT_FAILED;
        *s = (EventStream){
                .event = sd_event_ref(event),
                .id = strdup(id),
                .path = conversation_path(id, &status),
                .cursor = strdup(cursor),
                .follow = follow,
                .by_descriptor = follow && !arg.host && sd_bus_can_send(bus, 'h') > 0,
                .ops = ops,
                .userdata = userdata,
                .fd = -EBADF,
        };
        if (!s->id || !s->path || !s->cursor)
                return EXIT_FAILED;
        status = stream_connect(s);
        if (status == EXIT_OK)
                *ret = TAKE_PTR(s);
        return status;
}

EventStream *event_stream_free(EventStream *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->retry);
        sd_bus_slot_unref(s->signal_slot);
        sd_bus_slot_unref(s->call_slot);
        safe_close(s->fd);
        buffer_done(&s->buffer);
        free(s->last);
        free(s->cursor);
        free(s->path);
        free(s->id);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

const char *event_stream_cursor(EventStream *s) {
        return s->by_descriptor ? NULL : s->cursor;
}
