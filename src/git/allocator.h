/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* libgit2's memory. It takes sizes from the server's word (of an object that a delta makes, of a list), so what it may
 * have is bounded here, before the kernel's limit for the scope would have a process killed.
 *
 * To be called before libgit2 is started: what one block may have at the most. Returns 0 or a libgit2 error. */
int allocator_install(uint64_t block_max);
/* What all blocks together may have; UINT64_MAX: no bound. */
void allocator_set_total(uint64_t total_max);
/* The size of the first block that was refused, 0 where none was. *ret_total: by the bound on all of them. */
uint64_t allocator_refused(bool *ret_total);
