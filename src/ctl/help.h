/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* The verbs there are. One returns the exit status; words[0] is its name. */
typedef struct Verb {
        const char *name;
        unsigned min_words, max_words; /* without the name; UINT_MAX: any number */
        int (*run)(char **words);
        const char *arguments, *help; /* of --help */
        bool of_runner;               /* and not of conversations */
        bool own_bus;                 /* it needs none, or connects by itself */
} Verb;
extern const Verb verbs[]; /* ends with a NULL name */

/* Prints all of --help. */
void arguments_help(void);
