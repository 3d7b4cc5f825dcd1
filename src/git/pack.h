/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* The packs of a repository, by their files. libgit2 streams an object that is no delta through its indexer, whatever its
 * size, and so has it in the repository; the size stands in front of each object in the pack, and is checked here. */

/* The names of the packs that are there ("pack-….pack"), for the caller to free. Returns 0 or negative errno. */
int pack_list(int repository_fd, char ***ret);
/* Checks every pack that is not in known. Returns 0; 1 where one has an object above max, whose size is *ret_size; or
 * negative errno where one cannot be read. */
int pack_check_new(int repository_fd, char *const *known, uint64_t max, uint64_t *ret_size);
/* Removes every pack that is not in known. */
void pack_remove_new(int repository_fd, char *const *known);
