/* SPDX-License-Identifier: MIT */
#pragma once

#include "orchestrator/command/options.h"

/* Verbs of tokens. Each returns the exit code, after a line on stderr where it is not 0. */
int verb_token_create(const Options *o, char *const *args);
int verb_token_list(const Options *o, char *const *args);
int verb_token_revoke(const Options *o, char *const *args);
