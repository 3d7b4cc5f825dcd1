/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <strings.h>

#include "git/allocator.h"
#include "git/bounds.h"
#include "git/cache.h"
#include "git/credentials.h"
#include "git/fetch.h"
#include "git/guard.h"
#include "git/hostkeys.h"
#include "git/output.h"
#include "git/pack.h"
#include "git/process.h"
#include "git/start.h"

#define CA_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/* What libgit2 has of memory while it connects, and for each reference that the server shows: with its name, which is
 * seldom long. */
#define LIST_BYTES (UINT64_C(4) << 20)
#define REF_BYTES UINT64_C(1024)

/* libgit2's payload. */
typedef struct Fetch {
        const Request *request;
        Cache *cache;
        Credentials credentials;
        HostKeys *host_keys; /* ssh only */
        git_repository *repository;
        git_remote *remote;
        char *what; /* "cannot fetch from <host>" */
        int repository_fd;
        char **packs; /* those that were there before */
} Fetch;

static void fetch_done(Fetch *f) {
        git_remote_free(f->remote);
        git_repository_free(f->repository);
        credentials_done(&f->credentials);
        f->host_keys = hostkeys_free(f->host_keys);
        free(f->what);
        safe_close(f->repository_fd);
        strv_free(f->packs);
}

static int on_credentials(
        git_credential **ret,
        const char *url,
        const char *username,
        unsigned allowed,
        void *payload) {
        Fetch *f = payload;

        return credentials_acquire(&f->credentials, ret, username, allowed);
}

static int on_certificate(git_cert *cert, int valid, const char *host, void *payload) {
        Fetch *f = payload;

        if (cert->cert_type == GIT_CERT_HOSTKEY_LIBSSH2 && f->host_keys)
                return hostkeys_check(f->host_keys, (const git_cert_hostkey *) (const void *) cert);
        if (cert->cert_type != GIT_CERT_X509 || !valid) {
                const git_error *e = git_error_last();
                (void) output_fail(
                        "certificate",
                        "the certificate of %s is not trusted%s%s%s; a private authority's "
                        "goes into git.caFile",
                        f->request->parsed.host,
                        e && !isempty(e->message) ? " (" : "",
                        e && !isempty(e->message) ? e->message : "",
                        e && !isempty(e->message) ? ")" : "");
                return GIT_ECERTIFICATE;
        }
        /* libgit2 does not follow a redirect to another host; should it ever, it does not get through here, before
         * the request is sent. */
        size_t n = strlen(f->request->parsed.host);
        if (strncasecmp(host, f->request->parsed.host, n) != 0 ||
            (host[n] && host[n] != ':' && !streq(host + n, "."))) {
                (void) output_fail("redirect", "%s redirects to another host", f->request->parsed.host);
                return GIT_ECERTIFICATE;
        }
        return 0;
}

static int check_interrupt(Fetch *f) {
        if (stop_asked) {
                (void) output_fail("stopped", "the fetch was stopped");
                return GIT_EUSER;
        }
        return 0;
}

static int on_transfer(const git_indexer_progress *p, void *payload) {
        Fetch *f = payload;
        static uint64_t last;
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (p->received_bytes > f->request->bounds[GIT_BOUND_PACK_BYTES]) {
                (void) bounds_fail(
                        f->request,
                        GIT_BOUND_PACK_BYTES,
                        "%s: the server has sent %zu bytes",
                        f->what,
                        p->received_bytes);
                return GIT_EUSER;
        }
        if (p->received_objects < p->total_objects || p->total_deltas == 0)
                output_progress("receiving", p->received_objects, p->total_objects, p->received_bytes);
        else
                output_progress("resolving", p->indexed_deltas, p->total_deltas, p->received_bytes);
        if (now - last > 100 * USEC_PER_MSEC) {
                last = now;
                if (!cache_has_room(f->cache->base_fd)) {
                        (void) output_fail(
                                "no-space",
                                "%s: the file system of %s is almost full",
                                f->what,
                                f->cache->base);
                        return GIT_EUSER;
                }
        }
        return check_interrupt(f);
}

static int on_sideband(const char *text, int size, void *payload) {
        /* The server's own messages ("Counting objects") are not used here. */
        output_progress("preparing", 0, 0, 0);
        return check_interrupt(payload);
}

static void set_callbacks(Fetch *f, git_remote_callbacks *c) {
        c->credentials = on_credentials;
        c->certificate_check = on_certificate;
        c->transfer_progress = on_transfer;
        c->sideband_progress = on_sideband;
        c->payload = f;
}

/* Once prepared, every failure becomes one sentence: that of the callback that said no, else libgit2's. */
static int fetch_fail(Fetch *f, int git_code) {
        if (guard_refused())
                return output_fail(
                        "url",
                        "%s: the name stands for an address of this machine or a special one, or the "
                        "server redirects to another port",
                        f->what);
        if (stop_asked)
                return output_fail("stopped", "the fetch was stopped");
        if (output_failed() || bounds_explain(f->request, f->what) < 0)
                return -EIO;
        return output_fail_git(git_code, f->what);
}

static int set_certificates(const Request *request) {
        const char *file = request->ca_file ? request->ca_file : CA_BUNDLE;
        int r;

        if (request->parsed.scheme != GIT_SCHEME_HTTPS || (!request->ca_file && access(file, R_OK) < 0))
                return 0;
        if (access(file, R_OK) < 0)
                return output_fail("certificate", "failed to read %s: %s", file, strerror(errno));
        r = git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, file, NULL);
        return r < 0 ? output_fail_git(r, "failed to use caFile") : 0;
}

static int open_connection(Fetch *f) {
        git_remote_connect_options options = GIT_REMOTE_CONNECT_OPTIONS_INIT;
        int r;

        set_callbacks(f, &options.callbacks);
        options.follow_redirects = GIT_REMOTE_REDIRECT_NONE; /* to another host; a new path is followed */
        /* The whole list of references is read here, before any object is requested. */
        allocator_set_total(LIST_BYTES + f->request->bounds[GIT_BOUND_REFS] * REF_BYTES);
        r = git_remote_connect_ext(f->remote, GIT_DIRECTION_FETCH, &options);
        allocator_set_total(UINT64_MAX);
        return r < 0 ? fetch_fail(f, r) : 0;
}

static int fetch_connect(Fetch *f) {
        int r;

        output_progress("connecting", 0, 0, 0);
        r = git_remote_create_anonymous(&f->remote, f->repository, f->request->url);
        return r < 0 ? fetch_fail(f, r) : open_connection(f);
}

static int list_packs(Fetch *f) {
        int r;

        f->repository_fd = open(git_repository_path(f->repository), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = f->repository_fd < 0 ? -errno : pack_list(f->repository_fd, &f->packs);
        return r < 0 ? output_fail("failed", "cannot read the cache: %s", strerror(-r)) : 0;
}

/* What has come, before a reference leads to it. */
static int check_packs(Fetch *f) {
        uint64_t size;
        int r = pack_check_new(
                f->repository_fd, f->packs, f->request->bounds[GIT_BOUND_OBJECT_BYTES], &size);

        if (r == 0)
                return 0;
        if (r > 0)
                r = bounds_fail(
                        f->request,
                        GIT_BOUND_OBJECT_BYTES,
                        "%s: an object has %" PRIu64 " bytes",
                        f->what,
                        size);
        else
                r = output_fail("failed", "%s: the pack cannot be read: %s", f->what, strerror(-r));
        pack_remove_new(f->repository_fd, f->packs);
        return r;
}

/* Gets the objects, then makes the references equal to the server's: deletions first, because a branch "a" that has
 * become "a/b" stands in its way. Returns libgit2's word, or -EIO after output_fail(). */
static int download(Fetch *f, const char *const *specs, size_t n_specs, bool prune) {
        git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
        git_strarray refspecs = { .strings = (char **) specs, .count = n_specs };
        int r;

        set_callbacks(f, &options.callbacks);
        options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE; /* the refspecs name them */
        options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
        r = git_remote_download(f->remote, &refspecs, &options);
        if (r >= 0)
                r = check_packs(f);
        if (r >= 0 && prune)
                r = git_remote_prune(f->remote, &options.callbacks);
        if (r >= 0)
                r = git_remote_update_tips(
                        f->remote, &options.callbacks, 0, GIT_REMOTE_DOWNLOAD_TAGS_NONE, NULL);
        return r;
}

static int fetch_refs(Fetch *f) {
        static const char *const specs[] = { "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*" };
        int r = download(f, specs, ELEMENTSOF(specs), true);

        return r < 0 ? fetch_fail(f, r) : 0;
}

/* The server's own HEAD: the name of a branch (for the caller to free, NULL where it has none) and the commit. */
static int remote_head(Fetch *f, char **ret_ref, git_oid *ret_oid, bool *ret_found) {
        const git_remote_head **heads = NULL;
        git_buf name = GIT_BUF_INIT;
        size_t n = 0;
        int r;

        *ret_ref = NULL;
        *ret_found = false;
        r = git_remote_ls(&heads, &n, f->remote);
        if (r < 0)
                return fetch_fail(f, r);
        if (n == 0)
                return output_fail("empty", "%s: the repository has no commit yet", f->what);
        if (n > f->request->bounds[GIT_BOUND_REFS])
                return bounds_fail(
                        f->request, GIT_BOUND_REFS, "%s: the server has %zu references", f->what, n);
        for (size_t i = 0; i < n; i++)
                if (streq(heads[i]->name, "HEAD")) {
                        git_oid_cpy(ret_oid, &heads[i]->oid);
                        *ret_found = true;
                }
        r = git_remote_default_branch(&name, f->remote);
        if (r == 0 && startswith(name.ptr, "refs/heads/")) {
                *ret_ref = strdup(name.ptr);
                if (!*ret_ref)
                        r = output_fail("failed", "out of memory");
        }
        git_buf_dispose(&name);
        return r < 0 && r != GIT_ENOTFOUND ? fetch_fail(f, r) : 0;
}

static bool has_commit(Fetch *f, const git_oid *oid) {
        git_commit *commit = NULL;
        bool has = git_commit_lookup(&commit, f->repository, oid) == 0;

        git_commit_free(commit);
        return has;
}

/* A commit that no branch or tag leads to (a pull request's, a branch that was rewritten): some servers give it away by
 * its name alone. It gets a reference of its own, outside of what is pruned. */
static int fetch_commit(Fetch *f, const git_oid *oid) {
        char hex[GIT_OID_HEXSZ + 1];
        int r;

        git_oid_tostr(hex, sizeof(hex), oid);
        r = bounds_check_commit(f->request, f->repository, oid);
        if (r < 0)
                return r;
        if (has_commit(f, oid))
                return 0;
        _cleanup_free_ char *spec = xasprintf("+%s:refs/northflare/%s", hex, hex);

        if (!spec)
                return output_fail("failed", "out of memory");
        (void) git_remote_disconnect(f->remote);
        credentials_rearm(&f->credentials);
        r = open_connection(f);
        if (r < 0)
                return r;
        r = download(f, (const char *const *) &spec, 1, false);
        if (r < 0 && !output_failed())
                (void) bounds_explain(f->request, f->what);
        if (output_failed() || bounds_check_commit(f->request, f->repository, oid) < 0)
                return -EIO;
        if (r < 0 || !has_commit(f, oid))
                return output_fail(
                        "not-found", "the repository has no commit %s, or does not allow to fetch it", hex);
        return 0;
}

static int branch_commit(Fetch *f, const char *branch, char **ret_ref, git_oid *ret) {
        _cleanup_free_ char *ref = xasprintf("refs/heads/%s", branch);
        int r;

        if (!ref)
                return output_fail("failed", "out of memory");
        r = git_reference_name_to_id(ret, f->repository, ref);
        if (r == GIT_ENOTFOUND || r == GIT_EINVALIDSPEC)
                return 0;
        if (r < 0)
                return output_fail_git(r, "failed to read a branch of the cache");
        *ret_ref = TAKE_PTR(ref);
        return 1;
}

/* Which commit is meant: commit; else branch; else (branch is new, or not given) baseBranch; else the default branch. */
static int
resolve(Fetch *f, const char *head_ref, const git_oid *head, bool head_found, char **ret_ref, git_oid *ret) {
        const Request *q = f->request;
        int r = 0;

        if (q->branch) {
                r = branch_commit(f, q->branch, ret_ref, ret);
                if (r == 0 && !q->base_branch && !q->commit)
                        return output_fail("not-found", "the repository has no branch %s", q->branch);
        }
        if (r == 0 && q->base_branch) {
                r = branch_commit(f, q->base_branch, ret_ref, ret);
                if (r == 0 && !q->commit)
                        return output_fail("not-found", "the repository has no branch %s", q->base_branch);
        }
        if (r < 0)
                return r;
        if (q->commit) {
                (void) git_oid_fromstr(ret, q->commit);
                return fetch_commit(f, ret);
        }
        if (r > 0)
                return 0;
        if (!head_found)
                return output_fail("not-found", "the repository has no default branch: name a branch");
        git_oid_cpy(ret, head);
        if (head_ref) {
                *ret_ref = strdup(head_ref);
                if (!*ret_ref)
                        return output_fail("failed", "out of memory");
        }
        return 0;
}

static int make_result(Fetch *f, const char *head_ref, const char *ref, const git_oid *commit, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        char hex[GIT_OID_HEXSZ + 1];

        if (!o || json_set_string(o, "type", "result") < 0 ||
            json_set_string(o, "cache", f->request->cache) < 0 || json_set_string(o, "head", head_ref) < 0 ||
            json_set_string(o, "ref", ref) < 0 ||
            json_set_string(o, "commit", git_oid_tostr(hex, sizeof(hex), commit)) < 0)
                return output_fail("failed", "out of memory");
        *ret = TAKE_PTR(o);
        return 0;
}

static int fetch_run(Fetch *f, Json **ret) {
        _cleanup_free_ char *head_ref = NULL, *ref = NULL;
        git_oid head = {}, commit = {};
        bool head_found = false;
        int r;

        r = cache_open(f->cache, f->request, &f->repository);
        if (r >= 0)
                r = list_packs(f);
        if (r >= 0)
                r = fetch_connect(f);
        if (r >= 0)
                r = remote_head(f, &head_ref, &head, &head_found);
        if (r >= 0)
                r = fetch_refs(f);
        if (r < 0)
                return r;
        if (head_ref) {
                r = git_repository_set_head(f->repository, head_ref);
                if (r < 0)
                        return output_fail_git(r, "cannot write the cache");
        }
        r = resolve(f, head_ref, &head, head_found, &ref, &commit);
        return r < 0 ? r : make_result(f, head_ref, ref, &commit, ret);
}

int verb_fetch(const Request *request, Json **ret) {
        _cleanup_(cache_done) Cache cache = CACHE_INIT;
        _cleanup_(fetch_done) Fetch f = { .request = request, .cache = &cache, .repository_fd = -EBADF };
        int r;

        f.what = request->parsed.scheme == GIT_SCHEME_FILE ?
                strdup("cannot fetch") :
                xasprintf("cannot fetch from %s", request->parsed.host);
        if (!f.what)
                return output_fail("failed", "out of memory");
        r = credentials_load(request, &f.credentials);
        if (r >= 0)
                r = cache_lock(request, &cache);
        if (r >= 0 && request->parsed.scheme == GIT_SCHEME_SSH)
                r = hostkeys_load(request, cache.home, &f.host_keys);
        if (r >= 0)
                r = git_start(request);
        if (r >= 0)
                r = set_certificates(request);
        if (r < 0)
                return r;
        guard_set(&request->parsed, request->allow_loopback);
        r = fetch_run(&f, ret);
        if (r < 0)
                cache_clean(&cache);
        return r;
}
