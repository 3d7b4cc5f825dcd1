/* SPDX-License-Identifier: MIT */
#pragma once

/* metrics: all statistics as OpenMetrics text, or as the answer to one HTTP request on stdin. words[0] is the verb's name. Returns the exit status. */
int verb_metrics(char **words);
