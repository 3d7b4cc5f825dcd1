/* SPDX-License-Identifier: MIT */
#include <git2.h>

#include "git/bounds.h"
#include "git/output.h"
#include "git/start.h"

int git_start(const Request *request) {
        static const int levels[] = {
                GIT_CONFIG_LEVEL_PROGRAMDATA,
                GIT_CONFIG_LEVEL_SYSTEM,
                GIT_CONFIG_LEVEL_XDG,
                GIT_CONFIG_LEVEL_GLOBAL,
        };
        int r = bounds_set_up(request);

        if (r < 0)
                return r;
        r = git_libgit2_init();
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(levels); i++)
                r = git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
        if (r >= 0)
                r = git_libgit2_opts(GIT_OPT_SET_TEMPLATE_PATH, "");
        /* The cache belongs to another user than the checkout, and nothing in either is ever run. */
        if (r >= 0)
                r = git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
        if (r >= 0)
                r = git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
        if (r >= 0)
                r = git_libgit2_opts(GIT_OPT_SET_USER_AGENT, "northflare-git " PROJECT_VERSION);
        if (r >= 0)
                r = bounds_start(request);
        if (r < 0)
                return output_fail_git(r, "failed to start libgit2");
        return 0;
}
