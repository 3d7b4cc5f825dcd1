/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/git-bounds.h"
#include "common/json.h"

/* What may stand in repository {} of a message: pure checks, before anything is accepted. */

typedef struct GitConfig {
        const char *cache_dir;                  /* or NULL: NF_GITCACHEDIR */
        const char *ca_file, *known_hosts_file; /* or NULL: the system's; read by northflare-git */
        const char *token_file,
                *ssh_key_file;         /* credentials, or NULL; read by the runner, passed by descriptor */
        char *const *credential_hosts; /* hosts that are given a credential, or NULL: every one */
        const char *username;          /* for https, default "x-access-token" */
        bool allow_loopback;           /* tests and self-hosting: loopback hosts, http, file */
        uint64_t timeout_usec;
        uint64_t bounds[_GIT_BOUND_MAX]; /* 0: northflare-git's own default */
} GitConfig;

/* Checks repository {url, branch, baseBranch, commit} without touching anything: 0, or -EINVAL and a sentence that
 * names the member. https and ssh only, no loopback or link-local host unless allowed; no option-like branch names. */
int checkout_check(Json *repository, const GitConfig *config, char **ret_error);

/* The branch that a conversation works on, for the caller to free: the requested one, else northflare/<conversation>. */
char *checkout_branch(Json *repository, const char *conversation);
