/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/conversation/operation.h"

/* The checkout of a conversation's repository: fetch into the shared bare cache as northflare-git (the only step that
 * sees the network and the credentials), then a clone with alternates as the agent user of the workspace. Running it
 * again for the same conversation (the runner was killed in the middle) finds a finished checkout or begins anew. */
typedef struct Checkout Checkout;

typedef struct GitConfig {
        const char *ca_file, *known_hosts_file;     /* or NULL: the system's */
        const char *token_file, *ssh_key_file;      /* credentials, or NULL; read by the runner, passed by descriptor */
        const char *username;                       /* for https, default "x-access-token" */
        bool allow_loopback;                        /* tests and self-hosting: loopback hosts, http, file */
        uint64_t timeout_usec;
} GitConfig;

/* Checks repository {url, branch, baseBranch, commit} without touching anything: 0, or -EINVAL and a sentence that
 * names the member. https and ssh only, no loopback or link-local host unless allowed; no option-like branch names. */
int checkout_check(Json *repository, const GitConfig *config, char **ret_error);

/* progress: members of a git.progress event, {"phase":…,"received":…,"total":…,"bytes":…}. */
typedef void (*CheckoutProgress)(Json *progress, void *userdata);
/* error 0: directory (absolute, the agent's view) and branch; else a negative errno and a sentence for people that
 * holds no credential. Runs once, never from inside checkout_start. */
typedef void (*CheckoutDone)(int error, const char *text, const char *directory, const char *branch, const char *head, void *userdata);

int checkout_start(
                const OperationContext *context,
                const GitConfig *config,
                const char *conversation,
                const char *workspace,
                Json *repository,
                CheckoutProgress progress,
                CheckoutDone done,
                void *userdata,
                Checkout **ret);
Checkout *checkout_free(Checkout *c); /* cancels */
DEFINE_TRIVIAL_CLEANUP_FUNC(Checkout *, checkout_free);
