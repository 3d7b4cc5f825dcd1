/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Whom the kernel killed for memory: it says so in a line of its own, and counts no names elsewhere. */

typedef struct LimitVictim {
        char *name;
        char *limit; /* the cgroup whose limit it was; NULL: none's, the machine has no more */
} LimitVictim;
void limit_victim_done(LimitVictim *v);

/* Reads the kernel's line "oom-kill:…". True where it is of that cgroup or one below. */
bool limit_victim_parse(const char *line, const char *cgroup, LimitVictim *ret);

/* Searches the journal for the last such line, not older than since (CLOCK_REALTIME). Returns 1 and the victim; 0: there
 * is none (yet), or we may not read the journal. */
int limit_victim_find(const char *cgroup, uint64_t since_usec, LimitVictim *ret);
