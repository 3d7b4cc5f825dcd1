/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/manager-internal.h"

/* The child of a start, from the fork on. A byte from the gate lets it go on, its end ends it. */
__attribute__((noreturn)) void child_run(const Task *t, pid_t parent, int gate);
