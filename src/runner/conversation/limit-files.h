/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"

/* What the kernel has of a scope's limits, beside what was asked for. All objects have the names of the protocol. */

/* Reads the limits of a cgroup's folder: a member for each file that is there; null: no limit. */
int limit_files_read(int dirfd, Json **ret);

/* Whether the kernel holds what was asked for. Sizes may be rounded to pages, percents to whole ones. */
bool limit_is_given(const char *name, Json *asked, Json *effective);

/* The controller that a limit needs ("memory", "pids", "cpu", "io"); NULL: none, systemd keeps to it by itself. */
const char *limit_controller(const char *name);

/* One file's text as a value: the number, UINT64_MAX for none; false where it says something else. */
bool limit_file_parse(const char *name, const char *text, uint64_t *ret);

/* The cgroup of a unit in northflare.slice, seen from a cgroup of the same manager's. NULL: out of memory. */
char *limit_scope_cgroup(const char *own, const char *unit);
