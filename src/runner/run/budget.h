/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/agent/driver.h"

/* `budget` of conversation.start: {"usd", "tokens", "turns"}, each optional. It is counted from the start of a run, and
 * checked when a turn has ended: a turn is not cut off in the middle. */

/* 0, or -EINVAL with *ret_error, a sentence that names the member. */
int budget_check(Json *budget, char **ret_error);

/* The member that is spent, static text, or NULL. budget may be NULL. Tokens are those in and out; what was read from the
 * agent's cache is not counted, what was written into it is. */
const char *budget_spent(Json *budget, const DriverUsage *usage);
