/* SPDX-License-Identifier: MIT */
#pragma once

#include <git2.h>

#include "git/request.h"

/* One function for each verb: the result as an object for the caller to free, or -EIO after output_fail(). */
int verb_fetch(const Request *request, Json **ret);
int verb_checkout(const Request *request, Json **ret);
int verb_status(const Request *request, Json **ret);
/* Of a workspace's folder, in which they are called: what is in it, and all of it away. */
int verb_measure(const Request *request, Json **ret);
int verb_remove(const Request *request, Json **ret);

/* Starts libgit2 cut off from every configuration, template and hook outside of the repository it works on, and within
 * the bounds of the request. */
int git_start(const Request *request);

/* Members "branch", "head", "dirty" and "unpushed" of the checkout at path. Returns 0, or negative without a word. */
int checkout_read(const char *path, Json *o);

/* Set by SIGTERM; whoever runs long looks at it. */
extern volatile bool stop_asked;

/* Members "branch" (left out where HEAD is detached) and "head" (left out before the first commit). */
int result_set_head(Json *result, git_repository *repository);
