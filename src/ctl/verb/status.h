/* SPDX-License-Identifier: MIT */
#pragma once

/* status: state, connection, queue. words[0] is the verb's name. Returns the exit status. */
int verb_status(char **words);
