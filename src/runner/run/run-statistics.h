/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

typedef struct Run Run;

/* Named statistics, for those who watch. Names are static. */
#define STATISTICS_MAX 16
typedef struct Statistics {
        size_t n;
        struct {
                const char *name;
                uint64_t value;
        } list[STATISTICS_MAX];
} Statistics;

/* Adds a value; those above STATISTICS_MAX are left out. */
void statistics_add(Statistics *f, const char *name, uint64_t value);
/* Returns the usage of the run's scope, as far as the kernel reports it, read at most once a second; nothing for a run
 * that has ended. */
void run_statistics(Run *r, Statistics *ret);
