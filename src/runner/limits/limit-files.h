/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* What the kernel has of a scope's limits, beside what was asked for. All objects have the names of the protocol. */

/* Reads the limits in the directory of a cgroup: a member for each file that exists; null: no limit. */
int limit_files_read(int dirfd, Json **ret);

/* Whether the kernel holds what was asked for. Sizes may be rounded to pages, percents to whole ones. */
bool limit_is_given(const char *name, Json *asked, Json *effective);

/* The controller that a limit needs ("memory", "pids", "cpu", "io"); NULL: none, systemd keeps to it by itself. */
const char *limit_controller(const char *name);

/* One file's text as a value: the number, UINT64_MAX for none; false where it says something else. */
bool limit_file_parse(const char *name, const char *text, uint64_t *ret);

/* The cgroup of a unit in northflare.slice, or where workspace is not NULL in the slice of that workspace, seen from a
 * cgroup of the same manager's. NULL: out of memory. */
char *limit_scope_cgroup(const char *own, const char *workspace, const char *unit);

/* The cgroup of the workspace's slice that a scope's cgroup is in. 1 and the path; 0: it is in none; or negative errno. */
int limit_workspace_cgroup(const char *scope, char **ret);
/* How often a process was killed for memory because of that slice's own limit: dirfd is the scope's directory. False where
 * that is not known. */
bool limit_workspace_ooms(int dirfd, uint64_t *ret);
/* Whether the scope has never had as many tasks as it may, and the workspace's slice has: the fork that was refused was so
 * because of the slice. */
bool limit_workspace_tasks(int dirfd);
