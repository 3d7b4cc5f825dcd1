/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/scope/operation.h"
#include "runner/workspace/repository.h"

/* A call about the directory of a workspace. It belongs to an agent user, so it is measured and removed as that user. */
typedef struct DirectoryCall DirectoryCall;

/* result: {"directory","user","bytes","files","partial","checkouts":[{"conversation","branch","head","dirty","unpushed",
 * "bytes","files","unreadable"}]}, checked, borrowed for the call; what is not known is left out. NULL with an error: a
 * negative errno (-ENOTEMPTY: something in it is nowhere else, nothing was removed) and a sentence. Runs once, never from
 * inside directory_call_start(); the call may be freed inside. */
typedef void (*DirectoryCallDone)(int error, const char *text, Json *result, void *userdata);

typedef enum DirectoryVerb {
        DIRECTORY_MEASURE,
        DIRECTORY_REMOVE,
        DIRECTORY_REMOVE_FORCE, /* whatever is in it */
} DirectoryVerb;

int directory_call_start(
        const OperationContext *context,
        const GitConfig *config,
        const char *workspace,
        DirectoryVerb verb,
        DirectoryCallDone done,
        void *userdata,
        DirectoryCall **ret);
DirectoryCall *directory_call_free(DirectoryCall *f); /* cancels */
DEFINE_TRIVIAL_CLEANUP_FUNC(DirectoryCall *, directory_call_free);
