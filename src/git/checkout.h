/* SPDX-License-Identifier: MIT */
#pragma once

#include "git/request.h"

/* The verb: makes the checkout at directory (relative to the working directory) from the cache, or finds it there finished.
 * The result is an object for the caller to free. Returns 0, or -EIO after output_fail(). */
int verb_checkout(const Request *request, Json **ret);
