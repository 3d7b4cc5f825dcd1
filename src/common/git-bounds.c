/* SPDX-License-Identifier: MIT */
#include "common/git-bounds.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define BOUND(n, value) \
        { .key = "git." n, .name = (n), .fallback = (value) }

/* Large enough for the largest repositories that are in common use, and for an object three times in a scope's memory. */
const GitBoundInfo git_bound_infos[_GIT_BOUND_MAX] = {
        [GIT_BOUND_OBJECT_BYTES] = BOUND("maxObjectBytes", 256 * MIB),
        [GIT_BOUND_OBJECTS] = BOUND("maxObjects", 16 * MIB),
        [GIT_BOUND_PACK_BYTES] = BOUND("maxPackBytes", 16 * GIB),
        [GIT_BOUND_REFS] = BOUND("maxRefs", 500000),
        [GIT_BOUND_CHECKOUT_BYTES] = BOUND("maxCheckoutBytes", 16 * GIB),
        [GIT_BOUND_CHECKOUT_FILES] = BOUND("maxCheckoutFiles", 1000000),
};
