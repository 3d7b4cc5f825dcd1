/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/json.h"

/* Which addresses a scope may talk to, as root has decided: systemd holds the lists of the scope and of the slices that it
 * is in together. Not one of the kernel's files shows them, so systemd is asked. */
typedef struct LimitFilterQuery LimitFilterQuery;

/* filter: {"deny":["10.0.0.0/8"],"allow":[],"enforced":true}, or NULL where there is none, borrowed. enforced is null where
 * it is unknown: the scope is to count no traffic. counted: it does count, so there is what filters too; that it does
 * not is no proof, since 257 has no numbers any more after a daemon-reload. error: nothing was learnt. The query may be
 * freed in here. */
typedef void (*LimitFilterDone)(int error, Json *filter, bool counted, void *userdata);

/* cgroup: of the scope, by which its slices are known. */
int limit_filter_query(
        sd_bus *bus,
        const char *unit,
        const char *cgroup,
        LimitFilterDone done,
        void *userdata,
        LimitFilterQuery **ret);
LimitFilterQuery *limit_filter_query_free(LimitFilterQuery *q);
DEFINE_TRIVIAL_CLEANUP_FUNC(LimitFilterQuery *, limit_filter_query_free);

/* The scope and its slices, from the inside to the outside, as units of one manager. */
int limit_filter_units(const char *unit, const char *cgroup, char ***ret);
