/* SPDX-License-Identifier: MIT */
#pragma once

#include <git2.h>

#include "git/request.h"

/* What a checkout says of itself. An agent may have done anything to it: nothing in it is run or trusted. */

/* The verb: directory's checkout. The result is an object for the caller to free. Returns 0, or -EIO after output_fail(). */
int verb_status(const Request *request, Json **ret);

/* Members "branch", "head", "dirty" and "unpushed" of the checkout at path. Returns 0, or negative without a word. */
int checkout_read(const char *path, Json *o);

/* Members "branch" (left out where HEAD is detached) and "head" (left out before the first commit). Returns 0, or -EIO after
 * output_fail(). */
int result_set_head(Json *result, git_repository *repository);
