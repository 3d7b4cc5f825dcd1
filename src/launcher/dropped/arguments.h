/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/request.h"

/* What a call of Start says that nothing with privileges reads: arguments, environment and working directory of the
 * program. A process of its own checks them, with the descriptors, before the launcher starts anything; the agent's half
 * reads them again. */

#define REQUEST_STRINGS_MAX 128U
#define REQUEST_BYTES_MAX (128U * 1024U)
#define REQUEST_PRIVATE_MAX (1024U * 1024U)

typedef struct Arguments {
        char **argv, **env; /* env: NAME=value */
        const char *cwd;    /* borrowed from the message */
} Arguments;

/* Frees what arguments_read() has made. */
void arguments_done(Arguments *a);

/* Adds one argument to the list, which is for the caller to free. Returns 0, or negative with e set: one too many; -ENOMEM
 * leaves e alone. */
int argv_add(char ***argv, const char *s, sd_bus_error *e);
/* Adds one variable to the list, which is for the caller to free. Returns 0, or negative with e set: a name that is
 * none, twice, one too many, or the launcher's own; -ENOMEM leaves e alone. */
int environment_add(char ***env, const char *name, const char *value, sd_bus_error *e);
/* Reads them from a call of Start, whose read position changes. Returns 0 or more, or negative as above. */
int arguments_read(sd_bus_message *m, Arguments *ret, sd_bus_error *e);
/* Checks them and the descriptors of the request. owner: the uid that must own the run's directory. Returns 0, or
 * negative with e set. */
int arguments_check(const Arguments *a, const Request *r, uid_t owner, sd_bus_error *e);

/* An AnswerFunction: about is the Request, whose descriptors are in the order of request_fds(). */
void arguments_answer(const void *request, const int fds[], pid_t parent);
