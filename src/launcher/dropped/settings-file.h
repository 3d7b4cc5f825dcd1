/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/dropped/answer.h"
#include "launcher/request.h"

/* The contents of launcher.json. A plain value, without pointers: it is filled in by another process. */

#define AGENT_USERS_MAX 64U
#define AGENT_USER_SIZE 256U
#define MAX_SCOPES_MAX UINT64_C(4096)

typedef struct SettingsFile {
        Limits ceilings; /* 0: none */
        /* What a scope of that kind gets where its caller says nothing: not above the ceiling, and the ceiling where
         * there is no other default. */
        Limits defaults[_SCOPE_KIND_MAX];
        Limits workspace_limits; /* of each workspace's slice; none set: they have no slices */
        uint64_t max_scopes, out_log_max;
        size_t n_agents; /* 0: the file names none */
        char agents[AGENT_USERS_MAX][AGENT_USER_SIZE];
} SettingsFile;

/* Reads the text, and gives what it does not name its default. Anything that is not known fails, since a misspelt
 * ceiling is none. Returns 0, or negative errno with a sentence in ret_error; none where memory is out. */
int settings_file_parse(
        SettingsFile *f,
        const char *text,
        size_t size,
        char ret_error[static ANSWER_ERROR_SIZE]);
