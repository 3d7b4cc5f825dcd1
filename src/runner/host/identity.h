/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* Which machine this is. Texts are "" where it does not say so. */
typedef struct HostIdentity {
        char id[33];
        char hostname[256];
} HostIdentity;

void host_identity_read(HostIdentity *ret);
