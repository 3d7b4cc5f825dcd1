/* SPDX-License-Identifier: MIT */
#pragma once

#include <git2.h>

#include "git/request.h"

/* The credential of one operation: a token for https or a private key for ssh, read from the first inherited
 * descriptor and offered once. */
typedef struct Credentials {
        const Request *request;
        char *secret; /* NUL-terminated, erased when done */
        size_t size;
        unsigned asked;
        bool offered;
} Credentials;

/* Reads the one that the request announces; none is none, and no failure. request is borrowed for the life of *ret, which is
 * for credentials_done() also after a failure. Returns 0, or -EIO after output_fail(). */
int credentials_load(const Request *request, Credentials *ret);
void credentials_done(Credentials *c);
/* For another connection, after one on which the credential was good. */
void credentials_rearm(Credentials *c);
/* libgit2's git_credential_acquire_cb, with c as payload's credentials. *ret is libgit2's to free. Returns 0, or
 * a libgit2 error (GIT_EAUTH after output_fail()). */
int credentials_acquire(Credentials *c, git_credential **ret, const char *username, unsigned allowed);
