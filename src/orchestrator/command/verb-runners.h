/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/command/options.h"

/* Verbs of runners. Each returns the exit code, after a line on stderr where it is not 0. */
int verb_runners(const Options *o, char *const *args);
int verb_runners_activate(const Options *o, char *const *args);
int verb_runners_forget(const Options *o, char *const *args);
