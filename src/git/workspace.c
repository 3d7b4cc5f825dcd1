/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/fileio.h"
#include "common/ident.h"
#include "git/output.h"
#include "git/process.h"
#include "git/start.h"
#include "git/status.h"
#include "git/workspace.h"

/* The whole directory of a workspace, which is the working directory here: measures it and removes it. It was
 * written by agents: it may be deep, unreadable, full of links, and change while it is read. */

#define CHECKOUTS_MAX 256

typedef struct Sum {
        dev_t device;
        uint64_t bytes, files;
        bool partial; /* something could not be read */
} Sum;

/* One level deeper needs one descriptor more. */
static void allow_depth(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_directory(int dirfd, const char *name) {
        int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : fd;
}

static bool is_dots(const char *name) {
        return streq(name, ".") || streq(name, "..");
}

/* A file with several names is counted in parts, so that together they make one. */
static void sum_up(int fd_consumed, Sum *s) {
        DIR *d = fdopendir(fd_consumed);

        if (!d) {
                safe_close(fd_consumed);
                s->partial = true;
                return;
        }
        for (struct dirent *e; !stop_asked && (e = readdir(d));) {
                struct stat st;
                int sub;

                if (is_dots(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (st.st_dev != s->device) {
                        s->partial = true;
                        continue;
                }
                s->files++;
                s->bytes += (uint64_t) st.st_blocks * 512 /
                        (S_ISDIR(st.st_mode) ? 1 : MAX((uint64_t) st.st_nlink, UINT64_C(1)));
                if (!S_ISDIR(st.st_mode))
                        continue;
                sub = open_directory(dirfd(d), e->d_name);
                if (sub < 0)
                        s->partial = true;
                else
                        sum_up(sub, s);
        }
        (void) closedir(d);
}

static int measure(const char *path, Json *o) {
        Sum s = {};
        struct stat st;
        int fd = open_directory(AT_FDCWD, path);

        if (fd < 0 || fstat(fd, &st) < 0) {
                safe_close(fd);
                return json_set_bool(o, "partial", true);
        }
        s.device = st.st_dev;
        sum_up(fd, &s);
        if (json_set_u64(o, "bytes", s.bytes) < 0 || json_set_u64(o, "files", s.files) < 0)
                return -ENOMEM;
        return s.partial ? json_set_bool(o, "partial", true) : 0;
}

static int add_checkout(Json *list, const char *name) {
        _cleanup_free_ char *path = xasprintf("checkouts/%s", name);
        Json *o = json_object_new_object();
        const char *branch;

        if (!path || !o || json_set_string(o, "conversation", ident_is_valid(name) ? name : "?") < 0 ||
            measure(path, o) < 0 || json_object_array_add(list, o) < 0) {
                json_object_put(o);
                return -ENOMEM;
        }
        /* One that is no repository any more may be the only place of what is in it. */
        if (checkout_read(path, o) < 0)
                return json_set_bool(o, "unreadable", true);
        branch = json_get_string(o, "branch");
        if (branch && !gitref_branch_is_valid(branch))
                json_object_object_del(o, "branch");
        return 0;
}

static int add_checkouts(Json *result) {
        Json *list = json_object_new_array();
        int r = json_set(result, "checkouts", list), fd;
        size_t n = 0;
        DIR *d;

        if (r < 0)
                return r;
        fd = open_directory(AT_FDCWD, "checkouts");
        if (fd < 0)
                return 0;
        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                return -ENOMEM;
        }
        for (struct dirent *e; r >= 0 && !stop_asked && (e = readdir(d));)
                if (!is_dots(e->d_name))
                        r = n++ < CHECKOUTS_MAX ? add_checkout(list, e->d_name) :
                                                  json_set_bool(result, "partial", true);
        (void) closedir(d);
        return r;
}

/* That it is the directory that is meant, and not where this program was called by hand. */
static int check_place(const Request *request) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        const char *name = cwd ? strrchr(cwd, '/') : NULL;

        if (!name || !streq(name + 1, request->key))
                return output_fail("request", "the working directory is not that of the workspace");
        return 0;
}

static int measure_all(const Request *request, Json *o) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        struct passwd *user = getpwuid(geteuid());

        if (!cwd || json_set_string(o, "type", "result") < 0 || json_set_string(o, "directory", cwd) < 0 ||
            json_set_string(o, "user", user ? user->pw_name : NULL) < 0 || measure(".", o) < 0 ||
            add_checkouts(o) < 0)
                return output_fail("failed", "out of memory");
        return stop_asked ? output_fail("stopped", "the operation was stopped") : 0;
}

/* What both verbs begin with. */
static int measure_workspace(const Request *request, Json *o) {
        int r = check_place(request);

        if (r < 0)
                return r;
        allow_depth();
        r = git_start(request);
        return r < 0 ? r : measure_all(request, o);
}

int verb_measure(const Request *request, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        int r = measure_workspace(request, o);

        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

/* What is only here: said, and then nothing is removed. */
static int check_saved(Json *o) {
        Json *list = json_get(o, "checkouts");

        if (json_get(o, "partial"))
                return output_fail("unsaved", "not everything in it can be read");
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                Json *c = json_object_array_get_idx(list, i);
                const char *name = strempty(json_get_string(c, "conversation"));
                uint64_t unpushed = 0;
                bool dirty = false;

                (void) json_get_bool(c, "dirty", &dirty);
                (void) json_get_u64(c, "unpushed", &unpushed);
                if (json_get(c, "unreadable") || dirty || unpushed > 0)
                        return output_fail(
                                "unsaved",
                                "the checkout of %.64s has %s",
                                name,
                                json_get(c, "unreadable") ? "no readable repository" :
                                        dirty             ? "uncommitted changes" :
                                                            "unpushed commits");
        }
        return 0;
}

int verb_remove(const Request *request, Json **ret) {
        _cleanup_json_ Json *o = json_object_new_object();
        struct stat st;
        int r = measure_workspace(request, o), fd;

        if (r >= 0 && !request->force)
                r = check_saved(o);
        if (r < 0)
                return r;
        fd = open_directory(AT_FDCWD, ".");
        if (fd < 0 || fstat(fd, &st) < 0)
                return output_fail("failed", "failed to open the directory: %s", strerror(errno));
        r = remove_contents(fd, st.st_dev, true, &stop_asked);
        if (r < 0)
                return output_fail(
                        "failed", "failed to remove everything in the directory: %s", strerror(-r));
        fd = open_directory(AT_FDCWD, "..");
        r = fd < 0 ? fd : unlinkat(fd, request->key, AT_REMOVEDIR) < 0 ? -errno : 0;
        safe_close(fd);
        if (r < 0)
                return output_fail("failed", "failed to remove the directory: %s", strerror(-r));
        *ret = TAKE_PTR(o);
        return 0;
}
