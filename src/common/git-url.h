/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/socket.h>

#include "common/util.h"

/* Addresses of repositories, names of branches and commits: pure checks, which the runner makes before it accepts a
 * message and northflare-git makes again before it acts on one. Whatever is unusual is refused rather than guessed at,
 * so that this parser and libgit2's cannot read the same text in two ways. */

typedef enum GitScheme {
        GIT_SCHEME_HTTPS,
        GIT_SCHEME_SSH,
        GIT_SCHEME_HTTP, /* these two only where loopback hosts are allowed */
        GIT_SCHEME_FILE,
} GitScheme;

typedef struct GitUrl {
        GitScheme scheme;
        bool scp;      /* the short form of ssh, git@host:path */
        char *user;    /* ssh only, or NULL */
        char *host;    /* lower case, no brackets, no dot at the end; "" for file */
        uint16_t port; /* 0 for file */
        char *path;    /* begins with "/", but for the short form */
} GitUrl;

void giturl_done(GitUrl *u);
#define _cleanup_giturl_ _cleanup_(giturl_done)

/* Takes an address apart. -EINVAL and a sentence (for the caller to free) that never repeats the address where it may
 * hold a password. */
int giturl_parse(const char *url, GitUrl *ret, char **ret_error);

/* Whether a repository may be fetched from there: 0, or -EPERM and a sentence. allow_loopback lets loopback hosts in,
 * and with them http and file. */
int giturl_check(const GitUrl *u, bool allow_loopback, char **ret_error);

/* The name of its cache: 16 hex digits of the SHA-256 of the normalised address. */
#define GITURL_KEY_SIZE 17
int giturl_key(const GitUrl *u, char ret[static GITURL_KEY_SIZE]);

/* Whether one may connect there: never to an unspecified, link-local, multicast, or cloud metadata address, and to a
 * loopback address only where allowed. IPv4 addresses inside IPv6 ones (mapped, NAT64, 6to4) count as what they hold. */
bool giturl_address_is_allowed(const struct sockaddr *sa, socklen_t size, bool allow_loopback);

/* A name that git accepts below refs/heads/ and no program takes for an option. */
#define GIT_BRANCH_MAX 200
bool gitref_branch_is_valid(const char *name);
/* A whole object name: 40 lower-case hex digits. */
bool gitref_commit_is_valid(const char *commit);
