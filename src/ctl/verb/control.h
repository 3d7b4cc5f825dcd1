/* SPDX-License-Identifier: MIT */
#pragma once

/* What a conversation is asked to do: send, interrupt, stop, freeze, thaw, set-property. words[0] is the verb's name. Returns the exit status. */
int verb_send(char **words);
int verb_interrupt(char **words);
int verb_stop(char **words);
int verb_freeze(char **words);
int verb_thaw(char **words);
int verb_set_property(char **words);
