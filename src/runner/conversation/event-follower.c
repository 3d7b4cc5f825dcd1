/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "runner/conversation/conversation-internal.h"
#include "runner/conversation/event-follower.h"
#include "runner/scope/run-directory.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store-events.h"

char *cursor_format(EventPlace at, unsigned n) {
        char events[16] = "";

        if (n > 0)
                (void) snprintf(events, sizeof(events), "+%u", n);
        return xasprintf(
                "%u:%llu:%lld%s", at.run, (unsigned long long) at.offset, (long long) at.own_seq, events);
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
        *ret = (Cursor){ { run, offset, own }, n };
        return 0;
}

void follower_done(Follower *f) {
        event_reader_free(f->reader);
        safe_close(f->outfd);
        *f = (Follower){ .outfd = -EBADF };
}

/* Returns how far the run may be read. */
static uint64_t follower_limit(Follower *f) {
        Conversation *c = f->c;

        if (c->run && run_row(c->run)->run == f->at.run)
                return run_row(c->run)->driven;
        return c->ended.run == f->at.run ? c->ended.driven : f->limit;
}

/* Reports whether the output of that run is complete. */
static bool follower_is_ended(Follower *f) {
        return f->at.run < f->c->row.run || !conversation_is_live(f->c);
}

static int follower_output(Follower *f) {
        _cleanup_close_ int parent = -EBADF, directory = -EBADF;
        char name[16];

        if (f->outfd >= 0)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", f->at.run);
        parent = run_directory_open(f->c->ctx->run.conversations_fd, f->c->row.id);
        directory = parent < 0 ? parent : run_directory_open(parent, name);
        int fd = directory < 0 ? directory : run_directory_open_output(directory);
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

int follower_read(Follower *f, const EventOut *out) {
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
        *ret = (Cursor){ { c->row.run, conversation_driven(c), seq }, 0 };
        return 0;
}

int cursor_open(Conversation *c, const char *text, Cursor *ret) {
        int r = streq(text, "end") ? end_cursor(c, ret) : parse_cursor(text, ret);

        if (r < 0)
                return r;
        return ret->at.run > c->row.run ? -EINVAL : 0;
}
