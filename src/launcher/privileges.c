/* SPDX-License-Identifier: MIT */
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "launcher/privileges.h"

/* Of this process, and of those that it forks. */
static bool dropped;

int drop_privileges(const User *u) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};

        /* The change of uid clears all sets of capabilities but the inheritable one. */
        if (u &&
            (setgroups((size_t) u->n_groups, u->groups) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
             setresuid(u->uid, u->uid, u->uid) < 0 || syscall(SYS_capset, &header, none) < 0))
                return -errno;
        /* Not to be regained: trying must fail. */
        if (u && (setuid(0) >= 0 || setgid(0) >= 0))
                return -EPERM;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        dropped = true;
        return 0;
}

bool privileges_are_dropped(void) {
        return dropped;
}
