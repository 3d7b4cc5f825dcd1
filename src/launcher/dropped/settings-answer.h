/* SPDX-License-Identifier: MIT */
#pragma once

#include "launcher/dropped/settings-file.h"

/* What the process that parses launcher.json is given, and what it answers. */

typedef struct SettingsText {
        const char *text;
        size_t size;
} SettingsText;

typedef struct SettingsAnswer {
        Answer answer;
        SettingsFile file;
} SettingsAnswer;

/* An AnswerFunction: about is the SettingsText, the answer a SettingsAnswer. */
void settings_file_answer(const void *about, const int fds[], pid_t parent);
