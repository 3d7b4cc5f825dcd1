/* SPDX-License-Identifier: MIT */
#pragma once

/* logs [ID]: the journal of one, or of the runner. words[0] is the verb's name. Returns the exit status. */
int verb_logs(char **words);
