/* SPDX-License-Identifier: MIT */
#pragma once

/* events ID: its events, one JSON object a line; or those that are set aside. words[0] is the verb's name. Returns the exit status. */
int verb_events(char **words);
