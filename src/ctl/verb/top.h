/* SPDX-License-Identifier: MIT */
#pragma once

/* top: what conversations use, again and again. words[0] is the verb's name. Returns the exit status. */
int verb_top(char **words);
