/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store.h"

/* Checks whose file it is and how old, and brings it up to STORE_SCHEMA_VERSION. */
int store_schema_prepare(Store *s, const char *path, char **ret_error);
