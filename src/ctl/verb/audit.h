/* SPDX-License-Identifier: MIT */
#pragma once

/* audit [ID]: who had what done, and who was refused. words[0] is the verb's name. Returns the exit status. */
int verb_audit(char **words);
