/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* A base URL without user, query and fragment; *ret is without the slash at the end. -EINVAL: *ret_why is a clause. */
int config_url_check(const char *url, char **ret, bool *ret_plain, bool *ret_loopback, char **ret_why);
