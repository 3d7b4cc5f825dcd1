/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "git/bounds.h"
#include "git/output.h"
#include "git/verbs.h"

/* northflare-git [VERB]: one request on stdin, JSON lines on stdout. */

volatile bool stop_asked;

static void on_stop(int signal) {
        stop_asked = true;
}

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
                return output_fail_git(r, "cannot start libgit2");
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

static void set_up_process(void) {
        /* No SA_RESTART: a read that waits for a server returns. */
        struct sigaction stop = { .sa_handler = on_stop };
        struct rlimit no_core = {};

        (void) sigaction(SIGTERM, &stop, NULL);
        (void) sigaction(SIGINT, &stop, NULL);
        (void) setrlimit(RLIMIT_CORE, &no_core);
        (void) umask(0022);
}

int main(int argc, char *argv[]) {
        static int (*const verbs[])(const Request *, Json **) = {
                verb_fetch, verb_checkout, verb_status, verb_measure, verb_remove
        };
        _cleanup_(request_done) Request request = {};
        _cleanup_json_ Json *result = NULL;

        set_up_process();
        if (request_read(STDIN_FILENO, argc > 1 ? argv[1] : NULL, &request) < 0)
                return output_finish(NULL);
        /* Nobody else of this uid reads a credential out of memory. */
        if (request.verb == VERB_FETCH)
                (void) prctl(PR_SET_DUMPABLE, 0);
        if (verbs[request.verb](&request, &result) < 0)
                json_putp(&result), result = NULL;
        return output_finish(result);
}
