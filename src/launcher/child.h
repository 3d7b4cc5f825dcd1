/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/manager-internal.h"

/* The child of a start, from the fork on. It continues at a byte from the gate, and exits at the end of the gate. */
__attribute__((noreturn)) void child_run(const Task *t, pid_t parent, int gate);
