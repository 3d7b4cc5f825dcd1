/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* How a run of a service ended, in the words of the manager's own lines in the journal. */

typedef struct UnitEnd {
        char code[16];   /* "exited", "killed", "dumped" */
        char status[16]; /* of an exit: the number; else the signal, "SEGV" */
        char result[16]; /* "core-dump", "signal", "watchdog", "oom-kill", "timeout", "success" */
} UnitEnd;

/* Another process, the kernel or a bug in the program ended it; neither the program itself nor a request to stop. */
bool unit_end_is_violent(const UnitEnd *e);

/* Returns a sentence for people: how the program ended, and which commands show more. Free it. */
char *unit_end_text(const UnitEnd *e, const char *program, const char *unit, bool user_mode);

/* invocation: 32 hex digits. 1; 0: there are no such lines (yet), or the journal is not ours to read. */
int unit_end_find(const char *unit, const char *invocation, bool user_mode, UnitEnd *ret);
