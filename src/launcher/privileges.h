/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/util.h"

/* The end of the privileges of a process. What lies below dropped/ runs behind it and nowhere else. */

#define GROUPS_MAX 64

typedef struct User {
        char *name, *home;
        uid_t uid;
        gid_t gid;
        gid_t groups[GROUPS_MAX];
        int n_groups;
} User;

/* No new privileges, and becomes the user for good where there is one. Returns 0 or negative errno. */
int drop_privileges(const User *user);
/* Whether this process has done that, or its parent had. What the launcher calls below dropped/ checks it first. */
bool privileges_are_dropped(void);
