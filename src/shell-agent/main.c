/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <time.h>

#include "shell-agent/input.h"
#include "shell-agent/output.h"
#include "shell-agent/script.h"

/* The agent that needs no model: every message is a shell script. It speaks JSON lines on stdin and stdout and
 * runs one script at a time; messages that come meanwhile wait in order. */

#define QUEUE_MAX 1024
#define QUEUE_BYTES_MAX (64 * 1024 * 1024)
/* Pipes of finished turns that a process in the background still holds. */
#define LEFTOVERS_MAX 32

typedef struct Agent {
        Input input;
        Output output;
        int signal_fd;

        InputMessage queue[QUEUE_MAX]; /* a ring */
        size_t first, n_queue, queue_bytes;

        Script script;
        bool running;
        int leftovers[LEFTOVERS_MAX];
        size_t n_leftovers;

        bool ended; /* no more messages will come */
        int result;
} Agent;

static void keep_leftover(Agent *a, int fd) {
        if (fd < 0)
                return;
        if (a->n_leftovers == LEFTOVERS_MAX) {
                safe_close(a->leftovers[0]);
                memmove(a->leftovers, a->leftovers + 1, (LEFTOVERS_MAX - 1) * sizeof(int));
                a->n_leftovers--;
        }
        a->leftovers[a->n_leftovers++] = fd;
}

static void drain_leftover(Agent *a, size_t i) {
        char bytes[16 * 1024];
        ssize_t n = read(a->leftovers[i], bytes, sizeof(bytes));

        if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
                return;
        safe_close(a->leftovers[i]);
        a->leftovers[i] = -EBADF;
}

static void forget_closed_leftovers(Agent *a) {
        size_t n = 0;

        for (size_t i = 0; i < a->n_leftovers; i++)
                if (a->leftovers[i] >= 0)
                        a->leftovers[n++] = a->leftovers[i];
        a->n_leftovers = n;
}

static void run_next(Agent *a) {
        while (!a->running && a->n_queue > 0) {
                InputMessage m = a->queue[a->first];
                _cleanup_free_ char *id = m.id ?: strdup("null");
                int r = -ENOMEM;

                a->first = (a->first + 1) % QUEUE_MAX;
                a->n_queue--;
                a->queue_bytes -= m.size;
                if (id) {
                        output_turn_start(&a->output, id);
                        r = script_start(&a->script, id, m.text, m.size);
                }
                if (r >= 0) {
                        TAKE_PTR(id);
                        a->running = true;
                } else if (id) {
                        _cleanup_free_ char *text = xasprintf("failed to start the shell: %s", strerror(-r));
                        output_error(&a->output, id, text ?: "failed to start the shell");
                        output_turn_end(&a->output, id, CLD_EXITED, 127, false, 0);
                }
                free(m.text);
        }
}

static void drop_queue(Agent *a) {
        for (; a->n_queue > 0; a->n_queue--) {
                input_message_done(&a->queue[a->first]);
                a->first = (a->first + 1) % QUEUE_MAX;
        }
        a->queue_bytes = 0;
}

/* Ends what runs and drops what waits. */
static void stop(Agent *a, int result) {
        if (a->result == 0)
                a->result = result;
        a->ended = true;
        drop_queue(a);
        if (a->running)
                script_interrupt(&a->script, true);
}

static void on_message(Agent *a, InputMessage *m) {
        switch (m->type) {
        case INPUT_USER:
                if (a->ended) {
                        output_error(&a->output, m->id, "no message is accepted after the end");
                        break;
                }
                if (a->n_queue == QUEUE_MAX || m->size > QUEUE_BYTES_MAX - a->queue_bytes) {
                        output_error(&a->output, m->id, "too many messages are waiting");
                        break;
                }
                a->queue_bytes += m->size;
                a->queue[(a->first + a->n_queue++) % QUEUE_MAX] = *m;
                *m = (InputMessage){};
                /* At once: an interrupt in the next line is meant for this script. */
                run_next(a);
                break;
        case INPUT_INTERRUPT:
                if (a->running)
                        script_interrupt(&a->script, false);
                break;
        case INPUT_END:
                a->ended = true;
                break;
        case INPUT_BAD:
                output_error(&a->output, m->id, m->text ?: "failed to read this line");
                break;
        case INPUT_NONE:
                break;
        }
        input_message_done(m);
}

static void on_input(Agent *a, bool *stdin_open) {
        InputMessage m;
        int r = input_read(&a->input, STDIN_FILENO);

        while (input_next(&a->input, &m))
                on_message(a, &m);
        if (r > 0)
                return;
        *stdin_open = false;
        a->ended = true;
        if (r < 0)
                fprintf(stderr, "Failed to read messages: %s\n", strerror(-r));
}

static void on_signal(Agent *a) {
        struct signalfd_siginfo info;

        if (read(a->signal_fd, &info, sizeof(info)) == sizeof(info))
                stop(a, 128 + (int) info.ssi_signo);
}

static int wait_msec(const Agent *a) {
        if (!a->running || a->script.next_usec == USEC_INFINITY)
                return -1;
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        return a->script.next_usec <= now ? 0 : (int) ((a->script.next_usec - now) / USEC_PER_MSEC + 1);
}

enum {
        POLL_STDIN,
        POLL_STDOUT,
        POLL_SIGNAL,
        POLL_PIDFD,
        POLL_STREAMS,
        POLL_LEFTOVERS = POLL_STREAMS + 2,
        POLL_MAX = POLL_LEFTOVERS + LEFTOVERS_MAX,
};

static int loop(Agent *a) {
        bool stdin_open = true;

        while (!a->ended || a->running || a->n_queue > 0 || !output_is_empty(&a->output)) {
                bool take = a->running && !output_is_full(&a->output);
                struct pollfd fds[POLL_MAX] = {
                        [POLL_STDIN] = { .fd = stdin_open ? STDIN_FILENO : -1, .events = POLLIN },
                        [POLL_STDOUT] = { .fd = a->output.broken ? -1 : STDOUT_FILENO,
                                          .events = output_is_empty(&a->output) ? 0 : POLLOUT },
                        [POLL_SIGNAL] = { .fd = a->signal_fd, .events = POLLIN },
                        [POLL_PIDFD] = { .fd = a->running ? a->script.pidfd : -1, .events = POLLIN },
                        [POLL_STREAMS] = { .fd = take ? a->script.streams[0].fd : -1, .events = POLLIN },
                        [POLL_STREAMS + 1] = { .fd = take ? a->script.streams[1].fd : -1, .events = POLLIN },
                };

                for (size_t i = 0; i < a->n_leftovers; i++)
                        fds[POLL_LEFTOVERS + i] = (struct pollfd){ .fd = a->leftovers[i], .events = POLLIN };
                if (poll(fds, POLL_LEFTOVERS + a->n_leftovers, wait_msec(a)) < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }

                if (fds[POLL_STDOUT].revents & POLLERR)
                        a->output.broken = true;
                output_flush(&a->output);
                if (a->output.broken && a->result == 0)
                        stop(a, EXIT_FAILURE);
                if (fds[POLL_SIGNAL].revents)
                        on_signal(a);
                for (unsigned i = 0; i < 2; i++)
                        if (fds[POLL_STREAMS + i].revents)
                                script_read(&a->script, i, &a->output);
                for (size_t i = 0; i < a->n_leftovers; i++)
                        if (fds[POLL_LEFTOVERS + i].revents)
                                drain_leftover(a, i);
                forget_closed_leftovers(a);
                if (fds[POLL_PIDFD].revents) {
                        int rest[2];

                        if (script_finish(&a->script, &a->output, rest)) {
                                a->running = false;
                                keep_leftover(a, rest[0]);
                                keep_leftover(a, rest[1]);
                                run_next(a);
                        }
                } else if (a->running)
                        script_tick(&a->script);
                if (fds[POLL_STDIN].revents)
                        on_input(a, &stdin_open);
        }
        return 0;
}

static int help(void) {
        printf("%s [OPTIONS...]\n\n"
               "Run shell scripts that come as JSON lines on stdin.\n\n"
               "  -h --help     Show this help\n"
               "     --version  Show the version\n\n"
               "The runner starts it as the agent \"shell\"; it is of no use by hand.\n",
               program_invocation_short_name);
        return 0;
}

/* 1: continue; 0: done; negative: bad usage. */
static int parse_argv(int argc, char *argv[]) {
        enum {
                ARG_VERSION = 0x100,
        };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return help();
                case ARG_VERSION:
                        puts(PROJECT_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }
        if (optind < argc) {
                fprintf(stderr, "%s takes no arguments.\n", program_invocation_short_name);
                return -EINVAL;
        }
        return 1;
}

static int run(int argc, char *argv[]) {
        static Agent a; /* its queue is larger than a stack should be */
        _cleanup_free_ char *cwd = NULL;
        sigset_t mask;
        int r;

        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        a.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (a.signal_fd < 0) {
                fprintf(stderr, "Failed to open a signal descriptor: %s\n", strerror(errno));
                return EXIT_FAILURE;
        }
        output_init(&a.output, STDOUT_FILENO);
        cwd = getcwd(NULL, 0);
        output_started(&a.output, PROJECT_VERSION, cwd ?: "");

        r = loop(&a);
        if (r < 0)
                fprintf(stderr, "Failed to wait for events: %s\n", strerror(-r));
        input_done(&a.input);
        output_done(&a.output);
        forget_closed_leftovers(&a);
        while (a.n_leftovers > 0)
                safe_close(a.leftovers[--a.n_leftovers]);
        safe_close(a.signal_fd);
        return r < 0 ? EXIT_FAILURE : a.result;
}

int main(int argc, char *argv[]) {
        return run(argc, argv);
}
