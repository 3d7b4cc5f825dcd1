/* SPDX-License-Identifier: MIT */
#include "runner/run/run-output.h"
#include "runner/scope/run-directory.h"

/* What one turn of the loop may spend on one conversation, so that a flood of one does not starve the others. */
#define DRIVE_BYTES_MAX (1024 * 1024)

void run_output_init(RunOutput *o, uint64_t offset, uint64_t lines, size_t line_max) {
        *o = (RunOutput){
                .fd = -EBADF,
                .lines = { .offset = offset, .lines = lines, .max = line_max },
                .stored = offset,
        };
}

void run_output_done(RunOutput *o) {
        line_reader_done(&o->lines);
        run_output_close(o);
}

int run_output_open(RunOutput *o, int dirfd) {
        if (o->fd >= 0)
                return 1;
        int fd = run_directory_open_output(dirfd);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        o->fd = fd;
        return 1;
}

void run_output_close(RunOutput *o) {
        o->fd = safe_close(o->fd);
}

int run_output_feed(
        RunOutput *o,
        Driver *d,
        uint64_t limit,
        const DriverSink *sink,
        bool (*enough)(void *userdata)) {
        uint64_t begun = o->lines.offset;
        Slice line;
        int k;

        while ((k = line_reader_next(&o->lines, o->fd, limit, &line)) > 0) {
                if (k == LINE_CONTINUE || o->lines.offset - begun > DRIVE_BYTES_MAX ||
                    enough(sink->userdata))
                        return 1;
                k = line_reader_feed(&o->lines, d, line, sink);
                if (k < 0)
                        return k;
                line_reader_step(&o->lines);
        }
        return k;
}
