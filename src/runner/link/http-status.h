/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* What a status of HTTP says about the request. */

/* 401 and 403: the credentials; 409 and 410: the registration. */
bool http_status_is_identity(long status);
/* 408, 425, 429, 5xx. */
bool http_status_is_transient(long status);
