/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/scope/operation.h"
#include "runner/workspace/repository.h"

/* The checkout of a conversation's repository: fetch into the shared bare cache as northflare-git (the only step that
 * sees the network and the credentials), then a clone with alternates as the agent user of the workspace. Running it
 * again for the same conversation (the runner was killed in the middle) finds a finished checkout or starts again. */
typedef struct Checkout Checkout;

/* progress: members of a git.progress event, {"phase":…,"received":…,"total":…,"bytes":…}. */
typedef void (*CheckoutProgress)(Json *progress, void *userdata);
/* error 0: directory (absolute, the agent's view), branch and head (either NULL where an agent has left none to be
 * read in a checkout of its own); else a negative errno and a sentence for people that holds no credential. Runs once,
 * never from inside checkout_start; the checkout may be freed inside, the strings live until it returns. */
typedef void (*CheckoutDone)(
        int error,
        const char *text,
        const char *directory,
        const char *branch,
        const char *head,
        void *userdata);

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

/* How a checkout stands, asked as the agent's user: {"branch","head","dirty","unpushed"}, the first two left out where
 * there is none, borrowed for the call; NULL with an error. The same rules as for CheckoutDone. */
typedef struct CheckoutStatus CheckoutStatus;
typedef void (*CheckoutStatusDone)(int error, const char *text, Json *status, void *userdata);
int checkout_status_start(
        const OperationContext *context,
        const GitConfig *config,
        const char *conversation,
        const char *workspace,
        const char *directory,
        CheckoutStatusDone done,
        void *userdata,
        CheckoutStatus **ret);
CheckoutStatus *checkout_status_free(CheckoutStatus *s); /* cancels */
DEFINE_TRIVIAL_CLEANUP_FUNC(CheckoutStatus *, checkout_status_free);
