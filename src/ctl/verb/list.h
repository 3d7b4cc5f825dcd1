/* SPDX-License-Identifier: MIT */
#pragma once

/* list, and show ID...: the conversations, and all there is to know about some. words[0] is the verb's name. Returns the exit status. */
int verb_list(char **words);
int verb_show(char **words);
