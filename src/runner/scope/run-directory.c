/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fileio.h"
#include "runner/scope/run-directory.h"

#define STARTED_MAX (64 * 1024)
#define OUTCOME_MAX (256 * 1024)
#define CONCLUDING "concluding"

int run_directory_open(int parentfd, const char *name) {
        int fd = openat(parentfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

/* For people to read: the runner has the same in its store, so it is not worth a wait for the disk. */
static int write_spec(int dirfd, const char *spec) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(dirfd, "spec.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        return fd < 0 ? -errno : write_all(fd, spec, strlen(spec));
}

int run_directory_make(int parentfd, const char *name, const char *spec) {
        _cleanup_close_ int fd = -EBADF, in = -EBADF;
        int r;

        fd = mkdir_open_at(parentfd, name, RUN_DIRECTORY_MODE);
        if (fd < 0)
                return fd;
        r = write_spec(fd, spec);
        if (r < 0)
                return r;
        in = openat(fd, "in.log", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (in < 0)
                return -errno;
        if (mkfifoat(fd, "bell", 0600) < 0 && errno != EEXIST)
                return -errno;
        return TAKE_FD(fd);
}

int run_directory_write_input(int dirfd, uint64_t offset, const void *data, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = openat(dirfd, "in.log", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if ((uint64_t) st.st_size < offset)
                return -EUCLEAN;
        return pwrite_all(fd, data, size, offset);
}

int run_directory_input_size(int dirfd, uint64_t *ret) {
        struct stat st;

        if (fstatat(dirfd, "in.log", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        *ret = (uint64_t) st.st_size;
        return 0;
}

int run_directory_ring(int dirfd, char what) {
        _cleanup_close_ int fd = openat(dirfd, "bell", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return -errno;
        ssize_t n = write(fd, &what, 1);
        /* A full FIFO is full of rings: for 'w' that is as good as one more. */
        if (n < 0 && errno == EAGAIN && what == 'w')
                return 0;
        return n < 0 ? -errno : 0;
}

int run_directory_is_started(int dirfd) {
        struct stat st;

        if (fstatat(dirfd, "started", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        return 1;
}

void run_directory_mark_conclusion(int dirfd, bool concluding) {
        if (dirfd < 0)
                return;
        if (concluding)
                safe_close(openat(
                        dirfd, CONCLUDING, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
        else
                (void) unlinkat(dirfd, CONCLUDING, 0);
}

bool run_directory_is_concluding(int dirfd) {
        return faccessat(dirfd, CONCLUDING, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static int read_json(int dirfd, const char *name, size_t max, Json **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(dirfd, name, max, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        /* The supervisor writes few words here, so the tightest bound will do. */
        r = json_parse_from(JSON_OF_AGENT, text, size, ret, NULL);
        return r < 0 ? r : 1;
}

int run_directory_read_started(int dirfd, Json **ret) {
        int r = read_json(dirfd, "started", STARTED_MAX, ret);
        return r == -EBADMSG ? 0 : r;
}

int run_directory_read_outcome(int dirfd, Json **ret) {
        return read_json(dirfd, "outcome.json", OUTCOME_MAX, ret);
}

int run_directory_open_output(int dirfd) {
        int fd = openat(dirfd, "out.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

int cgroup_is_populated(const char *cgroup) {
        /* The unified hierarchy is at one of two places: pure, or beside a version 1 tree. */
        static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

        for (size_t i = 0; i < ELEMENTSOF(roots); i++) {
                _cleanup_free_ char *path = xasprintf("%s%s/cgroup.events", roots[i], cgroup), *text = NULL;
                if (!path)
                        return -ENOMEM;
                int r = read_file_at(AT_FDCWD, path, 4096, &text, NULL);
                if (r == -ENODEV)
                        return 0;
                if (r < 0)
                        continue;
                return strstr(text, "populated 1") ? 1 : 0;
        }
        return 0;
}
