/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* On which line each key stands: json-c does not say it. */

typedef struct ConfigPosition {
        char *path; /* as config_path_text() */
        unsigned line;
} ConfigPosition;

typedef struct ConfigPositions {
        ConfigPosition *items;
        size_t n;
        unsigned error_line; /* set with -EBADMSG */
        char *error;
} ConfigPositions;

/* Finds the line of each key. -EBADMSG: no valid JSON, or a key twice in one object. */
int config_positions_scan(const char *text, size_t size, ConfigPositions *ret);
unsigned config_positions_line(const ConfigPositions *p, const char *path); /* 0: not there */
void config_positions_done(ConfigPositions *p);
