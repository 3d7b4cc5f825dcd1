/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "common/ident.h"
#include "git/bounds.h"
#include "git/cache.h"
#include "git/checkout.h"
#include "git/output.h"
#include "git/process.h"
#include "git/start.h"
#include "git/status.h"

/* A clone that borrows its objects from the cache (objects/info/alternates) and its references by copying them. It is
 * built as ".<name>.part" beside its place and renamed at the end, so that whatever has the right name is whole. */

typedef struct Checkout {
        const Request *request;
        int parent_fd, part_fd;
        char *name, *part; /* below parent_fd */
        char *path;        /* of part, absolute */
        git_repository *repository;
        size_t n_remote_refs;
        uint64_t written; /* bytes, by the files that are there */
        bool has_upstream;
} Checkout;

static void checkout_done(Checkout *c) {
        git_repository_free(c->repository);
        free(c->name);
        free(c->part);
        free(c->path);
        safe_close(c->parent_fd);
        safe_close(c->part_fd);
}

static int fail_errno(int error, const char *what) {
        return output_fail(
                error == ENOSPC || error == EDQUOT ? "no-space" : "failed",
                "failed to %s: %s",
                what,
                strerror(error));
}

/* Goes down "checkouts/<id>" from the working directory, one name at a time and through no link, makes what is missing
 * but for the last, and makes that place the working directory: the paths that libgit2 receives are relative to it. */
static int enter_parent(Checkout *c) {
        _cleanup_free_ char *copy = strdup(c->request->directory);
        char *rest = copy;

        if (!copy)
                return output_fail("failed", "out of memory");
        c->parent_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c->parent_fd < 0)
                return fail_errno(errno, "open the workspace");
        for (;;) {
                char *name = strsep(&rest, "/");

                if (!ident_is_valid(name))
                        return output_fail("request", "directory is not a plain relative path");
                if (!rest) {
                        c->name = strdup(name);
                        c->part = xasprintf(".%s.part", name);
                        break;
                }
                int fd = mkdir_open_at(c->parent_fd, name, 0755);
                if (fd < 0)
                        return fail_errno(-fd, "enter the directory of checkouts");
                safe_close(c->parent_fd);
                c->parent_fd = fd;
        }
        if (!c->name || !c->part)
                return output_fail("failed", "out of memory");
        return fchdir(c->parent_fd) < 0 ? fail_errno(errno, "enter the directory of checkouts") : 0;
}

static bool is_finished(Checkout *c, struct stat *ret) {
        return fstatat(c->parent_fd, c->name, ret, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The process that builds a checkout holds a lock on its directory. One of this very conversation may still be at work
 * (the runner was restarted meanwhile): it is waited for, and then either there is a finished checkout, or it was
 * killed. */
static int wait_for_other(Checkout *c) {
        _cleanup_close_ int part = -EBADF;

        assert(c->part);
        part = openat(c->parent_fd, c->part, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (part < 0 || flock(part, LOCK_EX | LOCK_NB) == 0)
                return 0;
        output_progress("waiting", 0, 0, 0);
        while (flock(part, LOCK_EX) < 0)
                if (errno != EINTR || stop_asked)
                        return fail_errno(errno, "wait for the checkout in progress");
        return 0;
}

/* What killed checkouts left, of this conversation or others. */
static int remove_parts(Checkout *c) {
        int fd = openat(c->parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

        if (!d) {
                safe_close(fd);
                return fail_errno(errno, "read the directory of checkouts");
        }
        for (struct dirent *e; r >= 0 && (e = readdir(d));) {
                _cleanup_close_ int part = -EBADF;

                if (e->d_name[0] != '.' || !endswith(e->d_name, ".part"))
                        continue;
                part = openat(c->parent_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (part >= 0 && flock(part, LOCK_EX | LOCK_NB) < 0)
                        continue;
                if (remove_tree_at(c->parent_fd, e->d_name) < 0 && streq(e->d_name, c->part))
                        r = output_fail("failed", "failed to remove the remains of an earlier checkout");
        }
        (void) closedir(d);
        return r;
}

static int make_part(Checkout *c) {
        git_repository_init_options options = GIT_REPOSITORY_INIT_OPTIONS_INIT;
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        int r;

        if (!cwd)
                return fail_errno(errno, "find the directory of checkouts");
        c->path = xasprintf("%s/%s", cwd, c->part);
        if (!c->path)
                return output_fail("failed", "out of memory");
        if (mkdirat(c->parent_fd, c->part, 0755) < 0)
                return fail_errno(errno, "create the directory of the checkout");
        c->part_fd = openat(c->parent_fd, c->part, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (c->part_fd < 0 || flock(c->part_fd, LOCK_EX | LOCK_NB) < 0)
                return fail_errno(errno, "lock the directory of the checkout");
        options.flags = GIT_REPOSITORY_INIT_NO_REINIT;
        options.initial_head = c->request->branch;
        r = git_repository_init_ext(&c->repository, c->path, &options);
        return r < 0 ? output_fail_git(r, "failed to create the checkout") : 0;
}

typedef struct RefList {
        Checkout *checkout;
        Buffer text;
} RefList;

/* refs/heads/x of the cache is refs/remotes/origin/x here; tags keep their names. */
static int add_ref(git_reference *ref, void *payload) {
        RefList *l = payload;
        const char *name = git_reference_name(ref), *branch = startswith(name, "refs/heads/");
        const git_oid *oid = git_reference_target(ref);
        char hex[GIT_OID_HEXSZ + 1];

        if (oid && (branch || startswith(name, "refs/tags/"))) {
                git_oid_tostr(hex, sizeof(hex), oid);
                (void) buffer_printf(
                        &l->text,
                        "%s %s%s\n",
                        hex,
                        branch ? "refs/remotes/origin/" : "",
                        branch ? branch : name);
                if (branch && streq(branch, l->checkout->request->branch))
                        l->checkout->has_upstream = true;
        }
        git_reference_free(ref);
        return stop_asked ? GIT_EUSER : 0;
}

/* One file, however many branches there are. */
static int copy_refs(Checkout *c, int git_fd) {
        _cleanup_free_ char *head = NULL;
        git_repository *cache = NULL;
        git_reference *ref = NULL;
        RefList list = { .checkout = c };
        int r;

        r = git_repository_open_ext(
                &cache, c->request->cache, GIT_REPOSITORY_OPEN_BARE | GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
        if (r >= 0)
                r = git_reference_foreach(cache, add_ref, &list);
        if (r >= 0 && git_reference_lookup(&ref, cache, "HEAD") == 0 &&
            git_reference_type(ref) == GIT_REFERENCE_SYMBOLIC) {
                const char *branch = startswith(git_reference_symbolic_target(ref), "refs/heads/");
                if (branch)
                        head = xasprintf("refs/remotes/origin/%s", branch);
        }
        git_reference_free(ref);
        git_repository_free(cache);
        if (r < 0)
                (void) output_fail_git(r, "cannot read the cache");
        else if (list.text.failed)
                r = output_fail("failed", "out of memory");
        else if (list.text.size > 0) {
                r = write_file_atomic_at(git_fd, "packed-refs", list.text.data, list.text.size, 0644);
                if (r < 0)
                        (void) fail_errno(-r, "write the references");
        }
        buffer_done(&list.text);
        ref = NULL;
        if (r >= 0 && head) {
                r = git_reference_symbolic_create(
                        &ref, c->repository, "refs/remotes/origin/HEAD", head, 1, NULL);
                git_reference_free(ref);
                if (r < 0)
                        (void) output_fail_git(r, "failed to write the references");
        }
        return r < 0 ? -EIO : 0;
}

static int borrow_objects(Checkout *c) {
        _cleanup_close_ int git_fd = -EBADF, info_fd = -EBADF;
        _cleanup_free_ char *line = xasprintf("%s/objects\n", c->request->cache);
        int r;

        if (!line)
                return output_fail("failed", "out of memory");
        git_fd = openat(c->part_fd, ".git", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        info_fd = git_fd < 0 ?
                -1 :
                openat(git_fd, "objects/info", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (info_fd < 0)
                return fail_errno(errno, "enter the checkout");
        r = write_file_atomic_at(info_fd, "alternates", line, strlen(line), 0644);
        if (r < 0)
                return fail_errno(-r, "write the checkout");
        return copy_refs(c, git_fd);
}

static int
set_config(git_config *config, const char *section, const char *name, const char *key, const char *value) {
        _cleanup_free_ char *full = xasprintf("%s%s%s.%s", section, name ? "." : "", strempty(name), key);

        return full ? git_config_set_string(config, full, value) : -1;
}

static int configure(Checkout *c) {
        const char *branch = c->request->branch;
        _cleanup_free_ char *ref = xasprintf("refs/heads/%s", branch);
        git_config *config = NULL;
        int r;

        if (!ref)
                return output_fail("failed", "out of memory");
        r = git_repository_config(&config, c->repository);
        if (r >= 0)
                r = set_config(config, "remote", "origin", "url", c->request->url);
        if (r >= 0)
                r = set_config(config, "remote", "origin", "fetch", "+refs/heads/*:refs/remotes/origin/*");
        /* `git push` without more pushes the branch under its own name, also where the server has none yet. */
        if (r >= 0)
                r = set_config(config, "push", NULL, "default", "current");
        if (r >= 0)
                r = set_config(config, "push", NULL, "autoSetupRemote", "true");
        if (r >= 0 && c->has_upstream)
                r = set_config(config, "branch", branch, "remote", "origin");
        if (r >= 0 && c->has_upstream)
                r = set_config(config, "branch", branch, "merge", ref);
        git_config_free(config);
        return r < 0 ? output_fail_git(r, "failed to configure the checkout") : 0;
}

static int reopen(Checkout *c) {
        int r;

        /* The alternates are read once, at the opening. */
        git_repository_free(c->repository);
        c->repository = NULL;
        r = git_repository_open_ext(&c->repository, c->path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
        return r < 0 ? output_fail_git(r, "failed to open the checkout") : 0;
}

/* libgit2 does not let this callback stop it. So no file may have another byte from here on, and the next one is the end. */
static void allow_writing(bool allow) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
                return;
        limit.rlim_cur = allow ? limit.rlim_max : 0;
        (void) setrlimit(RLIMIT_FSIZE, &limit);
}

/* After each file: what it has on the disk, which may be more than in the repository (ends of lines). */
static void on_checkout_progress(const char *path, size_t done, size_t all, void *payload) {
        Checkout *c = payload;
        struct stat st;

        output_progress("checkout", done, all, 0);
        if (path && fstatat(c->part_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0)
                c->written += (uint64_t) st.st_size;
        if (output_failed())
                return;
        if (stop_asked)
                (void) output_fail("stopped", "the checkout was stopped");
        else if (!cache_has_room(c->part_fd))
                (void) output_fail("no-space", "cannot write the checkout: the file system is almost full");
        else if (c->written > c->request->bounds[GIT_BOUND_CHECKOUT_BYTES])
                (void) bounds_fail(
                        c->request,
                        GIT_BOUND_CHECKOUT_BYTES,
                        "cannot write the checkout: its files have %" PRIu64 " bytes",
                        c->written);
        else
                return;
        allow_writing(false);
}

static int on_checkout_notify(
        git_checkout_notify_t why,
        const char *path,
        const git_diff_file *baseline,
        const git_diff_file *target,
        const git_diff_file *workdir,
        void *payload) {
        Checkout *c = payload;

        if (stop_asked) {
                (void) output_fail("stopped", "the checkout was stopped");
                return GIT_EUSER;
        }
        if (!cache_has_room(c->part_fd)) {
                (void) output_fail("no-space", "cannot write the checkout: the file system is almost full");
                return GIT_EUSER;
        }
        return 0;
}

static int write_files(Checkout *c) {
        git_checkout_options options = GIT_CHECKOUT_OPTIONS_INIT;
        git_commit *commit = NULL;
        git_reference *branch = NULL;
        git_oid oid;
        int r;

        (void) git_oid_fromstr(&oid, c->request->commit);
        r = bounds_check_commit(c->request, c->repository, &oid);
        if (r < 0)
                return r;
        r = git_commit_lookup(&commit, c->repository, &oid);
        if (r < 0)
                return output_fail("not-found", "the cache has no commit %s", c->request->commit);
        r = bounds_check_tree(c->request, c->repository, commit);
        if (r < 0) {
                git_commit_free(commit);
                return r;
        }
        r = git_branch_create(&branch, c->repository, c->request->branch, commit, 1);
        /* On the very first commit of a new repository libgit2 holds that HEAD is this branch already. */
        if (r >= 0)
                r = git_repository_set_head(c->repository, git_reference_name(branch));
        options.checkout_strategy = GIT_CHECKOUT_FORCE;
        options.progress_cb = on_checkout_progress;
        options.progress_payload = c;
        options.notify_cb = on_checkout_notify;
        options.notify_flags = GIT_CHECKOUT_NOTIFY_UPDATED;
        options.notify_payload = c;
        if (r >= 0)
                r = git_checkout_head(c->repository, &options);
        allow_writing(true);
        git_reference_free(branch);
        git_commit_free(commit);
        if (output_failed() || (r < 0 && bounds_explain(c->request, "cannot write the checkout") < 0))
                return -EIO;
        return r < 0 ? output_fail_git(r, "cannot write the checkout") : 0;
}

static int finish(Checkout *c) {
        if (renameat2(c->parent_fd, c->part, c->parent_fd, c->name, RENAME_NOREPLACE) < 0)
                return fail_errno(errno, "rename the finished checkout");
        return 0;
}

static int build(Checkout *c) {
        int r;

        r = make_part(c);
        if (r >= 0)
                r = borrow_objects(c);
        if (r >= 0)
                r = reopen(c);
        if (r >= 0)
                r = write_files(c);
        if (r >= 0)
                r = configure(c);
        if (r >= 0)
                r = finish(c);
        if (r < 0)
                (void) remove_tree_at(c->parent_fd, c->part);
        return r;
}

static int make_result(Checkout *c, bool reused, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        _cleanup_free_ char *cwd = getcwd(NULL, 0), *path = cwd ? xasprintf("%s/%s", cwd, c->name) : NULL;

        if (!path || !o || json_set_string(o, "type", "result") < 0 ||
            json_set_string(o, "directory", path) < 0 || json_set_bool(o, "reused", reused) < 0)
                return output_fail("failed", "out of memory");
        /* An agent may have done anything to its own checkout: what cannot be read any more is left out. */
        git_repository_free(c->repository);
        c->repository = NULL;
        (void) git_repository_open_ext(&c->repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
        if (c->repository && result_set_head(o, c->repository) < 0)
                return -EIO;
        *ret = TAKE_PTR(o);
        return 0;
}

int verb_checkout(const Request *request, Json **ret) {
        _cleanup_(checkout_done) Checkout c = { .request = request, .parent_fd = -EBADF, .part_fd = -EBADF };
        struct stat st;
        int r;

        r = enter_parent(&c);
        if (r >= 0)
                r = git_start(request);
        if (r < 0)
                return r;
        r = wait_for_other(&c);
        if (r < 0)
                return r;
        if (is_finished(&c, &st)) {
                if (!S_ISDIR(st.st_mode))
                        return output_fail("failed", "%s exists and is not a directory", request->directory);
                return make_result(&c, true, ret);
        }
        r = remove_parts(&c);
        if (r >= 0)
                r = build(&c);
        return r < 0 ? r : make_result(&c, false, ret);
}
