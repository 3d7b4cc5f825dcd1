/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/runner.h"

/* Makes the link to the orchestrator, and all parts that need one. The link is not started yet. */
int runner_open_link(Runner *r);
