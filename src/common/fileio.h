/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

#include "common/util.h"

/* Files below a directory descriptor, never through a symbolic link in the last component. */

/* The whole file, at most max bytes (-E2BIG where it is longer), with a NUL behind it.
 * ret_size may be NULL. Returns 0 or negative errno. */
int read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size);

/* Moves the descriptors to 3, 4, … and closes all others from 3 on. Each has close-on-exec off afterwards; fds has the
 * new numbers. Returns 0 or negative errno. */
int fds_pack(int fds[], unsigned n);

/* Sends one message, and n descriptors with it (0: none; fds may be NULL then), over a Unix socket. Returns 0 or negative
 * errno. */
#define FDS_SEND_MAX 16
int fds_send(int socket, const void *data, size_t size, const int *fds, size_t n);

/* Writes all of data to fd, at the file position. Returns 0 or negative errno. */
int write_all(int fd, const void *data, size_t size);
/* The same at an offset, which the file position does not follow. */
int pwrite_all(int fd, const void *data, size_t size, uint64_t offset);

/* Writes name by way of a temporary file and rename, fsync before the rename: either the old contents or the
 * new are there, never half. */
int write_file_atomic_at(int dirfd, const char *name, const void *data, size_t size, mode_t mode);

/* Makes directory name below dirfd with that mode where it is missing, and opens it. A symbolic link or
 * anything else of that name is -ENOTDIR or -ELOOP. Returns the descriptor or negative errno. */
int mkdir_open_at(int dirfd, const char *name, mode_t mode);

/* Makes every missing directory of path with that mode. Returns 0 or negative errno. */
int mkdir_parents(const char *path, mode_t mode);

/* Removes the contents of a directory. Where something cannot be removed, the rest is removed nevertheless, and the first
 * error is returned; what another process removes meanwhile is none. device: its own, which is not left. own: all there
 * belongs to the caller, who may change modes. stop (may be NULL): ends it early when it is true, with -ECANCELED where there
 * was no error before. */
int remove_contents(int fd_consume, dev_t device, bool own, const volatile bool *stop);

/* Removes name and all below it, without following links or leaving the file system. -ENOENT is success. */
int remove_tree_at(int dirfd, const char *name);
