/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fileio.h"

int read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *data = NULL;
        size_t size = 0, allocated = 0;

        fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0)
                return -errno;
        for (;;) {
                if (size + 1 >= allocated) {
                        size_t grown = MIN(MAX(allocated * 2, (size_t) 4096), max + 2);
                        char *p = realloc(data, grown);
                        if (!p)
                                return -ENOMEM;
                        data = p;
                        allocated = grown;
                }
                ssize_t n = read(fd, data + size, allocated - size - 1);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        break;
                size += (size_t) n;
                if (size > max)
                        return -E2BIG;
        }
        data[size] = 0;
        *ret = TAKE_PTR(data);
        if (ret_size)
                *ret_size = size;
        return 0;
}

int fds_pack(int fds[], unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if ((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 16)) < 0)
                        return -errno;
        for (unsigned i = 0; i < n; i++)
                if ((fds[i] = dup2(fds[i], 3 + (int) i)) < 0)
                        return -errno;
        return close_range(3 + n, ~0U, 0) < 0 ? -errno : 0;
}

int fds_send(int socket, const void *data, size_t size, const int *fds, size_t n) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(FDS_SEND_MAX * sizeof(int))];
        } ancillary = {};
        struct iovec iov = { .iov_base = (void *) data, .iov_len = size };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n > FDS_SEND_MAX)
                return -E2BIG;
        if (n > 0) {
                m.msg_control = &ancillary;
                m.msg_controllen = CMSG_SPACE(n * sizeof(int));
                ancillary.header = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(n * sizeof(int)),
                };
                memcpy(CMSG_DATA(&ancillary.header), fds, n * sizeof(int));
        }
        return sendmsg(socket, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* offset NULL: at the descriptor's own position. */
static int write_at(int fd, const char *data, size_t size, uint64_t *offset) {
        while (size > 0) {
                ssize_t n = offset ? pwrite(fd, data, size, (off_t) *offset) : write(fd, data, size);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                data += n;
                size -= (size_t) n;
                if (offset)
                        *offset += (uint64_t) n;
        }
        return 0;
}

int write_all(int fd, const void *data, size_t size) {
        return write_at(fd, data, size, NULL);
}

int pwrite_all(int fd, const void *data, size_t size, uint64_t offset) {
        return write_at(fd, data, size, &offset);
}

int write_file_atomic_at(int dirfd, const char *name, const void *data, size_t size, mode_t mode) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *temporary = NULL;
        int r;

        temporary = xasprintf(".%s.%016llx", name, (unsigned long long) random_u64());
        if (!temporary)
                return -ENOMEM;
        fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        r = write_all(fd, data, size);
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r >= 0 && renameat(dirfd, temporary, dirfd, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(dirfd, temporary, 0);
        return r;
}

int mkdir_open_at(int dirfd, const char *name, mode_t mode) {
        if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
                return -errno;
        int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

int mkdir_parents(const char *path, mode_t mode) {
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *p = copy + 1;; p++) {
                if (*p != '/' && *p != 0)
                        continue;
                char c = *p;
                *p = 0;
                if (mkdir(copy, mode) < 0 && errno != EEXIST)
                        return -errno;
                if (c == 0)
                        return 0;
                *p = c;
        }
}

int remove_contents(int fd_consume, dev_t device, bool own, const volatile bool *stop) {
        DIR *d = fdopendir(fd_consume);
        int first = 0;

        if (!d) {
                first = -errno;
                safe_close(fd_consume);
                return first;
        }
        for (struct dirent *e; !(stop && *stop) && (e = readdir(d));) {
                int fd = dirfd(d), sub, r = 0;
                struct stat st;

                if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
                    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISDIR(st.st_mode)) {
                        /* Caches of some languages are directories without permission to write. */
                        if (own && (st.st_mode & 0700) != 0700 && fchmodat(fd, e->d_name, 0700, 0) < 0)
                                r = -errno;
                        if (r >= 0 && st.st_dev != device)
                                r = -EXDEV;
                        if (r >= 0) {
                                sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                                r = sub < 0 ? -errno : remove_contents(sub, device, own, stop);
                        }
                }
                if (r >= 0 && unlinkat(fd, e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
                        r = -errno;
                if (r < 0 && r != -ENOENT && first == 0)
                        first = r;
        }
        (void) closedir(d);
        return first == 0 && stop && *stop ? -ECANCELED : first;
}

int remove_tree_at(int dirfd, const char *name) {
        struct stat st;
        int fd, r;

        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISDIR(st.st_mode))
                return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        r = remove_contents(fd, st.st_dev, false, NULL);
        if (r < 0)
                return r;
        return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
