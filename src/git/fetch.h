/* SPDX-License-Identifier: MIT */
#pragma once

#include "git/request.h"

/* The verb: brings the cache up to date with the server, and finds the commit that is meant. The result is an object for the
 * caller to free. Returns 0, or -EIO after output_fail(). */
int verb_fetch(const Request *request, Json **ret);
