/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-bus.h>

#include "common/util.h"

/* Who calls, asked of the bus daemon and of the kernel without blocking: sd-bus' own way of asking (augmented
 * credentials) waits for the answer, and takes a pid's word for the uid. */

#define CALLER_UNIT_MAX 256
#define CALLER_COMM_MAX 16

typedef struct Caller {
        uid_t uid; /* (uid_t) -1: not known */
        pid_t pid;
        /* For the audit record, not for decisions: "" where they are unknown. A process chooses its own name. */
        char unit[CALLER_UNIT_MAX], comm[CALLER_COMM_MAX];
} Caller;

/* What was found out about connections: a bus never gives their names to another, so it stays true. */
#define CALLER_NAMES_MAX 32
typedef struct CallerNames {
        struct {
                char sender[32];
                char unit[CALLER_UNIT_MAX], comm[CALLER_COMM_MAX];
        } list[CALLER_NAMES_MAX];
        unsigned next;
} CallerNames;

typedef struct AccessRules {
        bool user_mode; /* the session bus: one uid, no polkit */
        uid_t own_uid;
        gid_t agents_gid; /* of northflare-agents; (gid_t) -1: there is none */
        uid_t *agents;    /* its members at start */
        size_t n_agents;
        const char *proc; /* "/proc" */
} AccessRules;

/* Resolves the group (by the name service, so before the loop runs). Returns 0 or -ENOMEM. */
int access_rules_load(bool user_mode, AccessRules *ret);
void access_rules_done(AccessRules *r);

/* Refuses the uid of an agent, by the uid and its groups alone. Returns a sentence, or NULL where the uid may call. */
const char *access_refuse_uid(const AccessRules *r, uid_t uid, const gid_t *groups, size_t n_groups);
/* The unit of a control group as systemd names it: the first component that is no slice. "" where there is none. */
void caller_unit_of_cgroup(const char *path, char ret[static CALLER_UNIT_MAX]);
/* Whether a control group's path lies in northflare.slice, or is unknown (NULL, not absolute). */
bool access_refuse_cgroup(const char *path);

typedef struct CallerQuery CallerQuery;
/* r: 0, or negative with the error to reply. Runs once, never from inside caller_query(), not after the free. */
typedef void (*CallerDone)(int r, const Caller *caller, const sd_bus_error *error, void *userdata);

/* rules and names are borrowed until then. Root passes by its uid alone; for all others the control group is checked, in
 * /proc or, where that hides other users' processes, by asking systemd. With every decision the caller's unit and program
 * are searched for; only time is lost where they cannot be found. */
int caller_query(
        sd_bus *bus,
        const AccessRules *rules,
        CallerNames *names,
        const char *sender,
        CallerDone done,
        void *userdata,
        CallerQuery **ret);
CallerQuery *caller_query_free(CallerQuery *q);
DEFINE_TRIVIAL_CLEANUP_FUNC(CallerQuery *, caller_query_free);
