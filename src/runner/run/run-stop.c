/* SPDX-License-Identifier: MIT */
#include "runner/run/run-internal.h"
#include "runner/run/run-stop.h"
#include "runner/scope/run-directory.h"

int run_ask_to_end(Run *r) {
        int k = 0, last;

        if (r->ops->phase(r->driver) != DRIVER_IDLE)
                k = run_send_command(r, DRIVER_COMMAND_INTERRUPT);
        last = run_send_command(r, DRIVER_COMMAND_END);
        r->end_sent = true;
        (void) run_directory_ring(r->dirfd, 'e');
        return MAX(k, last);
}

void run_terminate(Run *r) {
        (void) run_directory_ring(r->dirfd, 't');
}

void run_kill(Run *r) {
        (void) run_directory_ring(r->dirfd, 'k');
}
