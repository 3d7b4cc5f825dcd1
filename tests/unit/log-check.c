/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "common/log.h"

/* Linked to every test of the runner: a line that is written in a room which works for one conversation, and does not carry
 * its id, fails the test. All lines are written, those for debugging too. */

static unsigned n_without;

static void observe(int level, const char *file, int line, const char *message) {
        static const char *const rooms[] = {
                "src/runner/agent/", "src/runner/limits/", "src/runner/run/", "src/runner/conversation/"
        };

        if (log_context_get("NORTHFLARE_CONVERSATION_ID"))
                return;
        for (size_t i = 0; i < ELEMENTSOF(rooms); i++)
                if (strstr(file, rooms[i])) {
                        (void) fprintf(
                                stderr,
                                "%s:%d: a line without NORTHFLARE_CONVERSATION_ID=: %s\n",
                                file,
                                line,
                                message);
                        n_without++;
                }
}

__attribute__((constructor)) static void begin(void) {
        log_set_max_level(LOG_DEBUG);
        log_set_observer(observe);
}

__attribute__((destructor)) static void end(void) {
        if (n_without == 0)
                return;
        (void) fflush(NULL);
        _exit(EXIT_FAILURE);
}
