/* SPDX-License-Identifier: MIT */
#pragma once

#include "git/request.h"

/* The verbs of a workspace's folder, in which they are called. The results are objects for the caller to free. Both return
 * 0, or -EIO after output_fail(). */

/* What is in it. */
int verb_measure(const Request *request, Json **ret);
/* All of it away, after the same; unless force is asked for, not where a checkout has what is nowhere else. */
int verb_remove(const Request *request, Json **ret);
