/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/runner.h"

/* Forgets what has ended, was delivered, and is older than the configuration says, with its files; so many at a time. */
void runner_remove_old(Runner *r);
/* What a removal or an operation of the runner before us left. */
void runner_sweep(Runner *r);
