/* SPDX-License-Identifier: MIT */
#pragma once

/* attach ID: talks to its agent in this terminal. words[0] is the verb's name. Returns the exit status. */
int verb_attach(char **words);
