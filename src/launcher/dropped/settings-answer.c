/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/prctl.h>

#include "launcher/dropped/settings-answer.h"
#include "launcher/privileges.h"

void settings_file_answer(SettingsAnswer *a, pid_t parent, const char *text, size_t size) {
        if (!privileges_are_dropped())
                _exit(SETTINGS_NOT_DROPPED);
        /* After the change of uid, which clears the first. The runner's other processes cannot trace this one. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || prctl(PR_SET_DUMPABLE, 0) < 0)
                _exit(EXIT_FAILURE);
        a->r = settings_file_parse(&a->file, text, size, a->error);
        _exit(EXIT_SUCCESS);
}
