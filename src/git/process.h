/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* This process: how it is stopped, and what it leaves behind. */

/* Set by SIGTERM and SIGINT; long operations check it. */
extern volatile bool stop_asked;

/* Takes these signals (a read that waits for a server returns then), makes no core dumps, and files for all to read. */
void process_set_up(void);
