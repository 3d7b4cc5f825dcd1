/* SPDX-License-Identifier: MIT */
#include "common/git-url.h"
#include "runner/workspace/repository.h"

static int check_string(
        Json *repository,
        const char *name,
        bool (*valid)(const char *),
        const char *want,
        char **ret_error) {
        const char *value = json_get_string(repository, name);

        if (!json_get(repository, name) || (value && valid(value)))
                return 0;
        if (ret_error)
                *ret_error = xasprintf("repository.%s: %s", name, want);
        return -EINVAL;
}

int checkout_check(Json *repository, const GitConfig *config, char **ret_error) {
        static const char name_of_branch[] = "not the name of a branch";
        _cleanup_giturl_ GitUrl url = {};
        _cleanup_free_ char *why = NULL;
        const char *text;

        if (ret_error)
                *ret_error = NULL;
        if (!json_object_is_type(repository, json_type_object)) {
                if (ret_error)
                        *ret_error = strdup("repository: not an object");
                return -EINVAL;
        }
        text = json_get_string(repository, "url");
        if (!text || giturl_parse(text, &url, &why) < 0 ||
            giturl_check(&url, config->allow_loopback, &why) < 0) {
                if (ret_error)
                        *ret_error = xasprintf("repository.url: %s", why ? why : "missing, or not a string");
                return -EINVAL;
        }
        if (check_string(repository, "branch", gitref_branch_is_valid, name_of_branch, ret_error) < 0 ||
            check_string(repository, "baseBranch", gitref_branch_is_valid, name_of_branch, ret_error) < 0 ||
            check_string(
                    repository,
                    "commit",
                    gitref_commit_is_valid,
                    "not 40 lower-case hex digits",
                    ret_error) < 0)
                return -EINVAL;
        return 0;
}

char *checkout_branch(Json *repository, const char *conversation) {
        const char *branch = json_get_string(repository, "branch");
        _cleanup_free_ char *own = NULL;

        if (branch)
                return strdup(branch);
        own = xasprintf("northflare/%s", conversation);
        /* An id may end in "." or ".lock", a branch may not. */
        if (own && !gitref_branch_is_valid(own))
                return xasprintf("%s_", own);
        return TAKE_PTR(own);
}
