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
/* No call is under way any more. */
Workspaces *workspaces_free(Workspaces *w);
/* Once ctx has its store and its directory: takes note of those of a runner that did not. */
void workspaces_open(Workspaces *w);
/* It is there; used: now. */
void workspaces_note(Workspaces *w, const char *id, bool used);
/* Nothing may begin in it. */
bool workspaces_is_removed(Workspaces *w, const char *id);
/* An array of {id, key, lastUsedAt, conversations: those that live in it}. */
int workspaces_list(Workspaces *w, Json **ret);

/* What is in one (DirectoryCallDone says of what form that is, with id and conversations), or all of it away: force,
 * even what is nowhere else. reply runs once, later; the call may be freed inside, and before to cancel it. -ENOENT:
 * there is none of that id; -EBUSY: a conversation lives there; -EAGAIN: WORKSPACE_CALLS_MAX are under way. */
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
