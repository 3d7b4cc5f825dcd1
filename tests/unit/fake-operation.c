/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "common/buffer.h"
#include "common/fileio.h"
#include "fake-operation.h"

FakeOperation fake_operation;

struct Operation {
        pid_t pid;
        int out;
        Buffer lines;
        sd_event_source *source;
        OperationLine line;
        OperationDone done;
        void *userdata;
};

void fake_operation_reset(void) {
        free(fake_operation.input);
        free(fake_operation.extra);
        fake_operation = (FakeOperation){
                .program = fake_operation.program,
                .workspace = fake_operation.workspace,
                .home = fake_operation.home,
        };
}

Operation *operation_free(Operation *o) {
        if (!o)
                return NULL;
        if (o->done)
                fake_operation.freed_early++;
        sd_event_source_disable_unref(o->source);
        if (o->pid > 0) {
                (void) kill(o->pid, SIGKILL);
                (void) waitpid(o->pid, NULL, 0);
        }
        safe_close(o->out);
        buffer_done(&o->lines);
        free(o);
        return NULL;
}

static void finish(Operation *o, int error, int status) {
        OperationDone done = TAKE_PTR(o->done);

        sd_event_source_set_enabled(o->source, SD_EVENT_OFF);
        done(o, error, error < 0 ? "the launcher said no" : NULL, status, o->userdata);
}

static int on_script(sd_event_source *source, void *userdata) {
        Operation *o = userdata;

        for (const char *const *s = fake_operation.script; *s; s++)
                o->line(o, *s, strlen(*s), o->userdata);
        finish(o, fake_operation.script_error, fake_operation.script_status);
        return 0;
}

static int on_output(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Operation *o = userdata;
        char chunk[4096];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        int status = 0;

        if (n > 0) {
                (void) buffer_append(&o->lines, chunk, (size_t) n);
                for (char *end; (end = memchr(o->lines.data, '\n', o->lines.size));) {
                        size_t size = (size_t) (end - o->lines.data);
                        o->line(o, o->lines.data, size, o->userdata);
                        buffer_consume(&o->lines, size + 1);
                }
                return 0;
        }
        (void) waitpid(o->pid, &status, 0);
        o->pid = 0;
        finish(o, 0, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        return 0;
}

static void child(const OperationParams *p, int in, int out) {
        int extra = p->n_extra > 0 ? fcntl(p->extra[0], F_DUPFD, 10) : -1;

        (void) dup2(in, 0);
        (void) dup2(out, 1);
        if (extra >= 0)
                (void) dup2(extra, 3);
        (void) close_range(extra >= 0 ? 4 : 3, ~0U, 0);
        (void) setenv("NORTHFLARE_FDS", extra >= 0 ? "1" : "0", 1);
        /* libgit2 and its libraries keep some memory to the end: what is looked at is the test's own. */
        (void) setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        if (p->kind == SCOPE_GIT)
                (void) setenv("HOME", fake_operation.home, 1);
        else if (chdir(fake_operation.workspace) < 0)
                _exit(126);
        execl(fake_operation.program, "northflare-git", p->argv[1], (char *) NULL);
        _exit(127);
}

static int spawn(Operation *o, const OperationParams *p, sd_event *event) {
        int in[2], out[2];

        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
                return -errno;
        o->pid = fork();
        if (o->pid == 0)
                child(p, in[0], out[1]);
        (void) write_all(in[1], p->input, p->input_size); /* a request fits into the pipe */
        safe_close(in[0]);
        safe_close(in[1]);
        safe_close(out[1]);
        o->out = out[0];
        return sd_event_add_io(event, &o->source, o->out, EPOLLIN, on_output, o);
}

int operation_start(const OperationContext *context, const OperationParams *p, Operation **ret) {
        _cleanup_(operation_freep) Operation *o = new0(Operation, 1);
        int r;

        free(fake_operation.input);
        free(fake_operation.extra);
        fake_operation.input = strndup(p->input, p->input_size);
        fake_operation.extra = NULL;
        fake_operation.kind = p->kind;
        fake_operation.started++;
        if (p->n_extra > 0) {
                char contents[256] = "";
                ssize_t n = pread(p->extra[0], contents, sizeof(contents) - 1, 0);
                fake_operation.extra = strndup(contents, n > 0 ? (size_t) n : 0);
                fake_operation.seals = fcntl(p->extra[0], F_GET_SEALS);
        }
        o->out = -EBADF;
        o->line = p->line;
        o->userdata = p->userdata;
        r = fake_operation.script ? sd_event_add_defer(context->event, &o->source, on_script, o) :
                                    spawn(o, p, context->event);
        if (r < 0)
                return r;
        o->done = p->done;
        *ret = TAKE_PTR(o);
        return 0;
}
