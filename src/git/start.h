/* SPDX-License-Identifier: MIT */
#pragma once

#include "git/request.h"

/* Starts libgit2 cut off from every configuration, template and hook outside of the repository it works on, and within
 * the bounds of the request. Returns 0, or -EIO after output_fail(). */
int git_start(const Request *request);
