/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

typedef struct Run Run;

/* Named figures, for those who watch. Names are static. */
#define FIGURES_MAX 16
typedef struct Figures {
        size_t n;
        struct {
                const char *name;
                uint64_t value;
        } list[FIGURES_MAX];
} Figures;

/* One more than FIGURES_MAX is left out. */
void figures_add(Figures *f, const char *name, uint64_t value);
/* What its scope uses, as far as the kernel gives it, read at most once a second; nothing of a run that is over. */
void run_figures(Run *r, Figures *ret);
