/* SPDX-License-Identifier: MIT */
#pragma once

#include "shell-agent/output.h"

/* One message that runs: a shell in a session of its own, stdin /dev/null, stdout and stderr on pipes.
 *
 * The turn ends when the shell itself has exited and what its pipes held at that moment has been passed on.
 * Processes that it left in the background do not hold the turn; what they write later is read and dropped, so
 * that they do not die of a full or broken pipe. */

typedef struct ScriptStream {
        const char *name;
        int fd;
        char carry[4]; /* the beginning of a character whose rest has not come yet */
        size_t n_carry;
} ScriptStream;

typedef struct Script {
        char *id; /* JSON text */
        pid_t pid;
        int pidfd;
        ScriptStream streams[2];
        uint64_t started_usec;
        bool interrupted;
        unsigned n_signals; /* how many of SIGINT, SIGTERM, SIGKILL have been sent */
        uint64_t next_usec; /* when the next one is due (CLOCK_MONOTONIC), or USEC_INFINITY */
} Script;

/* Starts text. Takes id over on success. Returns 0 or what kept the shell from running. */
int script_start(Script *s, char *id_consume, const char *text, size_t size);
void script_done(Script *s);

/* Passes on what a pipe has now (one read). Call where poll() found it readable. */
void script_read(Script *s, unsigned stream, Output *o);

/* Asks the shell and all in its session's first group to end: SIGINT (or, where that is skipped, SIGTERM), and the
 * next stronger signal each two seconds. */
void script_interrupt(Script *s, bool skip_sigint);
/* Sends the signal that is due, if one is. */
void script_tick(Script *s);

/* Where the shell has exited: passes on the remaining output, writes the turn's end and returns true. The read ends of the
 * pipes are handed over in ret_fds (-EBADF where one is at its end). */
bool script_finish(Script *s, Output *o, int ret_fds[static 2]);
