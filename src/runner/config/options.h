/* SPDX-License-Identifier: MIT */
#pragma once

#include <getopt.h>

#include "common/util.h"

/* The command line of northflare-runner. NULL or 0 with *_set false: not given. */
typedef struct RunnerOptions {
        enum {
                COMMAND_START,
                COMMAND_CONFIG,
                COMMAND_HELP,
                COMMAND_VERSION,
        } command;
        const char *config_file, *retry_strategy, *data_dir, *workspace_dir;
        uint64_t retry_interval_secs, retry_duration_secs, heartbeat_ms;
        bool retry_interval_set, retry_duration_set, heartbeat_set;
        bool debug, user, json;
} RunnerOptions;

/* 0, or -EINVAL after one line on stderr that names the option (the caller exits with 2). */
int options_parse(int argc, char *argv[], RunnerOptions *ret);
void options_help(void);
extern const struct option options_long[]; /* ends with a row of zeros */
