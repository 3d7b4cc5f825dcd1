/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/runner.h"

/* Forgets conversations that have ended, were delivered, and are older than the configuration says, with their files;
 * so many at a time. */
void runner_remove_old(Runner *r);
/* Removes what a removal or an operation of an earlier runner left. */
void runner_sweep(Runner *r);
