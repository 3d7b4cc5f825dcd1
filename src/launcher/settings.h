/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/dropped/settings-file.h"
#include "launcher/privileges.h"

/* What root allows (launcher.json), and the users that programs run as. */

typedef struct Settings {
        bool user_mode;
        User runner, git;
        User agents[AGENT_USERS_MAX];
        size_t n_agents;
        SettingsFile file;
        int state_fd; /* where workspaces are remembered; -EBADF in user mode */
} Settings;

/* The runner's user. Returns 0, or negative errno and a sentence for the caller to free. */
int settings_init(Settings *s, bool user_mode, char **ret_error);
/* Reads the file and resolves the other users. A missing file means all defaults. Returns as above; without a sentence
 * where memory ran out. */
int settings_load(Settings *s, char **ret_error);

/* The agent user of a workspace: the one it had before, else the one with the fewest, which is stored before it is returned.
 * *ret is borrowed from s. Returns 0 or negative errno. */
int settings_agent_user(Settings *s, const char *key, const User **ret);
