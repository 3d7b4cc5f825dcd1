/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/agent-half.h"
#include "launcher/request.h"

/* What root allows (launcher.json), and the users that programs run as. */

typedef struct Settings {
        bool user_mode;
        User runner, git;
        User *agents;
        size_t n_agents;
        const char *shell;
        Limits ceilings;                  /* 0: none */
        Limits defaults[_SCOPE_KIND_MAX]; /* what a scope of that kind gets where its caller says nothing */
        Limits workspace_limits;          /* of each workspace's slice; none set: they have no slices */
        uint64_t max_scopes, out_log_max;
        int state_fd; /* where workspaces are remembered; -EBADF in user mode */
} Settings;

/* All defaults, and the runner's user. Returns 0, or negative errno and a sentence for the caller to free. */
int settings_init(Settings *s, bool user_mode, char **ret_error);
/* Reads the file and looks the other users up. A missing file is all defaults; anything in it that is not known fails,
 * since a misspelt ceiling is none. Returns as above; no sentence where memory is out. */
int settings_load(Settings *s, char **ret_error);
/* Frees what the two have made. */
void settings_done(Settings *s);
/* The file's contents alone; *ret_agent_users is for the caller to free, NULL where the file names none. Returns as
 * above. */
int settings_parse(Settings *s, const char *text, size_t size, char ***ret_agent_users, char **ret_error);

/* The agent user of a workspace: the one it had before, else the one with the fewest, remembered before it is told.
 * *ret is borrowed from s. Returns 0 or negative errno. */
int settings_agent_user(Settings *s, const char *key, const User **ret);
