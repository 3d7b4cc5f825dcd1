/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* What a repository may cost at the most: keys of the runner's configuration, and members of a request to northflare-git
 * (without "git."). One list, so that neither of the two knows a bound that the other does not. */
typedef enum GitBoundId {
        GIT_BOUND_OBJECT_BYTES,   /* one object, inflated */
        GIT_BOUND_OBJECTS,        /* of one fetch */
        GIT_BOUND_PACK_BYTES,     /* that one fetch receives */
        GIT_BOUND_REFS,           /* that a server shows */
        GIT_BOUND_CHECKOUT_BYTES, /* in the files of a checkout */
        GIT_BOUND_CHECKOUT_FILES, /* files, directories and links of a checkout */
        _GIT_BOUND_MAX,
} GitBoundId;

typedef struct GitBoundInfo {
        const char *key;  /* "git.maxObjectBytes" */
        const char *name; /* "maxObjectBytes" */
        uint64_t fallback;
} GitBoundInfo;

extern const GitBoundInfo git_bound_infos[_GIT_BOUND_MAX];
