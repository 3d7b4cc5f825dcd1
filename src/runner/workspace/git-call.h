/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/workspace/workspace.h"

/* One run of northflare-git: a request in, progress and one answer out. What runs as an agent's user can be tampered
 * with by any agent of that user, so nothing in an answer is believed before the caller has checked it. */
typedef struct GitCall GitCall;

/* line: one progress object, already checked. result: the answer, borrowed; NULL with an error and a text. Runs once,
 * never from inside git_call_start; the call may be freed inside. */
typedef void (*GitCallDone)(int error, const char *text, Json *result, void *userdata);

typedef struct GitCallParams {
        ScopeKind kind; /* SCOPE_GIT or SCOPE_HOOK */
        const char *verb, *id, *workspace;
        Json *request;
        const uint64_t
                *bounds; /* borrowed for the call, _GIT_BOUND_MAX of them; 0: northflare-git's own default */
        int credential_fd; /* borrowed, or -EBADF */
        uint64_t timeout_usec;
        CheckoutProgress progress; /* may be NULL */
        GitCallDone done;
        void *userdata;
} GitCallParams;

int git_call_start(const OperationContext *context, const GitCallParams *params, GitCall **ret);
GitCall *git_call_free(GitCall *c); /* cancels */
DEFINE_TRIVIAL_CLEANUP_FUNC(GitCall *, git_call_free);
