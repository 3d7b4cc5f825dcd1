/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shell-agent/output.h"

/* Room in a line for what stands around the text. */
#define OUTPUT_FRAME 128

void output_init(Output *o, int fd) {
        struct stat st;

        *o = (Output){ .fd = fd };
        /* Only what is ours alone: a terminal's flags belong to everybody who has it open. */
        if (fstat(fd, &st) >= 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))) {
                int flags = fcntl(fd, F_GETFL);
                if (flags >= 0)
                        (void) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        }
}

void output_done(Output *o) {
        buffer_done(&o->pending);
}

void output_flush(Output *o) {
        while (!o->broken && o->sent < o->pending.size) {
                ssize_t n = write(o->fd, o->pending.data + o->sent, o->pending.size - o->sent);

                if (n >= 0)
                        o->sent += (size_t) n;
                else if (errno == EAGAIN)
                        break;
                else if (errno != EINTR)
                        o->broken = true;
        }
        if (o->broken || o->sent == o->pending.size) {
                buffer_clear(&o->pending, 2 * OUTPUT_LINE_MAX);
                o->sent = 0;
        } else if (o->sent >= OUTPUT_PENDING_MAX) {
                buffer_consume(&o->pending, o->sent);
                o->sent = 0;
        }
}

bool output_is_empty(const Output *o) {
        return o->broken || o->sent == o->pending.size;
}

bool output_is_full(const Output *o) {
        return o->pending.size - o->sent >= OUTPUT_PENDING_MAX;
}

/* Ends a line. Half a line must never go out: without memory for it there is nothing left to say. */
static void finish(Output *o) {
        (void) buffer_append_str(&o->pending, "}\n");
        if (o->pending.failed)
                o->broken = true;
        output_flush(o);
}

void output_started(Output *o, const char *version, const char *cwd) {
        (void) buffer_append_str(&o->pending, "{\"type\":\"started\",\"version\":");
        (void) buffer_append_json_str(&o->pending, version);
        (void) buffer_append_str(&o->pending, ",\"cwd\":");
        (void) buffer_append_json_str(&o->pending, cwd);
        finish(o);
}

void output_turn_start(Output *o, const char *id) {
        (void) buffer_printf(&o->pending, "{\"type\":\"turn_start\",\"id\":%s", id);
        finish(o);
}

void output_turn_end(
        Output *o,
        const char *id,
        int code,
        int status,
        bool interrupted,
        uint64_t duration_usec) {
        (void) buffer_printf(
                &o->pending,
                "{\"type\":\"turn_end\",\"id\":%s,\"%s\":%i,\"interrupted\":%s,\"durationMs\":%" PRIu64,
                id,
                code == CLD_EXITED ? "exitCode" : "signal",
                status,
                interrupted ? "true" : "false",
                duration_usec / USEC_PER_MSEC);
        finish(o);
}

void output_error(Output *o, const char *id, const char *text) {
        (void) buffer_append_str(&o->pending, "{\"type\":\"error\",\"text\":");
        (void) buffer_append_json_str(&o->pending, text);
        if (id)
                (void) buffer_printf(&o->pending, ",\"id\":%s", id);
        finish(o);
}

/* How much of text fits into max bytes of a JSON string, cut between characters. */
static size_t fit(const char *text, size_t size, size_t max) {
        size_t cost = 0, i = 0;

        while (i < size) {
                unsigned char c = (unsigned char) text[i];
                size_t n = utf8_sequence(text + i, size - i);
                /* \u00XX and U+FFFD are the longest that one byte can become; the short escapes take less. */
                size_t need = n == 0 ? 3 : c < 0x20 || c == 0x7f ? 6 : c == '"' || c == '\\' ? 2 : n;

                if (cost + need > max)
                        break;
                cost += need;
                i += MAX(n, (size_t) 1);
        }
        return i;
}

void output_text(Output *o, const char *stream, const char *text, size_t size) {
        while (size > 0) {
                size_t n = fit(text, size, OUTPUT_LINE_MAX - OUTPUT_FRAME);

                (void) buffer_printf(
                        &o->pending, "{\"type\":\"output\",\"stream\":\"%s\",\"text\":", stream);
                (void) buffer_append_json(&o->pending, text, n);
                finish(o);
                text += n;
                size -= n;
        }
}
