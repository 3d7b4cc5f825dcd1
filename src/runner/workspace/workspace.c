/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>

#include "common/fileio.h"
#include "common/git-url.h"
#include "runner/workspace/git-call.h"
#include "runner/workspace/repository.h"
#include "runner/workspace/workspace.h"

#define CREDENTIAL_MAX (64 * 1024)

struct Checkout {
        OperationContext context;
        uint64_t timeout_usec;
        uint64_t bounds[_GIT_BOUND_MAX];
        char *conversation, *workspace, *url, *branch, *cache;
        GitCall *call;            /* the fetch, then the checkout */
        sd_event_source *failure; /* what went wrong before there was a call */
        int failure_error;
        char *failure_text;
        CheckoutProgress progress;
        CheckoutDone done;
        void *userdata;
};

Checkout *checkout_free(Checkout *c) {
        if (!c)
                return NULL;
        git_call_free(c->call);
        sd_event_source_disable_unref(c->failure);
        free(c->conversation);
        free(c->workspace);
        free(c->url);
        free(c->branch);
        free(c->cache);
        free(c->failure_text);
        free(c);
        return NULL;
}

/* The last thing that a checkout does: its owner may free it inside. */
static void finish(Checkout *c, int error, const char *text) {
        c->done(error, text, NULL, NULL, NULL, c->userdata);
}

static int on_failure(sd_event_source *source, void *userdata) {
        Checkout *c = userdata;
        _cleanup_free_ char *text = TAKE_PTR(c->failure_text);

        finish(c, c->failure_error, strempty(text));
        return 0;
}

static int fail_later(Checkout *c, int error, char *text_consume) {
        c->failure_error = error;
        c->failure_text = text_consume;
        return text_consume ? sd_event_add_defer(c->context.event, &c->failure, on_failure, c) : -ENOMEM;
}

static void on_progress(Json *progress, void *userdata) {
        Checkout *c = userdata;

        if (c->progress)
                c->progress(progress, c->userdata);
}

/* ---- the second step: as the agent's user ---- */

/* The place that the launcher's own layout gives, whatever the answer says besides. */
static bool directory_is_right(const char *directory, const char *conversation) {
        _cleanup_free_ char *end = xasprintf("/checkouts/%s", conversation);

        if (!directory || !end || directory[0] != '/' || strlen(directory) >= PATH_MAX ||
            strstr(directory, "/../") || !endswith(directory, end))
                return false;
        for (const char *p = directory; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        return false;
        return true;
}

static void on_checkout(int error, const char *text, Json *result, void *userdata) {
        Checkout *c = userdata;
        const char *directory, *branch, *head;

        if (error < 0) {
                finish(c, error, text);
                return;
        }
        directory = json_get_string(result, "directory");
        branch = json_get_string(result, "branch");
        head = json_get_string(result, "head");
        if (!directory_is_right(directory, c->conversation)) {
                finish(c, -EIO, "the result of the checkout names another directory");
                return;
        }
        if (branch && !gitref_branch_is_valid(branch))
                branch = NULL;
        if (head && !gitref_commit_is_valid(head))
                head = NULL;
        c->done(0, NULL, directory, branch, head, c->userdata);
}

static int start_checkout(Checkout *c, const char *commit) {
        _cleanup_json_ Json *request = json_object_new_object();
        _cleanup_free_ char *directory = xasprintf("checkouts/%s", c->conversation);

        if (!request || !directory || json_set_string(request, "url", c->url) < 0 ||
            json_set_string(request, "cache", c->cache) < 0 ||
            json_set_string(request, "commit", commit) < 0 ||
            json_set_string(request, "branch", c->branch) < 0 ||
            json_set_string(request, "directory", directory) < 0)
                return -ENOMEM;
        return git_call_start(
                &c->context,
                &(GitCallParams){
                        .kind = SCOPE_HOOK,
                        .verb = "checkout",
                        .id = c->conversation,
                        .workspace = c->workspace,
                        .request = request,
                        .bounds = c->bounds,
                        .credential_fd = -EBADF,
                        .timeout_usec = c->timeout_usec,
                        .progress = on_progress,
                        .done = on_checkout,
                        .userdata = c,
                },
                &c->call);
}

/* ---- the first step: as northflare-git ---- */

static void on_fetch(int error, const char *text, Json *result, void *userdata) {
        Checkout *c = userdata;
        char commit[41];
        const char *s = json_get_string(result, "commit");
        int r;

        if (error < 0) {
                finish(c, error, text);
                return;
        }
        if (!s || !gitref_commit_is_valid(s)) {
                finish(c, -EIO, "the result of the fetch has no commit");
                return;
        }
        memcpy(commit, s, sizeof(commit));
        c->call = git_call_free(c->call);
        r = start_checkout(c, commit);
        if (r < 0) {
                _cleanup_free_ char *why = xasprintf("failed to start the checkout: %s", strerror(-r));
                finish(c, r, strempty(why));
        }
}

/* A copy of the file that cannot be changed or, once it is closed, read again. */
static int seal_file(const char *path, int *ret) {
        _cleanup_close_ int fd = -EBADF;
        char *data = NULL;
        size_t size = 0;
        int r;

        r = read_file_at(AT_FDCWD, path, CREDENTIAL_MAX, &data, &size);
        if (r < 0)
                return r;
        fd = memfd_create("northflare-credential", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        r = fd < 0 ? -errno : write_all(fd, data, size);
        if (r >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                r = -errno;
        explicit_bzero(data, size);
        free(data);
        if (r < 0)
                return r;
        *ret = TAKE_FD(fd);
        return 0;
}

/* What the host is given, if anything: a key for ssh, a token for https. Returns 0, or negative after fail_later(). */
static int get_credential(Checkout *c, const GitConfig *config, const GitUrl *url, Json *request, int *ret) {
        bool ssh = url->scheme == GIT_SCHEME_SSH;
        const char *path = url->scheme == GIT_SCHEME_FILE ? NULL :
                ssh                                       ? config->ssh_key_file :
                                                            config->token_file;
        int r;

        if (!path || (config->credential_hosts && !strv_contains(config->credential_hosts, url->host)))
                return 0;
        r = seal_file(path, ret);
        if (r < 0) {
                int q = fail_later(
                        c,
                        r,
                        xasprintf(
                                "failed to read git.%s: %s",
                                ssh ? "sshKeyFile" : "tokenFile",
                                strerror(-r)));
                return q < 0 ? q : -EALREADY;
        }
        return json_set_string(request, "credential", ssh ? "sshKey" : "token");
}

static int make_fetch_request(Checkout *c, const GitConfig *config, Json *repository, Json *request) {
        static const char *const members[] = { "url", "branch", "baseBranch", "commit" };

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (json_set_string(request, members[i], json_get_string(repository, members[i])) < 0)
                        return -ENOMEM;
        if (json_set_string(request, "cache", c->cache) < 0 ||
            json_set_string(request, "caFile", config->ca_file) < 0 ||
            json_set_string(request, "knownHostsFile", config->known_hosts_file) < 0 ||
            json_set_string(request, "username", config->username) < 0 ||
            json_set_bool(request, "allowLoopback", config->allow_loopback) < 0)
                return -ENOMEM;
        return 0;
}

static int start_fetch(Checkout *c, const GitConfig *config, const GitUrl *url, Json *repository) {
        _cleanup_json_ Json *request = json_object_new_object();
        _cleanup_close_ int credential = -EBADF;
        int r;

        if (!request)
                return -ENOMEM;
        r = make_fetch_request(c, config, repository, request);
        if (r >= 0)
                r = get_credential(c, config, url, request, &credential);
        if (r < 0)
                return r == -EALREADY ? 0 : r; /* it is reported from the loop */
        return git_call_start(
                &c->context,
                &(GitCallParams){
                        .kind = SCOPE_GIT,
                        .verb = "fetch",
                        .id = c->conversation,
                        .workspace = c->workspace,
                        .request = request,
                        .bounds = c->bounds,
                        .credential_fd = credential,
                        .timeout_usec = c->timeout_usec,
                        .progress = on_progress,
                        .done = on_fetch,
                        .userdata = c,
                },
                &c->call);
}

int checkout_start(
        const OperationContext *context,
        const GitConfig *config,
        const char *conversation,
        const char *workspace,
        Json *repository,
        CheckoutProgress progress,
        CheckoutDone done,
        void *userdata,
        Checkout **ret) {
        _cleanup_(checkout_freep) Checkout *c = NULL;
        _cleanup_giturl_ GitUrl url = {};
        char key[GITURL_KEY_SIZE];
        char *error = NULL;
        int r;

        c = new0(Checkout, 1);
        if (!c)
                return -ENOMEM;
        *c = (Checkout){
                .context = *context,
                .timeout_usec = config->timeout_usec,
                .conversation = strdup(conversation),
                .workspace = strdup(strempty(workspace)),
                .progress = progress,
                .done = done,
                .userdata = userdata,
        };
        memcpy(c->bounds, config->bounds, sizeof(c->bounds));
        r = checkout_check(repository, config, &error);
        if (r < 0) {
                /* What was accepted under another configuration. */
                r = fail_later(c, r, error ? error : strdup("the repository is not allowed"));
                if (r < 0)
                        return r;
                *ret = TAKE_PTR(c);
                return 0;
        }
        r = giturl_parse(json_get_string(repository, "url"), &url, NULL);
        if (r >= 0)
                r = giturl_key(&url, key);
        if (r < 0)
                return r;
        c->url = strdup(json_get_string(repository, "url"));
        c->branch = checkout_branch(repository, conversation);
        c->cache = xasprintf("%s/%s.git", config->cache_dir ? config->cache_dir : NF_GITCACHEDIR, key);
        if (!c->conversation || !c->workspace || !c->url || !c->branch || !c->cache)
                return -ENOMEM;
        r = start_fetch(c, config, &url, repository);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

/* ---- status ---- */

struct CheckoutStatus {
        GitCall *call;
        CheckoutStatusDone done;
        void *userdata;
};

CheckoutStatus *checkout_status_free(CheckoutStatus *s) {
        if (!s)
                return NULL;
        git_call_free(s->call);
        free(s);
        return NULL;
}

static void on_status(int error, const char *text, Json *result, void *userdata) {
        CheckoutStatus *s = userdata;
        _cleanup_json_ Json *status = NULL;
        const char *branch, *head;
        uint64_t unpushed = 0;
        bool dirty = false;
        int r = 0;

        if (error < 0) {
                s->done(error, text, NULL, s->userdata);
                return;
        }
        branch = json_get_string(result, "branch");
        head = json_get_string(result, "head");
        status = json_object_new_object();
        if (json_get_bool(result, "dirty", &dirty) < 1 || json_get_u64(result, "unpushed", &unpushed) < 1)
                r = -EBADMSG;
        else if (
                !status ||
                json_set_string(status, "branch", branch && gitref_branch_is_valid(branch) ? branch : NULL) <
                        0 ||
                json_set_string(status, "head", head && gitref_commit_is_valid(head) ? head : NULL) < 0 ||
                json_set_bool(status, "dirty", dirty) < 0 || json_set_u64(status, "unpushed", unpushed) < 0)
                r = -ENOMEM;
        s->done(r,
                r < 0 ? "failed to read the state of the checkout" : NULL,
                r < 0 ? NULL : status,
                s->userdata);
}

int checkout_status_start(
        const OperationContext *context,
        const GitConfig *config,
        const char *conversation,
        const char *workspace,
        const char *directory,
        CheckoutStatusDone done,
        void *userdata,
        CheckoutStatus **ret) {
        _cleanup_(checkout_status_freep) CheckoutStatus *s = new0(CheckoutStatus, 1);
        _cleanup_json_ Json *request = json_object_new_object();
        int r;

        if (!s || !request || json_set_string(request, "directory", directory) < 0)
                return -ENOMEM;
        *s = (CheckoutStatus){ .done = done, .userdata = userdata };
        r = git_call_start(
                context,
                &(GitCallParams){
                        .kind = SCOPE_HOOK,
                        .verb = "status",
                        .id = conversation,
                        .workspace = strempty(workspace),
                        .request = request,
                        .bounds = config->bounds,
                        .credential_fd = -EBADF,
                        .timeout_usec = config->timeout_usec,
                        .done = on_status,
                        .userdata = s,
                },
                &s->call);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}
