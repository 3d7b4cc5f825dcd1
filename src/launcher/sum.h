/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/request.h"

/* What the scopes of a slice may take together, from the cgroup file system. */
typedef struct Sum {
        unsigned scopes;
        /* The memory and the tasks of agents that have a limit. Operations (git, hooks) are short and were promised
         * nothing; the slice's own limit holds for them as for all. */
        uint64_t taken[_LIMIT_MAX];
} Sum;

/* Adds our scopes in the slice and in those of workspaces below it, without the one named; a slice that is not there is
 * empty. without: the name of a scope, or NULL. Returns 0 or negative errno. */
int sum_measure(const char *slice_path, const char *without, Sum *sum);
/* Adds a limit where there is one (not UINT64_MAX); what is too much for the type stays below UINT64_MAX. */
void sum_add(uint64_t *sum, uint64_t limit);
/* A limit file ("max" or a number): UINT64_MAX where there is none, and where it cannot be read. */
uint64_t sum_limit(const char *slice, const char *scope, const char *file);
/* Whether limits may be added to the sum: the slice, where it has limits, must be able to keep what its scopes were
 * promised. Returns 0, or negative with e set. */
int sum_check(const Sum *sum, const char *slice_path, const Limits *limits, sd_bus_error *e);
