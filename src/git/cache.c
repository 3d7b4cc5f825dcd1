/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/fileio.h"
#include "git/cache.h"
#include "git/output.h"

#define ROOM_MIN (UINT64_C(256) * 1024 * 1024)

void cache_done(Cache *c) {
        free(c->base);
        free(c->name);
        free(c->home);
        safe_close(c->base_fd);
        safe_close(c->lock_fd);
        *c = (Cache) CACHE_INIT;
}

bool cache_has_room(int fd) {
        struct statvfs s;

        if (fstatvfs(fd, &s) < 0)
                return true;
        uint64_t all = (uint64_t) s.f_blocks * s.f_frsize, available = (uint64_t) s.f_bavail * s.f_frsize;
        return available >= MIN(ROOM_MIN, all / 20);
}

/* Under the lock no other process writes: a lock file or a temporary file of libgit2's is that of a killed process. */
static bool is_rubbish(const char *name) {
        return endswith(name, ".lock") || strstr(name, "_git2_") || startswith(name, "tmp_");
}

static void clean_directory(int dirfd_consumed, unsigned depth) {
        DIR *d = fdopendir(dirfd_consumed);

        if (!d) {
                safe_close(dirfd_consumed);
                return;
        }
        for (struct dirent *e; (e = readdir(d));) {
                struct stat st;

                if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
                    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISREG(st.st_mode) && is_rubbish(e->d_name))
                        (void) unlinkat(dirfd(d), e->d_name, 0);
                else if (S_ISDIR(st.st_mode) && depth > 0) {
                        int sub = openat(
                                dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                        if (sub >= 0)
                                clean_directory(sub, depth - 1);
                }
        }
        (void) closedir(d);
}

static void clean_repository(int base_fd, const char *name) {
        static const struct {
                const char *path;
                unsigned depth;
        } places[] = { { "", 0 }, { "objects", 0 }, { "objects/pack", 0 }, { "refs", 16 } };

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *path = xasprintf("%s.git/%s", name, places[i].path);
                int fd = path ? openat(base_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
                if (fd >= 0)
                        clean_directory(fd, places[i].depth);
        }
        _cleanup_free_ char *fresh = xasprintf("%s.new", name);
        if (fresh)
                (void) remove_tree_at(base_fd, fresh);
}

void cache_clean(const Cache *c) {
        clean_repository(c->base_fd, c->name);
}

/* A repository that is not requested again would keep its half of a pack forever. */
static void clean_others(const Cache *c) {
        int fd = openat(c->base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

        if (!d) {
                safe_close(fd);
                return;
        }
        for (struct dirent *e; (e = readdir(d));) {
                _cleanup_close_ int lock = -EBADF;
                char name[GITURL_KEY_SIZE];

                if (strlen(e->d_name) != strlen("0123456789abcdef.lock") || !endswith(e->d_name, ".lock"))
                        continue;
                memcpy(name, e->d_name, sizeof(name) - 1);
                name[sizeof(name) - 1] = 0;
                if (streq(name, c->name))
                        continue;
                lock = openat(c->base_fd, e->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
                if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
                        clean_repository(c->base_fd, name);
        }
        (void) closedir(d);
}

/* <base>/<key>.git, where the key is that of the address: no request can mix two repositories up. */
static int split_path(const Request *request, Cache *c) {
        const char *slash = strrchr(request->cache, '/');
        char key[GITURL_KEY_SIZE];

        if (giturl_key(&request->parsed, key) < 0)
                return output_fail("failed", "out of memory");
        if (slash == request->cache || strlen(slash + 1) != GITURL_KEY_SIZE - 1 + strlen(".git") ||
            memcmp(slash + 1, key, GITURL_KEY_SIZE - 1) != 0 || !endswith(slash, ".git"))
                return output_fail(
                        "request",
                        "cache does not belong to this address: its name has to end in %s.git",
                        key);
        c->base = strndup(request->cache, (size_t) (slash - request->cache));
        c->name = strdup(key);
        c->home = c->base ? xasprintf("%s/%s.home", c->base, key) : NULL;
        return c->home && c->name ? 0 : output_fail("failed", "out of memory");
}

static int open_base(Cache *c) {
        struct stat st;
        int r;

        assert(c->base);
        r = mkdir_parents(c->base, 0755);
        if (r < 0)
                return output_fail(
                        r == -ENOSPC ? "no-space" : "failed",
                        "failed to create %s: %s",
                        c->base,
                        strerror(-r));
        c->base_fd = open(c->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c->base_fd < 0 || fstat(c->base_fd, &st) < 0)
                return output_fail("failed", "failed to open %s: %s", c->base, strerror(errno));
        if (st.st_uid != geteuid() || (st.st_mode & 0022))
                return output_fail(
                        "failed",
                        "%s has to belong to the user who fetches and must not be writable to other users",
                        c->base);
        return 0;
}

int cache_lock(const Request *request, Cache *ret) {
        _cleanup_(cache_done) Cache c = CACHE_INIT;
        _cleanup_free_ char *lock = NULL, *home = NULL;
        int r;

        r = split_path(request, &c);
        if (r >= 0)
                r = open_base(&c);
        if (r < 0)
                return r;
        lock = xasprintf("%s.lock", c.name);
        home = xasprintf("%s.home", c.name);
        if (!lock || !home)
                return output_fail("failed", "out of memory");
        c.lock_fd = openat(c.base_fd, lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (c.lock_fd < 0)
                return output_fail(
                        errno == ENOSPC ? "no-space" : "failed",
                        "failed to create %s/%s: %s",
                        c.base,
                        lock,
                        strerror(errno));
        if (flock(c.lock_fd, LOCK_EX | LOCK_NB) < 0) {
                output_progress("waiting", 0, 0, 0);
                while (flock(c.lock_fd, LOCK_EX) < 0)
                        if (errno != EINTR)
                                return output_fail(
                                        "failed", "failed to lock %s/%s: %s", c.base, lock, strerror(errno));
        }
        clean_repository(c.base_fd, c.name);
        clean_others(&c);
        if (!cache_has_room(c.base_fd))
                return output_fail("no-space", "the file system of %s is almost full", c.base);
        r = mkdir_open_at(c.base_fd, home, 0700);
        if (r < 0)
                return output_fail("failed", "failed to create %s: %s", c.home, strerror(-r));
        safe_close(r);
        *ret = c;
        c = (Cache) CACHE_INIT;
        return 0;
}

/* Built under another name, so that what has the right one is whole. */
static int make_repository(const Cache *c, const Request *request) {
        _cleanup_free_ char *path = xasprintf("%s/%s.new", c->base, c->name),
                            *from = xasprintf("%s.new", c->name), *to = xasprintf("%s.git", c->name);
        git_repository_init_options options = GIT_REPOSITORY_INIT_OPTIONS_INIT;
        git_repository *repository = NULL;
        git_config *config = NULL;
        int r;

        if (!path || !from || !to)
                return output_fail("failed", "out of memory");
        options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_NO_DOTGIT_DIR |
                GIT_REPOSITORY_INIT_MKDIR;
        options.mode = 0755;
        options.initial_head = "main";
        r = git_repository_init_ext(&repository, path, &options);
        if (r >= 0)
                r = git_repository_config(&config, repository);
        /* Checkouts borrow objects from here: nothing may ever be collected. */
        if (r >= 0)
                r = git_config_set_int32(config, "gc.auto", 0);
        if (r >= 0)
                r = git_config_set_string(config, "gc.pruneExpire", "never");
        if (r >= 0)
                r = git_config_set_string(config, "remote.origin.url", request->url);
        if (r >= 0 && renameat(c->base_fd, from, c->base_fd, to) < 0)
                r = output_fail("failed", "failed to rename %s: %s", path, strerror(errno));
        git_config_free(config);
        git_repository_free(repository);
        if (r < 0) {
                (void) output_fail_git(r, "failed to create the cache");
                (void) remove_tree_at(c->base_fd, from);
                return -EIO;
        }
        return 0;
}

int cache_open(const Cache *c, const Request *request, git_repository **ret) {
        _cleanup_free_ char *name = xasprintf("%s.git", c->name), *path = NULL;
        struct stat st;
        int r;

        path = name ? xasprintf("%s/%s", c->base, name) : NULL;
        if (!path)
                return output_fail("failed", "out of memory");
        if (fstatat(c->base_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                r = make_repository(c, request);
                if (r < 0)
                        return r;
        } else if (!S_ISDIR(st.st_mode))
                return output_fail("failed", "%s is not a directory", path);
        r = git_repository_open_ext(
                ret, path, GIT_REPOSITORY_OPEN_BARE | GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
        if (r < 0) {
                (void) output_fail_git(
                        r,
                        "the cache is damaged; remove it, so that the next fetch creates a new one "
                        "(checkouts that borrow from it need what it holds)");
                return -EIO;
        }
        return 0;
}
