/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fileio.h"
#include "shell-agent/script.h"

#define READ_SIZE (64 * 1024)
#define STRONGER_AFTER_USEC (2 * USEC_PER_SEC)
/* The kernel takes 128 KiB in one argument; a longer script goes by way of a file in memory. */
#define ARGUMENT_MAX (120 * 1024)
#define SCRIPT_FD 3
#define SCRIPT_PATH "/dev/fd/3"

static const int signals[] = { SIGINT, SIGTERM, SIGKILL };

static int script_file(const char *text, size_t size) {
        _cleanup_close_ int fd = memfd_create("script", MFD_CLOEXEC);
        int r;

        if (fd < 0)
                return -errno;
        r = pwrite_all(fd, text, size, 0);
        return r < 0 ? r : TAKE_FD(fd);
}

/* posix_spawn returns after the exec: from then on the session exists and can be signalled. */
static int spawn(const char *text, const int out[2], int file, pid_t *ret) {
        const char *shell = access("/bin/bash", X_OK) >= 0 ? "/bin/bash" : "/bin/sh";
        char *const by_argument[] = { (char *) shell, (char *) "-c", (char *) text, NULL };
        char *const by_file[] = { (char *) shell, (char *) SCRIPT_PATH, NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, pipe_signal;
        int r;

        (void) sigemptyset(&none);
        (void) sigemptyset(&pipe_signal);
        (void) sigaddset(&pipe_signal, SIGPIPE);
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attributes);
        if (r != 0)
                goto no_attributes;
        if ((r = posix_spawnattr_setflags(
                     &attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) !=
                    0 ||
            (r = posix_spawnattr_setsigmask(&attributes, &none)) != 0 ||
            (r = posix_spawnattr_setsigdefault(&attributes, &pipe_signal)) != 0 ||
            (r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) != 0 ||
            (r = posix_spawn_file_actions_adddup2(&actions, out[0], STDOUT_FILENO)) != 0 ||
            (r = posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO)) != 0 ||
            (file >= 0 && (r = posix_spawn_file_actions_adddup2(&actions, file, SCRIPT_FD)) != 0))
                goto finish;
        r = posix_spawn(ret, shell, &actions, &attributes, file >= 0 ? by_file : by_argument, environ);
finish:
        (void) posix_spawnattr_destroy(&attributes);
no_attributes:
        (void) posix_spawn_file_actions_destroy(&actions);
        return -r;
}

int script_start(Script *s, char *id_consume, const char *text, size_t size) {
        _cleanup_close_ int out_read = -EBADF, out_write = -EBADF, err_read = -EBADF, err_write = -EBADF;
        _cleanup_close_ int file = -EBADF, pidfd = -EBADF;
        int out[2] = { -EBADF, -EBADF }, err[2] = { -EBADF, -EBADF }, r;
        pid_t pid = -1;

        if (pipe2(out, O_CLOEXEC) < 0)
                return -errno;
        out_read = out[0];
        out_write = out[1];
        if (pipe2(err, O_CLOEXEC) < 0)
                return -errno;
        err_read = err[0];
        err_write = err[1];
        /* Only our ends: the script's own must block, as every program expects of its stdout. */
        if (fcntl(out_read, F_SETFL, O_NONBLOCK) < 0 || fcntl(err_read, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        if (size > ARGUMENT_MAX) {
                file = script_file(text, size);
                if (file < 0)
                        return file;
        }
        const int ends[2] = { out_write, err_write };
        r = spawn(text, ends, file, &pid);
        if (r < 0)
                return r;
        pidfd = (int) syscall(SYS_pidfd_open, pid, 0U);
        if (pidfd < 0) {
                r = -errno;
                (void) kill(-pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r;
        }
        *s = (Script) {
                .id = id_consume,
                .pid = pid,
                .pidfd = TAKE_FD(pidfd),
                .streams = {
                        { .name = "stdout", .fd = TAKE_FD(out_read) },
                        { .name = "stderr", .fd = TAKE_FD(err_read) },
                },
                .started_usec = now_usec(CLOCK_MONOTONIC),
                .next_usec = USEC_INFINITY,
        };
        return 0;
}

void script_done(Script *s) {
        free(s->id);
        safe_close(s->pidfd);
        for (unsigned i = 0; i < ELEMENTSOF(s->streams); i++)
                safe_close(s->streams[i].fd);
        *s = (Script){ .pidfd = -EBADF, .streams = { { .fd = -EBADF }, { .fd = -EBADF } } };
}

/* How many bytes at the end of text are a character that has only begun. */
static size_t unfinished(const char *text, size_t size) {
        for (size_t n = 1; n <= 3 && n <= size; n++) {
                unsigned char c = (unsigned char) text[size - n];

                if ((c & 0xc0) == 0x80)
                        continue;
                return (c >= 0xf0 && c <= 0xf4 && n < 4) || (c >= 0xe0 && c <= 0xef && n < 3) ||
                                (c >= 0xc2 && c <= 0xdf && n < 2) ?
                        n :
                        0;
        }
        return 0;
}

/* Returns what was read; 0 where there is nothing now or never again. */
static size_t read_some(ScriptStream *t, Output *o, size_t max) {
        char bytes[sizeof(t->carry) + READ_SIZE];
        ssize_t n;

        memcpy(bytes, t->carry, t->n_carry);
        do
                n = read(t->fd, bytes + t->n_carry, MIN(max, (size_t) READ_SIZE));
        while (n < 0 && errno == EINTR);
        if (n <= 0) {
                if (n == 0 || errno != EAGAIN)
                        t->fd = safe_close(t->fd);
                return 0;
        }
        size_t size = t->n_carry + (size_t) n, later = unfinished(bytes, size);
        memcpy(t->carry, bytes + size - later, later);
        t->n_carry = later;
        output_text(o, t->name, bytes, size - later);
        return (size_t) n;
}

void script_read(Script *s, unsigned stream, Output *o) {
        if (s->streams[stream].fd >= 0)
                (void) read_some(&s->streams[stream], o, READ_SIZE);
}

void script_interrupt(Script *s, bool skip_sigint) {
        s->interrupted = true;
        if (s->n_signals > (skip_sigint ? 1 : 0))
                return;
        if (s->n_signals == 0 && skip_sigint)
                s->n_signals = 1;
        s->next_usec = 0;
        script_tick(s);
}

void script_tick(Script *s) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (s->next_usec > now || s->n_signals >= ELEMENTSOF(signals))
                return;
        /* The shell has not been waited for yet, so its number is still its own. */
        (void) kill(-s->pid, signals[s->n_signals++]);
        s->next_usec = s->n_signals < ELEMENTSOF(signals) ? now + STRONGER_AFTER_USEC : USEC_INFINITY;
}

bool script_finish(Script *s, Output *o, int ret_fds[static 2]) {
        siginfo_t info = {};

        if (waitid(P_PIDFD, (id_t) s->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
                return false;
        for (unsigned i = 0; i < ELEMENTSOF(s->streams); i++) {
                ScriptStream *t = &s->streams[i];
                int held = 0;

                /* Counted once: a process in the background may write faster than we read. */
                if (t->fd >= 0 && ioctl(t->fd, FIONREAD, &held) < 0)
                        held = 0;
                for (size_t left = (size_t) held, n; left > 0 && (n = read_some(t, o, left)) > 0;)
                        left -= n;
                output_text(o, t->name, t->carry, t->n_carry);
                ret_fds[i] = TAKE_FD(t->fd);
        }
        output_turn_end(
                o,
                s->id,
                info.si_code,
                info.si_status,
                s->interrupted,
                now_usec(CLOCK_MONOTONIC) - s->started_usec);
        script_done(s);
        return true;
}
