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

/* One more than STATISTICS_MAX is left out. */
void statistics_add(Statistics *f, const char *name, uint64_t value);
/* What its scope uses, as far as the kernel gives it, read at most once a second; nothing of a run that is over. */
void run_statistics(Run *r, Statistics *ret);
