/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"
#include "runner/agent/driver.h"

typedef struct Run Run;

/* in.log of one run. Every byte is stored first, with its offset; so writing the file can be repeated at any time. */
typedef struct RunInput {
        uint64_t written; /* it is known to hold this much */
        bool failed;      /* the last write failed, and that was logged */
} RunInput;

/* Writes the stored bytes that the file lacks, and notifies the supervisor. 1: something was written; 0; or a negative errno,
 * after no_room(). */
int run_write_input(Run *r);
/* Stores the size that was written; part of an open transaction. */
int run_store_input_written(Run *r);
/* Stores the lines that come before every message, once. */
int run_begin_input(Run *r);
/* Writes one own command of the runner to in.log: interrupt or end. Its effect shows in the output later. Returns as
 * run_write_input() does. */
int run_send_command(Run *r, DriverCommandType type);
