/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/util.h"

/* Who calls, asked of the bus daemon and of the kernel without blocking: sd-bus' own way of asking (augmented
 * credentials) waits for the answer, and takes a pid's word for the uid. */

typedef struct Caller {
        uid_t uid;
        pid_t pid;
} Caller;

typedef struct AccessRules {
        bool user_mode; /* the session bus: one uid, no polkit */
        uid_t own_uid;
        gid_t agents_gid; /* of northflare-agents; (gid_t) -1: there is none */
        uid_t *agents;    /* its members at start */
        size_t n_agents;
        const char *proc; /* "/proc" */
} AccessRules;

/* Looks the group up (name service: before the loop runs). 0 or -ENOMEM. */
int access_rules_load(bool user_mode, AccessRules *ret);
void access_rules_done(AccessRules *r);

/* Refuses the uid of an agent; the uid and its groups are all that this looks at. A sentence, or NULL where it may. */
const char *access_refuse_uid(const AccessRules *r, uid_t uid, const gid_t *groups, size_t n_groups);
/* Whether a control group's path lies in northflare.slice, or cannot be told (NULL, not absolute). */
bool access_refuse_cgroup(const char *path);

typedef struct CallerQuery CallerQuery;
/* r: 0, or negative with the error to reply. Runs once, never from inside caller_query(), not after the free. */
typedef void (*CallerDone)(int r, const Caller *caller, const sd_bus_error *error, void *userdata);

/* rules are borrowed until then. Root passes by its uid alone; for all others the control group is looked at, in
 * /proc or, where that hides other users' processes, by asking systemd. */
int caller_query(
                sd_bus *bus,
                const AccessRules *rules,
                const char *sender,
                CallerDone done,
                void *userdata,
                CallerQuery **ret);
CallerQuery *caller_query_free(CallerQuery *q);
DEFINE_TRIVIAL_CLEANUP_FUNC(CallerQuery *, caller_query_free);
