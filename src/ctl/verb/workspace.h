/* SPDX-License-Identifier: MIT */
#pragma once

/* workspace list|show|remove: what is on the disk, and away with it. words[0] is the verb's name. Returns the exit status. */
int verb_workspace(char **words);
