/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "common/fileio.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/scope/line-reader.h"
#include "runner/scope/operation.h"
#include "runner/scope/run-directory.h"

#define CHECK_INTERVAL_USEC (100 * USEC_PER_MSEC)

struct Operation {
        OperationContext context;
        ScopeKind kind;
        char *directory, *unit, *cgroup;
        int dirfd, outfd;
        LineReader lines;
        WatchSlot *watch;
        LauncherCall *call;
        sd_event_source *changed, *check, *timeout;
        OperationLine line;
        OperationDone done;
        void *userdata;
        bool timed_out, input_ended;
};

/* A number for the scope's and the directory's name: a name that is taken by an earlier, dying scope is not used again. */
static uint32_t next_number(void) {
        static uint32_t number;

        if (number == 0)
                number = (uint32_t) (now_usec(CLOCK_REALTIME) / USEC_PER_SEC % 1000000000);
        return ++number;
}

static void finish(Operation *o, int error, const char *text, int status) {
        OperationDone done = TAKE_PTR(o->done);

        if (done)
                done(o, error, text, status, o->userdata); /* may free o */
}

static void read_lines(Operation *o) {
        Slice line;
        int k;

        o->lines.max = OPERATION_LINE_MAX;
        if (o->outfd < 0)
                o->outfd = run_directory_open_output(o->dirfd);
        if (o->outfd < 0)
                return;
        /* No job of ours has a use for a line above the bound. */
        while ((k = line_reader_next(&o->lines, o->outfd, UINT64_MAX, &line)) > 0) {
                if (k == LINE_CONTINUE)
                        continue;
                if (k == LINE_WHOLE)
                        o->line(o, line.data, line.size, o->userdata);
                line_reader_step(&o->lines);
        }
}

static int on_check(sd_event_source *source, uint64_t usec, void *userdata);

static void arm_check(Operation *o) {
        (void) oneshot_start(&o->check, o->context.event, CHECK_INTERVAL_USEC, on_check, o);
}

/* The limit of its scope that ended it, or NULL. The launcher gives it one of each kind. */
static const char *limit_reached(Json *outcome, uint64_t signal) {
        Json *resources = json_get(outcome, "resources");
        uint64_t kills = 0, refusals = 0;

        (void) json_get_u64(resources, "oomKills", &kills);
        (void) json_get_u64(resources, "pidsMaxEvents", &refusals);
        if (signal == SIGKILL && kills > 0)
                return "its scope's memoryMax was reached";
        return refusals > 0 ? "its scope's tasksMax was reached" : NULL;
}

static void conclude(Operation *o, Json *outcome) {
        uint64_t code = 0, signal = 0, error = 0;

        (void) json_get_u64(outcome, "exitCode", &code);
        (void) json_get_u64(outcome, "signal", &signal);
        (void) json_get_u64(outcome, "errno", &error);
        if (o->timed_out)
                finish(o, -ETIMEDOUT, "git.timeoutSecs was reached", 0);
        else if (json_get_string(outcome, "stage"))
                finish(o, error > 0 ? -(int) error : -EIO, "failed to execute the program", 0);
        else if (streq_ptr(json_get_string(outcome, "stoppedBy"), "supervisor"))
                finish(o, -ETIMEDOUT, "its scope's runtimeMaxSec was reached", 0);
        else
                finish(o, 0, limit_reached(outcome, signal), signal > 0 ? 128 + (int) signal : (int) code);
}

static void inspect(Operation *o) {
        _cleanup_json_ Json *outcome = NULL, *started = NULL;

        read_lines(o);
        if (!o->done || o->call || !o->unit)
                return;
        /* The whole input is in the file; the supervisor listens soon after its start. */
        if (!o->input_ended)
                o->input_ended = run_directory_ring(o->dirfd, 'e') >= 0;
        if (!o->cgroup && run_directory_read_started(o->dirfd, &started) > 0)
                (void) free_and_strdup(&o->cgroup, json_get_string(started, "cgroup"));
        /* The outcome is enough: what the program wrote is complete, and its scope holds nothing but the supervisor. */
        if (run_directory_read_outcome(o->dirfd, &outcome) <= 0) {
                if (o->cgroup && cgroup_is_populated(o->cgroup) == 0) {
                        if (run_directory_read_outcome(o->dirfd, &outcome) <= 0) {
                                finish(o, -ECHILD, "its scope was killed", 0);
                                return;
                        }
                } else {
                        arm_check(o);
                        return;
                }
        }
        read_lines(o);
        conclude(o, outcome);
}

static int on_check(sd_event_source *source, uint64_t usec, void *userdata) {
        inspect(userdata);
        return 0;
}

static int on_changed(sd_event_source *source, void *userdata) {
        inspect(userdata);
        return 0;
}

static void on_watch(bool new_files, void *userdata) {
        Operation *o = userdata;

        (void) sd_event_source_set_enabled(o->changed, SD_EVENT_ONESHOT);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Operation *o = userdata;

        o->timed_out = true;
        (void) run_directory_ring(o->dirfd, 'k');
        return 0;
}

static void
on_started(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Operation *o = userdata;

        o->call = launcher_call_free(o->call);
        if (error < 0) {
                finish(o, error, text, 0);
                return;
        }
        if (free_and_strdup(&o->unit, unit) < 0) {
                finish(o, -ENOMEM, "out of memory", 0);
                return;
        }
        on_watch(true, o);
}

static int make_directory(Operation *o, const OperationParams *p, uint32_t number) {
        _cleanup_close_ int parent = -EBADF;
        int r;

        parent = mkdir_open_at(o->context.state_fd, "operations", RUN_DIRECTORY_MODE);
        if (parent < 0)
                return parent;
        o->directory = xasprintf("%s-%s-%u", scope_kind_to_string(p->kind), p->id, number);
        if (!o->directory)
                return -ENOMEM;
        o->dirfd = run_directory_make(parent, o->directory, "{\"version\":1}");
        if (o->dirfd < 0)
                return o->dirfd;
        r = run_directory_write_input(o->dirfd, 0, p->input, p->input_size);
        if (r < 0)
                return r;
        return watch_add(o->context.watch, o->dirfd, on_watch, o, &o->watch);
}

int operation_start(const OperationContext *context, const OperationParams *p, Operation **ret) {
        _cleanup_(operation_freep) Operation *o = new0(Operation, 1);
        uint32_t number = next_number();
        int r;

        if (!o)
                return -ENOMEM;
        *o = (Operation){
                .context = *context,
                .kind = p->kind,
                .dirfd = -EBADF,
                .outfd = -EBADF,
                .line = p->line,
                .userdata = p->userdata,
        };
        r = sd_event_add_defer(context->event, &o->changed, on_changed, o);
        if (r < 0)
                return r;
        (void) sd_event_source_set_enabled(o->changed, SD_EVENT_OFF);
        r = make_directory(o, p, number);
        if (r < 0)
                return r;
        if (p->timeout_usec > 0) {
                r = oneshot_start(&o->timeout, context->event, p->timeout_usec, on_timeout, o);
                if (r < 0)
                        return r;
        }
        r = launcher_start(
                context->bus,
                &(LauncherStart){
                        .kind = p->kind,
                        .id = p->id,
                        .run = number,
                        .workspace = p->workspace,
                        .argv = p->argv,
                        .env = p->env,
                        .cwd = strempty(p->cwd),
                        .dirfd = o->dirfd,
                        .extra = { p->extra[0], p->extra[1] },
                        .n_extra = p->n_extra,
                },
                on_started,
                o,
                &o->call);
        if (r < 0)
                return r;
        o->done = p->done;
        *ret = TAKE_PTR(o);
        return 0;
}

Operation *operation_free(Operation *o) {
        if (!o)
                return NULL;
        if (o->done && o->dirfd >= 0)
                (void) run_directory_ring(o->dirfd, 'k');
        watch_slot_free(o->watch);
        launcher_call_free(o->call);
        sd_event_source_disable_unref(o->changed);
        sd_event_source_disable_unref(o->check);
        sd_event_source_disable_unref(o->timeout);
        if (o->directory) {
                int parent = openat(
                        o->context.state_fd, "operations", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (parent >= 0)
                        (void) remove_tree_at(parent, o->directory);
                safe_close(parent);
        }
        line_reader_done(&o->lines);
        safe_close(o->dirfd);
        safe_close(o->outfd);
        free(o->directory);
        free(o->unit);
        free(o->cgroup);
        free(o);
        return NULL;
}
