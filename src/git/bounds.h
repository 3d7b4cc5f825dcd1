/* SPDX-License-Identifier: MIT */
#pragma once

#include <git2.h>

#include "git/request.h"

/* What a repository may cost; see common/git-bounds.h. */

/* Before libgit2 is started, with the request: the sizes of files that this process writes, and of blocks of memory.
 * Returns 0 or -EIO after output_fail(). */
int bounds_set_up(const Request *request);
/* After it was: the sizes and number of objects of a pack. Returns 0 or a libgit2 error. */
int bounds_start(const Request *request);

/* Notes the failure "<what>: <why> (the bound is <n>, git.<name>)". Returns -EIO. */
int bounds_fail(const Request *request, GitBoundId id, const char *format, ...) _printf_(3, 4);
/* The same where libgit2 failed because of a bound, by its own words or ours; 0 where it failed for something else. */
int bounds_explain(const Request *request, const char *what);

/* Whether a commit, where it is there, may be inflated. Returns 0, or -EIO after output_fail(). */
int bounds_check_commit(const Request *request, git_repository *repository, const git_oid *oid);
/* Checks every object that commit has files of, without inflating one of a size above the bound, and counts. Returns 0,
 * or -EIO after output_fail(). */
int bounds_check_tree(const Request *request, git_repository *repository, const git_commit *commit);
