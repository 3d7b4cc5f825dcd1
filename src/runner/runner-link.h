/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/runner.h"

/* Makes the link to the orchestrator, and all that needs one; it is not started yet. */
int runner_open_link(Runner *r);
