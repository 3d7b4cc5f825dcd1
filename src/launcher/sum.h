/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* What the scopes of a slice may take together, from the cgroup file system. */
typedef struct Sum {
        unsigned scopes;
        uint64_t memory, tasks; /* of those that have a limit */
} Sum;

/* The sum over our scopes in the slice, without the one named; a slice that is not there is empty. */
int sum_measure(const char *slice_path, const char *without, Sum *ret);
/* A limit file ("max" or a number): UINT64_MAX where there is none. */
uint64_t sum_limit(const char *folder, const char *scope, const char *file);
