/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/agent-control.h"
#include "common/util.h"

/* In place of the supervisor that the launcher starts: writes down what it was given (facts), what the program's half says
 * (report), and the program's output (out), and how it ended (end). Then it writes into the pipe "done". */

static int report(AgentReport *m, int fds[AGENT_CONTROL_FDS]) {
        char space[CMSG_SPACE(AGENT_CONTROL_FDS * sizeof(int))];
        struct iovec v = { m, sizeof(*m) };
        struct msghdr h = {
                .msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)
        };
        ssize_t n = recvmsg(3, &h, MSG_CMSG_CLOEXEC);
        struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;

        if (c)
                memcpy(fds, CMSG_DATA(c), AGENT_CONTROL_FDS * sizeof(int));
        return (int) n;
}

static FILE *file(const char *name) {
        int fd = openat(4, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        return fd >= 0 ? fdopen(fd, "w") : NULL;
}

int main(int argc, char *argv[]) {
        int fds[AGENT_CONTROL_FDS], status = 0, death = 0;
        int ignored = 0; /* what a program inherits; a handler would be a sanitizer's */
        AgentReport m = {};
        sigset_t blocked;
        char text[4096];
        ssize_t n;
        FILE *f;

        f = file("facts");
        /* A test that failed is to leave nothing behind, but in one it outlives the launcher. */
        if (!f || prctl(PR_GET_PDEATHSIG, &death) < 0 ||
            (faccessat(4, "outlives", F_OK, 0) < 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0))
                return 1;
        (void) fprintf(
                f,
                "uid %u gid %u groups %d nnp %d fds",
                (unsigned) getuid(),
                (unsigned) getgid(),
                getgroups(0, NULL),
                prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
        for (int i = 0; i < 1024; i++)
                if (i != fileno(f) && fcntl(i, F_GETFD) >= 0)
                        (void) fprintf(f, " %d", i);
        for (int i = 2; i < argc; i++)
                (void) fprintf(f, " %s", argv[i]);
        (void) sigprocmask(SIG_BLOCK, NULL, &blocked);
        for (int i = 1; i < 32; i++) {
                struct sigaction a;

                ignored += sigaction(i, NULL, &a) >= 0 && a.sa_handler == SIG_IGN;
        }
        (void) fprintf(
                f,
                " env %d death %d signals %d %d\n",
                environ && *environ,
                death,
                !sigisemptyset(&blocked),
                ignored);
        (void) fclose(f);
        f = file("report");
        n = report(&m, fds);
        (void) fprintf(f, "%d %d %d %s\n", (int) m.version, m.stage, m.error, m.cwd);
        if (n > 0 && m.stage == AGENT_READY) {
                FILE *out = file("out"), *pipes = file("pipes");

                for (int i = 0; i < AGENT_CONTROL_FDS; i++) {
                        int flags = fcntl(fds[i], F_GETFL);

                        (void) fprintf(
                                pipes,
                                "%s%s%s ",
                                (flags & O_ACCMODE) == O_WRONLY ? "w" : "r",
                                flags & O_NONBLOCK ? "n" : "",
                                flags & O_ASYNC ? "a" : "");
                }
                (void) fprintf(
                        pipes,
                        "signal %d of agent %d\n",
                        fcntl(fds[AGENT_FD_SIGNAL_READ], F_GETSIG),
                        fcntl(fds[AGENT_FD_SIGNAL_READ], F_GETOWN) == (int) strtol(argv[1], NULL, 10));
                (void) fclose(pipes);
                if (write(3, "g", 1) != 1)
                        return 1;
                if (report(&m, fds) > 0)
                        (void) fprintf(f, "%d %d %d\n", (int) m.version, m.stage, m.error);
                (void) close(fds[AGENT_FD_STDIN]);
                while ((n = read(fds[AGENT_FD_STDOUT], text, sizeof(text))) > 0)
                        (void) fwrite(text, 1, (size_t) n, out);
                (void) fclose(out);
        }
        (void) fclose(f);
        f = file("end");
        (void) waitpid((pid_t) strtol(argv[1], NULL, 10), &status, 0);
        (void) fprintf(f, "%d\n", status);
        (void) fclose(f);
        status = openat(4, "done", O_WRONLY | O_CLOEXEC);
        return status < 0 || write(status, "d", 1) != 1;
}
