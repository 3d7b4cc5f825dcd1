/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/dropped/settings-file.h"

/* The process that parses launcher.json, and what it leaves. */

#define SETTINGS_NOT_DROPPED 126 /* exit status of the parser: it still had privileges, and read nothing */

/* What the process that parses the file leaves for the launcher. */
typedef struct SettingsAnswer {
        SettingsFile file;
        int r; /* 0: file is what the text says; else negative errno */
        char error[SETTINGS_ERROR_SIZE];
} SettingsAnswer;

/* Runs in the forked child of parent, and ends it. a: shared with the parent; its file is the defaults. */
__attribute__((noreturn)) void
settings_file_answer(SettingsAnswer *a, pid_t parent, const char *text, size_t size);
