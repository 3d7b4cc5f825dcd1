/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/command/options.h"

/* The events of a conversation or of a runner, for people or (--json) as they came. Both return the exit code, after a line
 * on stderr where it is not 0. */
int verb_runners_events(const Options *o, char *const *args);
int verb_conversation_events(const Options *o, char *const *args);
