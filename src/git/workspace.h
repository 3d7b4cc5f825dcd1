/* SPDX-License-Identifier: MIT */
#pragma once

#include "git/request.h"

/* The verbs of a workspace's directory, in which they are called. The results are objects for the caller to free. Both
 * return 0, or -EIO after output_fail(). */

/* Reports what is in it. */
int verb_measure(const Request *request, Json **ret);
/* Reports the same and removes all of it. Without force, fails where a checkout has changes or commits that are nowhere
 * else. */
int verb_remove(const Request *request, Json **ret);
