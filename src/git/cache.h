/* SPDX-License-Identifier: MIT */
#pragma once

#include <git2.h>

#include "git/request.h"

/* The bare cache of one repository, <base>/<key>.git, beside <key>.lock, which is held while it is written. Readers take
 * no lock: objects are added and never removed. */
typedef struct Cache {
        char *base, *name; /* name without ".git" */
        char *home;        /* <base>/<key>.home: what ssh needs, see hostkeys.h */
        int base_fd, lock_fd;
} Cache;
#define CACHE_INIT \
        { .base_fd = -EBADF, .lock_fd = -EBADF }

/* Makes what is missing, waits for the lock, and takes away what a killed fetch (of this or another repository) left.
 * What is in *ret is for cache_done(). Returns 0, or -EIO after output_fail(). */
int cache_lock(const Request *request, Cache *ret);
/* Opens the repository, or makes it first. libgit2 is started. *ret is for the caller to free. Returns 0, or -EIO after
 * output_fail(). */
int cache_open(const Cache *c, const Request *request, git_repository **ret);
/* Takes away what a fetch that failed has left; the lock is held. */
void cache_clean(const Cache *c);
/* Frees what cache_lock() made, and gives the lock back. */
void cache_done(Cache *c);

/* Whether the file system of fd still has the room that has to stay free: 256 MiB or a twentieth of it, the less. Also true
 * where it cannot be asked. */
bool cache_has_room(int fd);
