/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "runner/run/run-input.h"
#include "runner/run/run-internal.h"
#include "runner/scope/run-directory.h"
#include "runner/store/store-input.h"

typedef struct Writing {
        Run *run;
        bool wrote;
} Writing;

static int write_row(uint64_t offset, const void *data, size_t size, void *userdata) {
        Writing *w = userdata;
        RunInput *i = &w->run->input;
        int k;

        if (offset + size <= i->written)
                return 0;
        k = run_directory_write_input(w->run->dirfd, offset, data, size);
        if (k < 0)
                return k;
        i->written = offset + size;
        w->wrote = true;
        return 0;
}

int run_write_input(Run *r) {
        Writing w = { .run = r };
        uint64_t total, written;
        int k;

        if (r->dirfd < 0 || r->ended)
                return 0;
        k = store_input_size(r->ctx->store, r->row.conversation, r->row.run, &total, &written);
        if (k < 0)
                return k;
        r->input.written = MAX(r->input.written, written);
        if (total == r->input.written)
                return 0;
        k = store_unwritten_input(r->ctx->store, r->row.conversation, r->row.run, write_row, &w);
        if (w.wrote) {
                int rung = run_directory_ring(r->dirfd, 'w');
                if (rung < 0 && rung != -ENXIO)
                        log_debug_errno(
                                rung,
                                "Failed to notify the supervisor of conversation %s: %m",
                                r->row.conversation);
        }
        if (k < 0) {
                log_full(
                        r->input.failed ? LOG_DEBUG : LOG_WARNING,
                        k,
                        NULL,
                        "Failed to write in.log of conversation %s, retrying: %m",
                        r->row.conversation);
                r->report->no_room(r->userdata);
        }
        r->input.failed = k < 0;
        return k < 0 ? k : 1;
}

int run_store_input_written(Run *r) {
        if (r->input.written == 0)
                return 0;
        return store_input_written(r->ctx->store, r->row.conversation, r->row.run, r->input.written);
}

int run_begin_input(Run *r) {
        _cleanup_buffer_ Buffer b = {};
        uint64_t total, written, offset;
        int k;

        k = store_input_size(r->ctx->store, r->row.conversation, r->row.run, &total, &written);
        if (k < 0 || total > 0)
                return k;
        k = r->ops->begin(r->driver, &b);
        if (k < 0 || b.size == 0)
                return k;
        return store_render(r->ctx->store, r->row.conversation, r->row.run, b.data, b.size, 0, &offset);
}

int run_send_command(Run *r, DriverCommandType type) {
        _cleanup_buffer_ Buffer lines = {};
        _cleanup_free_ char *error = NULL;
        uint64_t offset;
        int k;

        DriverCommand command = { .type = type, .seq = (uint64_t) now_usec(CLOCK_MONOTONIC) };
        k = r->ops->command(r->driver, &command, &lines, &error);
        if (k <= 0 || lines.size == 0)
                return 0;
        k = store_render(r->ctx->store, r->row.conversation, r->row.run, lines.data, lines.size, 0, &offset);
        return k < 0 ? k : run_write_input(r);
}
