/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/scope/operation.h"
#include "runner/workspace/repository.h"

/* The folder of a workspace, which is an agent user's and not ours to look into: asked and removed as that user. */
typedef struct Folder Folder;

/* result: {"directory","user","bytes","files","partial","checkouts":[{"conversation","branch","head","dirty","unpushed",
 * "bytes","files","unreadable"}]}, checked, borrowed for the call; what is not known is left out. NULL with an error: a
 * negative errno (-ENOTEMPTY: something in it is nowhere else, nothing was removed) and a sentence. Runs once, never from
 * inside folder_start; the folder may be freed inside. */
typedef void (*FolderDone)(int error, const char *text, Json *result, void *userdata);

typedef enum FolderVerb {
        FOLDER_MEASURE,
        FOLDER_REMOVE,
        FOLDER_REMOVE_FORCE, /* whatever is in it */
} FolderVerb;

int folder_start(
                const OperationContext *context,
                const GitConfig *config,
                const char *workspace,
                FolderVerb verb,
                FolderDone done,
                void *userdata,
                Folder **ret);
Folder *folder_free(Folder *f); /* cancels */
DEFINE_TRIVIAL_CLEANUP_FUNC(Folder *, folder_free);
