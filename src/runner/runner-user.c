/* SPDX-License-Identifier: MIT */
#include <pwd.h>

#include "common/log-ids.h"
#include "common/log.h"
#include "runner/runner-internal.h"

/* One person's own runner: what that person has to know of it. */

#define LINGER_FOLDER "/var/lib/systemd/linger/"
#define KEY_TOLD "userModeTold"

static void tell_protection(Runner *r, const char *user) {
        _cleanup_free_ char *told = NULL;

        if (store_get(r->store, KEY_TOLD, &told) > 0)
                return;
        log_full(LOG_NOTICE,
                 0,
                 NF_MESSAGE_USER_MODE,
                 "Agents run as %s here, as this runner does: they can read and change all that is %s's, the runner's token and store with it. "
                 "This protects from accidents, not from an agent that means harm; for that there is the system's runner.",
                 user,
                 user);
        (void) store_set(r->store, KEY_TOLD, "1");
}

/* Without it the user's manager ends at the last logout, and the conversations with it. */
static void tell_linger(const char *user) {
        _cleanup_free_ char *path = xasprintf(LINGER_FOLDER "%s", user);

        if (path && access(path, F_OK) < 0 && errno == ENOENT)
                log_notice("%s does not linger: the runner and its conversations end when the last session of %s does. To keep them: loginctl enable-linger %s",
                           user,
                           user,
                           user);
}

void runner_tell_user_mode(Runner *r) {
        const struct passwd *p = getpwuid(geteuid());

        if (!r->user_mode)
                return;
        tell_protection(r, p ? p->pw_name : "one user");
        if (p)
                tell_linger(p->pw_name);
}
