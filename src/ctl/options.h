/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Exit statuses; the manual page promises them. */
enum {
        EXIT_OK = 0,
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_NOT_RUNNING = 3,
        EXIT_NO_CONVERSATION = 4, /* or workspace */
        EXIT_DENIED = 5,
        EXIT_RUN_FAILED = 125, /* of the verb run, whose others are the script's own */
};

typedef enum JsonMode {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY,
} JsonMode;

/* The command line. Strings are borrowed from argv. */
typedef struct Arguments {
        char **words; /* the verb and what follows it; borrowed strings */
        bool user, no_pager, no_legend, no_ask_password, help, version;
        const char *host, *machine;
        JsonMode json;
        const char *agent, *workspace, *directory, *repository, *branch, *model, *task, *id; /* run */
        bool detach;
        const char *reason; /* stop */
        uint64_t grace_ms;
        bool grace_set;
        const char *message; /* answer */
        const char *cursor;  /* events */
        bool set_aside, resend;
        bool follow, all;
        uint64_t lines; /* logs, top */
        bool lines_set;
        bool batch; /* top */
        uint64_t delay;
        bool delay_set;
        bool http; /* metrics */
        bool wait; /* drain */
        uint64_t deadline;
        bool deadline_set;
        bool force; /* workspace remove */
} Arguments;
extern Arguments arg;

/* Reads argv into arg. Returns 0, or -EINVAL after one line on stderr. */
int arguments_parse(int argc, char *argv[]);
/* Whether an option was given that the verb with this name does not take (one line on stderr says so). */
bool arguments_misplaced(const char *verb);
/* Prints the lines of --help about options. */
void arguments_help_options(void);
