/* SPDX-License-Identifier: MIT */
#pragma once

/* run SCRIPT...: starts a conversation, shows its output and ends it. words[0] is the verb's name. Returns the exit status. */
int verb_run(char **words);
