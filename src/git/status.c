/* SPDX-License-Identifier: MIT */
#include "git/output.h"
#include "git/process.h"
#include "git/start.h"
#include "git/status.h"

/* A larger number is not needed. */
#define UNPUSHED_MAX 10000

/* Commits of HEAD that no remote-tracking branch has. */
static int count_unpushed(git_repository *repository, uint64_t *ret) {
        git_revwalk *walk = NULL;
        uint64_t n = 0;
        git_oid oid;
        int r;

        r = git_revwalk_new(&walk, repository);
        if (r >= 0)
                r = git_revwalk_push_head(walk);
        if (r >= 0)
                r = git_revwalk_hide_glob(walk, "refs/remotes/*");
        while (r >= 0 && n < UNPUSHED_MAX && !stop_asked && (r = git_revwalk_next(&oid, walk)) == 0)
                n++;
        git_revwalk_free(walk);
        if (r < 0 && r != GIT_ITEROVER)
                return r;
        *ret = n;
        return 0;
}

static int on_status(const char *path, unsigned flags, void *payload) {
        /* One is enough. */
        *(bool *) payload = true;
        return GIT_EUSER;
}

static int find_changes(git_repository *repository, bool *ret) {
        git_status_options options = GIT_STATUS_OPTIONS_INIT;
        bool dirty = false;
        int r;

        options.flags = GIT_STATUS_OPT_INCLUDE_UNTRACKED | GIT_STATUS_OPT_EXCLUDE_SUBMODULES;
        r = git_status_foreach_ext(repository, &options, on_status, &dirty);
        if (r < 0 && !dirty)
                return r;
        *ret = dirty;
        return 0;
}

int result_set_head(Json *result, git_repository *repository) {
        git_reference *head = NULL;
        char hex[GIT_OID_HEXSZ + 1];
        git_oid oid;
        int r = 0;

        if (git_reference_lookup(&head, repository, "HEAD") < 0)
                return 0;
        if (git_reference_type(head) == GIT_REFERENCE_SYMBOLIC) {
                const char *name = startswith(git_reference_symbolic_target(head), "refs/heads/");
                if (name)
                        r = json_set_string(result, "branch", name);
        }
        git_reference_free(head);
        if (r >= 0 && git_reference_name_to_id(&oid, repository, "HEAD") == 0)
                r = json_set_string(result, "head", git_oid_tostr(hex, sizeof(hex), &oid));
        return r < 0 ? output_fail("failed", "out of memory") : 0;
}

int checkout_read(const char *path, Json *o) {
        git_repository *repository = NULL;
        uint64_t unpushed = 0;
        bool dirty = false;
        int r = git_repository_open_ext(&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);

        if (r >= 0)
                r = find_changes(repository, &dirty);
        if (r >= 0 && git_repository_head_unborn(repository) == 0)
                r = count_unpushed(repository, &unpushed);
        if (r >= 0)
                r = result_set_head(o, repository);
        git_repository_free(repository);
        if (r < 0)
                return r;
        return json_set_bool(o, "dirty", dirty) < 0 || json_set_u64(o, "unpushed", unpushed) < 0 ? -ENOMEM :
                                                                                                   0;
}

int verb_status(const Request *request, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        int r;

        if (!o || json_set_string(o, "type", "result") < 0)
                return output_fail("failed", "out of memory");
        r = git_start(request);
        if (r < 0)
                return r;
        r = checkout_read(request->directory, o);
        if (r < 0)
                return output_fail_git(r, "cannot read the checkout");
        *ret = TAKE_PTR(o);
        return 0;
}
