/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "git/process.h"

volatile bool stop_asked;

static void on_stop(int signal) {
        stop_asked = true;
}

void process_set_up(void) {
        /* No SA_RESTART: a read that waits for a server returns. */
        struct sigaction stop = { .sa_handler = on_stop };
        struct rlimit no_core = {};

        (void) sigaction(SIGTERM, &stop, NULL);
        (void) sigaction(SIGINT, &stop, NULL);
        (void) setrlimit(RLIMIT_CORE, &no_core);
        (void) umask(0022);
}
