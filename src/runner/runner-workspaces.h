/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/run/run-context.h"
#include "runner/runner-registry.h"
#include "runner/workspace/workspace.h"

/* The workspaces that were used on this machine. */
typedef struct Workspaces Workspaces;

/* All are borrowed. */
int workspaces_new(
        const RunContext *ctx,
        const GitConfig *git,
        const Registry *conversations,
        Workspaces **ret);
/* No call is under way by then. */
Workspaces *workspaces_free(Workspaces *w);
/* Records the workspaces of an older runner that did not record them. ctx has its store and its directory by then. */
void workspaces_open(Workspaces *w);
/* Records that the workspace exists; used: that it is used now. */
void workspaces_note(Workspaces *w, const char *id, bool used);
/* Reports whether the workspace is being removed: no conversation may begin in it. */
bool workspaces_is_removed(Workspaces *w, const char *id);
/* Returns an array of {id, key, lastUsedAt, conversations: those that live in it}. */
int workspaces_list(Workspaces *w, Json **ret);

/* Describes the contents of a workspace (DirectoryCallDone says in which form; id and conversations are added), or
 * removes it: with force, even files that are nowhere else. reply runs once, later; the call may be freed inside, and
 * before to cancel it. -ENOENT: there is none of that id; -EBUSY: a conversation lives there; -EAGAIN:
 * WORKSPACE_CALLS_MAX are under way. */
#define WORKSPACE_CALLS_MAX 4
typedef struct WorkspaceCall WorkspaceCall;
typedef void (*WorkspaceReply)(int error, const char *text, Json *result, void *userdata);
int workspaces_call(
        Workspaces *w,
        const char *id,
        bool remove,
        bool force,
        WorkspaceReply reply,
        void *userdata,
        WorkspaceCall **ret);
WorkspaceCall *workspace_call_free(WorkspaceCall *c);
