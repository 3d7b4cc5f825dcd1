/* SPDX-License-Identifier: MIT */
#pragma once

/* permissions [ID...], and answer: questions that wait, and an answer to one. words[0] is the verb's name. Returns the exit status. */
int verb_permissions(char **words);
int verb_answer(char **words);
