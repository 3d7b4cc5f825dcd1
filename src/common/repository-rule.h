/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/git-url.h"

/* An administrator's word for a set of repositories: pure text functions.
 *
 *     git.example.org              every repository of that host
 *     git.example.org/team         those whose path begins with these components
 *     deploy@git.example.org:2222  … over ssh as that user, at that port
 *     /srv/checkouts               working directories at and below that path
 *
 * Hosts are compared whole and without case, paths component by component with case, less a ".git" at the end. Without a
 * port the scheme's own one is meant, without a user any but another ssh user than git. What can be read in two ways (a
 * percent escape, an empty or a "." component) matches no path. */

/* -EINVAL and a clause that does not repeat the rule (it may hold a secret). */
int repository_rule_check(const char *rule, char **ret_why);

/* Both: a rule that is not valid matches nothing. */
bool repository_rule_matches_url(const char *rule, const GitUrl *url);
/* directory: absolute. It is text: the caller makes sure that no link leads out of the rule's directory. */
bool repository_rule_matches_directory(const char *rule, const char *directory);
