/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* An agent for tools/bench, which speaks the shell agent's lines. A message is not a script but one of
 *
 *     flat LINES BYTES            a write for each line, as fast as they are taken
 *     burst LINES BYTES           the same in as few writes as possible
 *     paced RATE LINES BYTES      RATE lines a second
 *     line BYTES                  a single line
 *     exit                        ends
 *
 * BYTES is the length of a line with its newline. Every line has its number (from 1, over all messages) and the time of
 * its making, CLOCK_MONOTONIC in nanoseconds: "delta":"000000001 0000001234567890 xxxx". */

#define HEAD "{\"type\":\"output\",\"stream\":\"stdout\",\"text\":\""
#define STAMP_SIZE 27 /* number, space, time, space */
#define TAIL "\"}\n"
#define SHORTEST (sizeof(HEAD) - 1 + STAMP_SIZE + sizeof(TAIL) - 1)
#define BURST_BYTES ((size_t) 1024 * 1024)

static char input[64 * 1024];
static size_t input_size;
static bool input_ended, interrupted;
static unsigned line_number;

static uint64_t now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

static void put(const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(STDOUT_FILENO, data, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        exit(1);
                data += n;
                size -= (size_t) n;
        }
}

static void put_text(const char *text) {
        put(text, strlen(text));
}

/* The line is there but for its number and its time. */
static void make_line(char *line, size_t size) {
        memset(line, 'x', size);
        memcpy(line, HEAD, sizeof(HEAD) - 1);
        memcpy(line + size - (sizeof(TAIL) - 1), TAIL, sizeof(TAIL) - 1);
}

static void stamp_line(char *line) {
        char stamp[STAMP_SIZE + 1];

        (void) snprintf(
                stamp, sizeof(stamp), "%09u %016llu ", ++line_number, (unsigned long long) now_nsec());
        memcpy(line + sizeof(HEAD) - 1, stamp, STAMP_SIZE);
}

/* Reads what there is; waits for it until `until` (CLOCK_MONOTONIC, nanoseconds; 0: for ever). */
static void take_input(uint64_t until) {
        struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
        struct timespec t = {};
        uint64_t now = now_nsec();

        if (input_ended || input_size == sizeof(input))
                p.fd = -1;
        if (until > now)
                t = (struct timespec){ (time_t) ((until - now) / 1000000000),
                                       (long) ((until - now) % 1000000000) };
        if (ppoll(&p, 1, until == 0 ? NULL : &t, NULL) <= 0 || p.fd < 0)
                return;
        ssize_t n = read(STDIN_FILENO, input + input_size, sizeof(input) - input_size);
        if (n > 0) {
                /* An interrupt is for what runs now, and so is the end. */
                input[input_size + (size_t) n < sizeof(input) ? input_size + (size_t) n :
                                                                sizeof(input) - 1] = 0;
                interrupted = interrupted || strstr(input + input_size, "\"interrupt\"") ||
                        strstr(input + input_size, "\"end\"");
                input_size += (size_t) n;
        } else if (n == 0)
                input_ended = interrupted = true;
}

static void lines(unsigned count, size_t size, uint64_t interval) {
        uint64_t due = now_nsec();
        char *line = malloc(size);

        if (!line)
                exit(1);
        make_line(line, size);
        for (unsigned i = 0; i < count && !interrupted; i++) {
                if (interval > 0) {
                        while (now_nsec() < due && !interrupted)
                                take_input(due);
                        due += interval;
                }
                stamp_line(line);
                put(line, size);
        }
        free(line);
}

static void burst(unsigned count, size_t size) {
        size_t per_write = size < BURST_BYTES ? BURST_BYTES / size : 1;
        char *piece = malloc(per_write * size);

        if (!piece)
                exit(1);
        for (size_t i = 0; i < per_write; i++)
                make_line(piece + i * size, size);
        while (count > 0) {
                size_t n = count < per_write ? count : per_write;

                for (size_t i = 0; i < n; i++)
                        stamp_line(piece + i * size);
                put(piece, n * size);
                count -= (unsigned) n;
        }
        free(piece);
}

static void perform(const char *text) {
        unsigned count, rate;
        size_t size;

        interrupted = false;
        if (sscanf(text, "flat %u %zu", &count, &size) == 2 && size >= SHORTEST)
                lines(count, size, 0);
        else if (sscanf(text, "burst %u %zu", &count, &size) == 2 && size >= SHORTEST)
                burst(count, size);
        else if (sscanf(text, "paced %u %u %zu", &rate, &count, &size) == 3 && rate > 0 && size >= SHORTEST)
                lines(count, size, 1000000000 / rate);
        else if (sscanf(text, "line %zu", &size) == 1 && size >= SHORTEST)
                lines(1, size, 0);
        else if (strncmp(text, "exit", 4) == 0)
                exit(0);
}

static void handle(char *message) {
        char *id = strstr(message, "\"id\":\""), *text = strstr(message, "\"text\":\""), turn[256];

        if (strstr(message, "\"type\":\"end\""))
                exit(0);
        if (!id || !text)
                return;
        id += strlen("\"id\":\"");
        text += strlen("\"text\":\"");
        (void) snprintf(
                turn,
                sizeof(turn),
                "{\"type\":\"turn_start\",\"id\":\"%.*s\"}\n",
                (int) strcspn(id, "\""),
                id);
        put_text(turn);
        perform(text);
        (void) snprintf(
                turn,
                sizeof(turn),
                "{\"type\":\"turn_end\",\"id\":\"%.*s\",\"exitCode\":0,\"interrupted\":%s,\"durationMs\":1}\n",
                (int) strcspn(id, "\""),
                id,
                interrupted ? "true" : "false");
        put_text(turn);
}

int main(void) {
        static char message[sizeof(input)];

        put_text("{\"type\":\"started\",\"version\":\"1\",\"cwd\":\"/\"}\n");
        for (;;) {
                char *end = memchr(input, '\n', input_size);

                if (!end) {
                        if (input_ended || input_size == sizeof(input))
                                return 0;
                        take_input(0);
                        continue;
                }
                size_t size = (size_t) (end + 1 - input);
                memcpy(message, input, size - 1);
                message[size - 1] = 0;
                memmove(input, end + 1, input_size - size);
                input_size -= size;
                handle(message);
        }
}
