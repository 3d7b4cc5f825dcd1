/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#include "ctl/bus/connection.h"
#include "ctl/bus/snapshot.h"
#include "ctl/options.h"
#include "ctl/terminal/terminal.h"
#include "ctl/verb/top-view.h"
#include "ctl/verb/top.h"

#define DELAY_DEFAULT_SECS 2
/* Head, titles, and the line below. */
#define LINES_AROUND 6

static volatile sig_atomic_t left;

static void on_signal(int signal) {
        left = 1;
}

static struct termios before;
static bool is_open, raw;

/* A screen of its own, whose lines are cut and not wrapped; the one before comes back when we go. */
static void screen_open(void) {
        struct sigaction leave = { .sa_handler = on_signal };
        struct termios t;

        (void) sigaction(SIGINT, &leave, NULL);
        (void) sigaction(SIGTERM, &leave, NULL);
        (void) sigaction(SIGHUP, &leave, NULL);
        (void) signal(SIGTSTP, SIG_IGN);
        (void) fputs("\033[?1049h\033[?25l\033[?7l", stdout);
        is_open = true;
        if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
                return;
        t = before;
        t.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
        raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) >= 0;
}

static void screen_close(void) {
        if (!is_open)
                return;
        (void) fputs("\033[?7h\033[?25h\033[?1049l", stdout);
        (void) fflush(stdout);
        if (raw)
                (void) tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static size_t screen_rows(void) {
        struct winsize w = {};

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row <= LINES_AROUND)
                return 10;
        return (size_t) w.ws_row - LINES_AROUND;
}

/* Waits for the next refresh or a key. */
static void wait_for_key(uint64_t until, TopSort *sort) {
        static const char keys[] = {
                [TOP_CPU] = 'c', [TOP_MEMORY] = 'm', [TOP_IO] = 'i', [TOP_TOKENS] = 't', [TOP_COST] = '$'
        };
        struct pollfd p = { .fd = raw ? STDIN_FILENO : -1, .events = POLLIN };
        uint64_t now;
        char key;

        while (!left && (now = now_usec(CLOCK_MONOTONIC)) < until) {
                if (poll(&p, 1, (int) ((until - now) / USEC_PER_MSEC + 1)) <= 0)
                        continue;
                if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q') {
                        left = 1;
                        return;
                }
                for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                        if (key == keys[i])
                                *sort = (TopSort) i;
                return;
        }
}

static int show(Json *snapshot, bool live, bool first, TopSort sort) {
        int r = 0;

        top_sort(snapshot, sort);
        if (arg.json != JSON_OFF)
                print_json(snapshot);
        else if (!live) {
                if (!first)
                        (void) putchar('\n');
                r = top_print(snapshot, 0);
        } else {
                (void) fputs("\033[H\033[J", stdout);
                r = top_print(snapshot, screen_rows());
                (void) printf(
                        "\n%sq quits; c m i t $ sort by processor, memory, disk, tokens, cost%s",
                        style(stdout, STYLE_DIM),
                        style(stdout, STYLE_NORMAL));
        }
        (void) fflush(stdout);
        return r;
}

/* Returns an exit status; *ret_lost: the screen hid why. */
static int loop(bool live, uint64_t times, bool *ret_lost) {
        uint64_t delay = (arg.delay_set ? MIN(arg.delay, UINT64_C(86400)) : DELAY_DEFAULT_SECS) *
                USEC_PER_SEC;
        _cleanup_json_ Json *last = NULL;
        TopSort sort = TOP_CPU;

        for (uint64_t i = 0; !left && (times == 0 || i < times); i++) {
                _cleanup_json_ Json *snapshot = NULL;
                uint64_t next = now_usec(CLOCK_MONOTONIC) + delay;
                int status;

                /* A restart of the runner is no reason to leave the screen; the loss of the connection is. */
                status = snapshot_take(live && last, &snapshot);
                if (status != EXIT_OK) {
                        *ret_lost = live && last;
                        if (!*ret_lost || sd_bus_is_open(bus) <= 0)
                                return status;
                        (void) fputs(
                                "\033[Hnorthflare-runner does not respond; waiting for it.\033[K", stdout);
                        (void) fflush(stdout);
                } else {
                        if (live && !last)
                                screen_open();
                        if (top_add_rates(snapshot, last) < 0 || show(snapshot, live, !last, sort) < 0)
                                return EXIT_FAILED;
                        json_putp(&last);
                        last = TAKE_PTR(snapshot);
                }
                if (ferror(stdout))
                        return EXIT_FAILED;
                if (times == 0 || i + 1 < times)
                        wait_for_key(next, &sort);
        }
        return EXIT_OK;
}

int verb_top(char **words) {
        bool live = terminal_is_out() && !arg.batch && arg.json == JSON_OFF &&
                !streq_ptr(getenv("TERM"), "dumb");
        uint64_t times = arg.lines_set ? arg.lines : live || arg.batch ? 0 : 1;
        bool lost = false;
        int status;

        if (arg.lines_set && arg.lines == 0)
                return EXIT_OK;
        status = loop(live, times, &lost);
        screen_close();
        if (status != EXIT_OK && lost)
                return report_error(NULL, -ENOTCONN, NULL);
        return status;
}
