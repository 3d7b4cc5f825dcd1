/* SPDX-License-Identifier: MIT */
#include "launcher/dropped/settings-answer.h"

void settings_file_answer(const void *about, const int fds[], pid_t parent) {
        const SettingsText *text = about;
        SettingsAnswer a = {};

        answer_begin(parent);
        a.answer.r = settings_file_parse(&a.file, text->text, text->size, a.answer.error);
        answer_end(fds[0], &a.answer, sizeof(a));
}
