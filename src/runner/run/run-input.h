/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"
#include "runner/agent/driver.h"

typedef struct Run Run;

/* in.log of one run. Every byte of it stands in the store first, with its offset; writing it is then a thing that may be done
 * again at any time. */
typedef struct RunInput {
        uint64_t written; /* it is known to hold this much */
        bool failed;      /* it could not be written the last time, and that was said */
} RunInput;

/* Writes what the store has and the file has not, and rings the supervisor. 1: something was written; 0; or a negative errno,
 * after no_room(). */
int run_write_input(Run *r);
/* Stores how much of it is written; part of an open transaction. */
int run_store_input_written(Run *r);
/* Stores the lines that come before every message, once. */
int run_begin_input(Run *r);
/* One command of the runner's own into in.log: interrupt or end. What the agent makes of it shows later. As
 * run_write_input(). */
int run_send_command(Run *r, DriverCommandType type);
