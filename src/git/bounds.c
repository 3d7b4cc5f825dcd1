/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>

#include "git/allocator.h"
#include "git/bounds.h"
#include "git/output.h"
#include "git/process.h"

/* Lists of libgit2's (of objects, of references) are one block too, also where objects are to be small. */
#define BLOCK_MIN (UINT64_C(64) << 20)
/* What libgit2 puts around an object. */
#define BLOCK_MARGIN (UINT64_C(64) << 10)
/* The index and the lists of references are files too, also where those of a checkout are to be small. */
#define FILE_MIN (UINT64_C(1) << 30)
/* One level is one call; a path of names of one letter cannot be that deep. */
#define DEPTH_MAX 1024U

typedef struct Count {
        const Request *request;
        git_repository *repository;
        git_odb *odb;
        uint64_t files, bytes;
} Count;

int bounds_set_up(const Request *request) {
        uint64_t object = request->bounds[GIT_BOUND_OBJECT_BYTES],
                 file = request->bounds
                                [request->verb == VERB_FETCH ? GIT_BOUND_PACK_BYTES :
                                                               GIT_BOUND_CHECKOUT_BYTES];
        struct rlimit limit;
        int r;

        /* A write past it is an error like any other, not a signal. */
        if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || getrlimit(RLIMIT_FSIZE, &limit) < 0)
                return output_fail("failed", "failed to limit the size of files: %s", strerror(errno));
        limit.rlim_max = MIN(limit.rlim_max, MAX(file, FILE_MIN));
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
                return output_fail("failed", "failed to limit the size of files: %s", strerror(errno));
        r = allocator_install(MAX(object, BLOCK_MIN) + BLOCK_MARGIN);
        return r < 0 ? output_fail("failed", "failed to limit the memory of libgit2") : 0;
}

int bounds_start(const Request *request) {
        int r = git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, (size_t) request->bounds[GIT_BOUND_OBJECTS]);

        return r < 0 ?
                r :
                git_libgit2_opts(
                        GIT_OPT_SET_PACK_MAX_OBJECT_SIZE, (size_t) request->bounds[GIT_BOUND_OBJECT_BYTES]);
}

int bounds_fail(const Request *request, GitBoundId id, const char *format, ...) {
        _cleanup_free_ char *why = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&why, format, ap) < 0)
                why = NULL;
        va_end(ap);
        return output_fail(
                "too-large",
                "%s, above the bound of %" PRIu64 " (%s)",
                strempty(why),
                request->bounds[id],
                git_bound_infos[id].key);
}

int bounds_explain(const Request *request, const char *what) {
        const git_error *e = git_error_last();
        const char *text = e && e->message ? e->message : "";
        uint64_t refused;
        bool total;

        if (strstr(text, "too many objects"))
                return bounds_fail(request, GIT_BOUND_OBJECTS, "%s: the pack has too many objects", what);
        if (strstr(text, "overly large object"))
                return bounds_fail(
                        request, GIT_BOUND_OBJECT_BYTES, "%s: a delta makes an object larger", what);
        if (strstr(text, "File too large"))
                return bounds_fail(
                        request,
                        request->verb == VERB_FETCH ? GIT_BOUND_PACK_BYTES : GIT_BOUND_CHECKOUT_BYTES,
                        "%s: a file becomes too large",
                        what);
        refused = allocator_refused(&total);
        /* Some of libgit2 has no words for it. */
        if (refused > 0)
                return total ? bounds_fail(
                                       request,
                                       GIT_BOUND_REFS,
                                       "%s: the server's list of references is too long",
                                       what) :
                               bounds_fail(
                                       request,
                                       GIT_BOUND_OBJECT_BYTES,
                                       "%s: an object needs %" PRIu64 " bytes",
                                       what,
                                       refused);
        return 0;
}

/* The size that is written in front of an object (of one that is a delta: in front of what it is applied to). */
static int check_object(Count *c, const git_oid *oid, const char *what, size_t *ret_size) {
        char hex[GIT_OID_HEXSZ + 1];
        git_object_t type;
        int r = git_odb_read_header(ret_size, &type, c->odb, oid);

        if (r < 0)
                return output_fail_git(r, "cannot read the cache");
        if (*ret_size <= c->request->bounds[GIT_BOUND_OBJECT_BYTES])
                return 0;
        git_oid_tostr(hex, sizeof(hex), oid);
        return bounds_fail(
                c->request,
                GIT_BOUND_OBJECT_BYTES,
                "cannot write the checkout: %s %s has %zu bytes",
                what,
                hex,
                *ret_size);
}

static int count_files(Count *c, uint64_t n) {
        c->files += n;
        if (c->files <= c->request->bounds[GIT_BOUND_CHECKOUT_FILES])
                return 0;
        return bounds_fail(
                c->request,
                GIT_BOUND_CHECKOUT_FILES,
                "cannot write the checkout: it has more files and directories");
}

static int count_tree(Count *c, const git_oid *oid, unsigned depth);

static int count_entry(Count *c, const git_tree_entry *entry, unsigned depth) {
        size_t size;
        int r;

        if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
                return count_tree(c, git_tree_entry_id(entry), depth + 1);
        /* A submodule is an empty directory. */
        if (git_tree_entry_type(entry) != GIT_OBJECT_BLOB)
                return 0;
        r = check_object(c, git_tree_entry_id(entry), "the file", &size);
        if (r < 0)
                return r;
        if (__builtin_add_overflow(c->bytes, size, &c->bytes) ||
            c->bytes > c->request->bounds[GIT_BOUND_CHECKOUT_BYTES])
                return bounds_fail(
                        c->request,
                        GIT_BOUND_CHECKOUT_BYTES,
                        "cannot write the checkout: its files have more bytes");
        return 0;
}

static int count_tree(Count *c, const git_oid *oid, unsigned depth) {
        git_tree *tree = NULL;
        size_t size, n;
        int r;

        if (depth > DEPTH_MAX)
                return output_fail(
                        "too-large",
                        "cannot write the checkout: a directory is more than %u levels deep",
                        DEPTH_MAX);
        r = check_object(c, oid, "the directory", &size);
        if (r < 0)
                return r;
        r = git_tree_lookup(&tree, c->repository, oid);
        if (r < 0)
                return output_fail_git(r, "cannot read the cache");
        n = git_tree_entrycount(tree);
        r = count_files(c, n);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = stop_asked ? output_fail("stopped", "the checkout was stopped") :
                                 count_entry(c, git_tree_entry_byindex(tree, i), depth);
        git_tree_free(tree);
        return r;
}

int bounds_check_commit(const Request *request, git_repository *repository, const git_oid *oid) {
        Count c = { .request = request, .repository = repository };
        size_t size;
        int r = git_repository_odb(&c.odb, repository);

        if (r < 0)
                return output_fail_git(r, "cannot read the cache");
        r = git_odb_exists(c.odb, oid) ? check_object(&c, oid, "the commit", &size) : 0;
        git_odb_free(c.odb);
        return r;
}

int bounds_check_tree(const Request *request, git_repository *repository, const git_commit *commit) {
        Count c = { .request = request, .repository = repository };
        int r = git_repository_odb(&c.odb, repository);

        if (r < 0)
                return output_fail_git(r, "cannot read the cache");
        r = count_tree(&c, git_commit_tree_id(commit), 0);
        git_odb_free(c.odb);
        return r;
}
