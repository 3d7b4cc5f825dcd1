/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/stat.h>

#include "common/json-scan.h"
#include "runner/agent/driver-none.h"
#include "runner/conversation/event-reader.h"
#include "runner/run/position.h"
#include "runner/scope/line-reader.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"

struct EventReader {
        Store *store;
        Driver *driver;
        char *conversation, *message_prefix; /* the run id */
        size_t message_prefix_size;
        Buffer context; /* the text behind the id, the same in each event */
        unsigned run;
        bool forward_raw;
        bool notified_of_own, no_own; /* no_own: there was none, and no notification since */
        int outfd;
        bool ended;       /* nothing is added to it */
        LineReader lines; /* the lines before its offset were read */
        int64_t own_seq;
        OwnEvent own; /* the next one, where has_own */
        bool has_own;
        size_t next_size; /* of the event that full() is asked about */

        /* during a line */
        const EventOut *out;
        Buffer *opened;   /* an event is being written into it … */
        size_t opened_at; /* … from here on */
        char message_id[64];
        Slice line;
        bool line_is_json, line_checked;
        unsigned n;
};

static const DriverSink quiet_sink = {};

EventReader *event_reader_free(EventReader *r) {
        if (!r)
                return NULL;
        driver_free(r->driver);
        own_event_done(&r->own);
        line_reader_done(&r->lines);
        free(r->conversation);
        buffer_done(&r->context);
        free(r->message_prefix);
        free(r);
        return NULL;
}

void event_reader_set_output(EventReader *r, int outfd) {
        r->outfd = outfd;
}

void event_reader_set_ended(EventReader *r, bool ended) {
        r->ended = ended;
}

void event_reader_own_added(EventReader *r) {
        r->no_own = false;
}

uint64_t event_reader_offset(EventReader *r) {
        return r->lines.offset;
}

int64_t event_reader_own_seq(EventReader *r) {
        return r->own_seq;
}

size_t event_reader_next_size(EventReader *r) {
        return r->next_size;
}

void event_reader_pause(EventReader *r) {
        line_reader_pause(&r->lines);
}

uint64_t event_reader_lines(EventReader *r) {
        return r->lines.lines;
}

int event_reader_save(EventReader *r, char **ret_state) {
        return position_save(r->driver, r->lines.lines, ret_state);
}

static int make_context(EventReader *r, const char *task) {
        Buffer *b = &r->context;

        (void) buffer_append_str(b, "\",\"conversationId\":\"");
        (void) buffer_append_str(b, r->conversation);
        (void) buffer_printf(b, "\",\"run\":%u", r->run);
        if (task) {
                (void) buffer_append_str(b, ",\"taskId\":\"");
                (void) buffer_append_str(b, task);
                (void) buffer_append_str(b, "\"");
        }
        return buffer_append_str(b, ",");
}

static bool is_shorter(int fd, uint64_t size) {
        struct stat st;

        return fd < 0 || (fstat(fd, &st) >= 0 && (uint64_t) st.st_size < size);
}

/* Feeds the driver the lines before the offset where the reader begins. */
static int read_up_to(EventReader *r, uint64_t offset, uint64_t end) {
        Slice line;
        int k;

        while (r->lines.offset < offset) {
                k = line_reader_next(&r->lines, r->outfd, offset, &line);
                if (k < 0)
                        return k;
                if (k == 0) {
                        if (offset > end || (offset < end && !is_shorter(r->outfd, offset)))
                                return -EINVAL; /* no line ends there */
                        line_reader_skip(&r->lines, offset);
                        return 0;
                }
                if (k == LINE_CONTINUE)
                        continue;
                k = line_reader_feed(&r->lines, r->driver, line, &quiet_sink);
                if (k < 0)
                        return k;
                line_reader_step(&r->lines);
        }
        return 0;
}

static int begin_at(EventReader *r, const EventReaderParams *p) {
        int k;

        k = position_load(p->driver, p->spec, p->state, &r->driver, &r->lines.lines);
        if (k >= 0 && p->state) {
                r->lines.offset = p->offset;
                return 0;
        }
        /* A state that cannot be read is computed again from the output. */
        if (k < 0 && k != -ENOMEM && p->state)
                k = position_load(p->driver, p->spec, NULL, &r->driver, &r->lines.lines);
        if (k < 0 && k != -ENOMEM)
                k = position_load(&none_driver_ops, NULL, NULL, &r->driver, &r->lines.lines);
        return k < 0 ? k : read_up_to(r, p->offset, p->end);
}

int event_reader_new(const EventReaderParams *p, EventReader **ret) {
        _cleanup_(event_reader_freep) EventReader *r = new0(EventReader, 1);
        int k;

        if (!r)
                return -ENOMEM;
        *r = (EventReader){
                .store = p->store,
                .conversation = strdup(p->conversation),
                .message_prefix = strdup(p->run_id),
                .run = p->run,
                .forward_raw = p->forward_raw,
                .notified_of_own = p->notified_of_own,
                .outfd = p->outfd,
                .own_seq = p->own_seq,
        };
        if (!r->conversation || !r->message_prefix)
                return -ENOMEM;
        r->message_prefix_size = strlen(r->message_prefix);
        assert(r->message_prefix_size + 32 < sizeof(r->message_id));
        k = make_context(r, p->task);
        if (k < 0)
                return k;
        r->lines.max = driver_line_max(p->spec);
        k = begin_at(r, p);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(r);
        return 0;
}

static char *write_decimal(char *p, uint64_t value) {
        char digits[20];
        size_t n = 0;

        do
                digits[n++] = (char) ('0' + value % 10);
        while ((value /= 10) > 0);
        while (n > 0)
                *p++ = digits[--n];
        return p;
}

static void begin_event(EventReader *r, Buffer *b, const char *method, const char *message_id) {
        (void) buffer_append_str(b, "{\"jsonrpc\":\"2.0\",\"method\":\"");
        (void) buffer_append_str(b, method);
        (void) buffer_append_str(b, "\",\"params\":{\"messageId\":\"");
        (void) buffer_append_str(b, message_id);
        (void) buffer_append(b, r->context.data, r->context.size);
}

static void drop_opened(EventReader *r) {
        if (r->opened)
                r->opened->size = r->opened_at;
        r->opened = NULL;
}

/* Begins the next event of the line; an event that was begun and not ended is dropped. */
static Buffer *on_open(void *userdata, const char *method) {
        EventReader *r = userdata;
        Buffer *b;
        char *p;

        drop_opened(r);
        b = r->out->buffer(r->out->userdata);
        p = mempcpy(r->message_id, r->message_prefix, r->message_prefix_size);
        *p++ = ':';
        p = write_decimal(p, r->lines.offset);
        *p++ = '.';
        *write_decimal(p, r->n) = 0;
        r->opened = b;
        r->opened_at = b->size;
        begin_event(r, b, method, r->message_id);
        return b;
}

/* A driver knows the place of a question, but not the id of the run: it wrote "@" instead. */
static int name_question(EventReader *r, Buffer *b, size_t members) {
        static const char about[] = "\"event\":{\"type\":\"ask_gone\"", question[] = "\"requestId\":\"@";
        _cleanup_free_ char *rest = NULL;
        const char *at;

        if (b->failed || !startswith(b->data + members, about))
                return 0;
        at = memmem(b->data + members, b->size - members, question, strlen(question));
        if (!at)
                return 0;
        rest = strdup(at + strlen(question));
        if (!rest)
                return -ENOMEM;
        b->size = (size_t) (at - b->data) + strlen(question) - 1;
        (void) buffer_append(b, r->message_prefix, r->message_prefix_size);
        (void) buffer_append_str(b, ":");
        return buffer_append_str(b, rest);
}

static int on_event(void *userdata, const char *method, const char *members, size_t size) {
        EventReader *r = userdata;
        Buffer *b = r->opened;
        int k;

        if (!b) {
                b = on_open(r, method);
                k = buffer_append(b, members, size);
                if (k < 0)
                        return k;
        }
        k = name_question(r, b, b->size - size);
        if (k < 0)
                return k;
        r->opened = NULL;
        /* With it the event is twice as long as the line, and still has to fit where the line would. */
        if (r->forward_raw && r->n == 0 && !r->lines.oversize && r->line.size <= r->lines.max / 2) {
                if (!r->line_checked) {
                        r->line_is_json = json_scan_valid(r->line.data, r->line.size);
                        r->line_checked = true;
                }
                if (r->line_is_json) {
                        (void) buffer_append_str(b, ",\"raw\":");
                        (void) buffer_append(b, r->line.data, r->line.size);
                }
        }
        r->n++;
        k = buffer_append_str(b, "}}");
        if (k < 0)
                return k;
        return r->out->done(r->out->userdata, r->message_id);
}

static int write_own(EventReader *r) {
        Buffer *b = r->out->buffer(r->out->userdata);

        begin_event(r, b, r->own.method, r->own.message_id);
        (void) buffer_append_str(b, r->own.members);
        int k = buffer_append_str(b, "}}");
        if (k < 0)
                return k;
        k = r->out->done(r->out->userdata, r->own.message_id);
        if (k < 0)
                return k;
        r->own_seq = r->own.seq;
        own_event_done(&r->own);
        r->has_own = false;
        return 0;
}

int event_reader_read(EventReader *r, uint64_t limit, const EventOut *out) {
        const DriverSink sink = { .userdata = r, .event = on_event, .open = on_open };
        Slice line;
        int k;

        r->out = out;
        for (;;) {
                if (!r->has_own && !r->no_own) {
                        k = store_next_own_event(r->store, r->conversation, r->run, r->own_seq, &r->own);
                        if (k < 0)
                                return k;
                        r->has_own = k > 0;
                        r->no_own = k == 0 && r->notified_of_own;
                }
                /* Own events at this place go first; then the lines up to the next one, or to the limit. */
                if (r->has_own && r->own.at_offset <= r->lines.offset) {
                        r->next_size = strlen(r->own.members);
                        if (out->full(out->userdata))
                                return 1;
                        k = write_own(r);
                        if (k < 0)
                                return k;
                        continue;
                }
                uint64_t stop = r->has_own ? MIN(limit, r->own.at_offset) : limit;
                while ((k = line_reader_next(&r->lines, r->outfd, stop, &line)) > 0) {
                        r->next_size = line.size;
                        if (k == LINE_CONTINUE || out->full(out->userdata))
                                return 1;
                        r->line = line;
                        r->line_checked = false;
                        r->n = 0;
                        k = line_reader_feed(&r->lines, r->driver, line, &sink);
                        drop_opened(r);
                        if (k < 0)
                                return k;
                        line_reader_step(&r->lines);
                }
                if (k < 0)
                        return k;
                if (r->ended && r->lines.offset < stop)
                        line_reader_skip(&r->lines, stop);
                if (!(r->has_own && r->own.at_offset <= r->lines.offset))
                        return 0;
        }
}
