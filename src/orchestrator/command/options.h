/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "common/util.h"

/* Every option of every verb. Strings are borrowed from argv; params is a reference. */
typedef struct Options {
        /* all verbs that speak to a running orchestrator */
        const char *socket;
        bool json, help, version;
        /* serve */
        const char *listen, *admin_socket, *data_dir, *log_level;
        uint64_t max_body_mib, dead_after_sec, keep_days, heartbeat_sec;
        /* tokens and conversations */
        const char *name, *id, *token, *runner, *conversation;
        const char *agent, *workspace, *task, *repository, *branch, *base_branch, *commit, *prompt, *model,
                *permission_mode, *request, *message, *reason;
        Json *params;
        uint64_t grace_msec, since, timeout_sec;
        bool wait, follow, all, force, notification;
} Options;

/* Gives params back. */
void options_done(Options *o);

typedef struct Verb {
        const char *group, *name; /* name NULL: the group's word alone */
        const char *arguments, *summary;
        unsigned min_args, max_args;
        const char *options; /* letters of the option groups that it takes (options.c) */
        int (*run)(const Options *o, char *const *args);
} Verb;

/* Exit codes, documented in northflare-orchestrator(8). */
enum {
        EXIT_REFUSED = 1, /* the orchestrator or the runner said no; or something failed */
        EXIT_USAGE = 2,
        EXIT_UNREACHABLE = 3, /* no orchestrator answers, or this user may not ask it */
        EXIT_TIMED_OUT = 4,   /* --wait: no answer yet */
};

/* Reads argv into options, the verb and the remaining words. verbs is the table of all. *ret_args is borrowed from argv,
 * ends with NULL and has as many words as the verb takes. 0; or EXIT_USAGE, and it was said why. */
int options_parse(
        int argc,
        char **argv,
        const Verb *verbs,
        size_t n_verbs,
        Options *ret,
        const Verb **ret_verb,
        char ***ret_args);
/* Prints the help of a verb on stdout. verb NULL: of the program. */
void options_help(const Verb *verbs, size_t n_verbs, const Verb *verb);
