/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "common/fileio.h"
#include "launcher/dropped/answer.h"
#include "launcher/privileges.h"

void answer_begin(pid_t parent) {
        if (!privileges_are_dropped())
                _exit(ANSWER_NOT_DROPPED);
        /* After the change of uid, which clears the first. The runner's other processes cannot trace this one. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || prctl(PR_SET_DUMPABLE, 0) < 0)
                _exit(EXIT_FAILURE);
}

void answer_end(int socket, Answer *answer, size_t size) {
        if (answer->r != 0 && !*answer->error)
                (void) snprintf(
                        answer->error,
                        sizeof(answer->error),
                        "%s",
                        strerror(answer->r == -ENOMEM ? ENOMEM : EIO));
        _exit(fds_send(socket, answer, size, NULL, 0) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
