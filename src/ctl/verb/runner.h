/* SPDX-License-Identifier: MIT */
#pragma once

/* What the runner itself is asked to do: drain, undrain, reload. words[0] is the verb's name. Returns the exit status. */
int verb_drain(char **words);
int verb_undrain(char **words);
int verb_reload(char **words);
