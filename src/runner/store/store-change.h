/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store-statement.h"

/* Runs a statement that returns no rows, as a transaction or as part of the open one. Returns the number of rows it
 * changed. */
int store_execute(Store *s, StatementId id, const char *sql, const char *types, ...);
/* The same for a row that has to be there: 0, or -ENOENT where none was changed. */
int store_change(Store *s, StatementId id, const char *sql, const char *types, ...);
