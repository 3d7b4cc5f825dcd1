/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "common/cgroup.h"
#include "common/log.h"
#include "common/oneshot.h"
#include "runner/run/run-check.h"
#include "runner/run/run-internal.h"
#include "runner/run/run-limit-events.h"
#include "runner/run/run-orders.h"
#include "runner/run/run-state.h"
#include "runner/scope/run-directory.h"
#include "runner/scope/scope-stop.h"
#include "runner/store/state-step.h"

/* systemd says when a scope has gone; this is for the case that the signal was lost (the bus was restarted). */
#define CHECK_INTERVAL_USEC (500 * USEC_PER_MSEC)
/* The journal has a line some moments after it was written. */
#define STOP_TRIES 2

void run_check_close(RunCheck *c) {
        c->timer = sd_event_source_disable_unref(c->timer);
}

void run_check_done(RunCheck *c) {
        run_check_close(c);
        c->supervisor = sd_event_source_disable_unref(c->supervisor);
        c->question = sd_bus_slot_unref(c->question);
        free(c->cgroup);
        c->cgroup = NULL;
}

bool run_check_is_under_way(const RunCheck *c) {
        return c->question;
}

bool run_is_started(const Run *r) {
        return run_directory_is_started(r->dirfd) > 0;
}

static void on_watch(bool new_files, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        r->check.new_files = r->check.new_files || new_files;
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
}

int run_watch(Run *r) {
        int k;

        if (r->watch)
                return 0;
        k = watch_add(r->ctx->watch, r->dirfd, on_watch, r, &r->watch);
        if (k < 0)
                return k;
        /* What came before the watch is checked as well. */
        on_watch(true, r);
        return 0;
}

static void check(Run *r, bool timed);

static int on_check(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        r->check.new_files = true; /* the outcome may have been there before */
        check(r, true);
        return 0;
}

static int arm_check(Run *r) {
        return oneshot_start(&r->check.timer, r->ctx->event, CHECK_INTERVAL_USEC, on_check, r);
}

static void supervisor_gone(Run *r) {
        if (r->check.supervision == SUPERVISED)
                r->check.supervision = ORPHANED;
        run_limits_sample(r); /* while there is something to read */
        run_wake(r);
}

static int on_supervisor(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Run *r = userdata;
        LOG_ABOUT_RUN(r);

        r->check.supervisor = sd_event_source_disable_unref(r->check.supervisor);
        supervisor_gone(r);
        return 0;
}

/* A supervisor that is killed leaves an agent without a program that feeds, reads or ends it. */
static void watch_supervisor(Run *r, uint64_t pid) {
        _cleanup_close_ int fd = -EBADF;

        if (r->check.supervisor || pid <= 1 || pid > INT_MAX)
                return;
        fd = (int) syscall(SYS_pidfd_open, (pid_t) pid, 0);
        if (fd < 0) {
                if (errno == ESRCH)
                        supervisor_gone(r);
                return;
        }
        if (sd_event_add_io(r->ctx->event, &r->check.supervisor, fd, EPOLLIN, on_supervisor, r) < 0)
                return;
        (void) sd_event_source_set_io_fd_own(r->check.supervisor, true);
        (void) TAKE_FD(fd);
}

static void kill_orphan(Run *r) {
        if (run_has_order(r, LAUNCHER_KILL))
                return;
        if (r->check.supervision != ORPHAN_KILLED)
                log_warning(
                        "The supervisor of conversation %s was killed; killing its remaining processes.",
                        r->row.conversation);
        r->check.supervision = ORPHAN_KILLED;
        (void) run_order(r, LAUNCHER_KILL, NULL, 0);
}

static void learn_cgroup(Run *r) {
        _cleanup_json_ Json *started = NULL;
        uint64_t pid;

        if (r->check.cgroup || run_directory_read_started(r->dirfd, &started) <= 0)
                return;
        const char *cgroup = json_get_string(started, "cgroup"), *cwd = json_get_string(started, "cwd");
        if (cgroup && cgroup[0] == '/' && !strstr(cgroup, "/.."))
                (void) free_and_strdup(&r->check.cgroup, cgroup);
        if (cwd)
                r->report->directory(cwd, r->userdata);
        if (!r->check.cgroup)
                return;
        run_limits_open(r);
        if (json_get_u64(started, "pid", &pid) > 0)
                watch_supervisor(r, pid);
}

static void begin_end(Run *r, Json *outcome_consume, const char *result) {
        if (r->ended) {
                if (outcome_consume)
                        json_object_put(outcome_consume);
                return;
        }
        run_end_begin(r, outcome_consume, result);
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
}

/* No program reported why it is gone. True while the manager's line may still come. */
static bool find_stop(Run *r, const char *result) {
        if (r->stopping || r->ctx->shutting_down || streq_ptr(result, "oom-kill") ||
            streq_ptr(result, "timeout") ||
            scope_stop_find(r->row.unit, r->row.started_usec, &r->end.stopped_usec) > 0)
                return false;
        r->check.asked = true;
        return r->check.tries++ < STOP_TRIES;
}

static void on_result(const char *result, void *userdata) {
        Run *r = userdata;
        _cleanup_json_ Json *outcome = NULL;
        LOG_ABOUT_RUN(r);

        r->check.question = sd_bus_slot_unref(r->check.question);
        if (r->ended)
                return;
        /* Scope first, outcome second: it may have been written while we asked. */
        int k = run_directory_read_outcome(r->dirfd, &outcome);
        learn_cgroup(r);
        bool gone = !streq_ptr(result, "success");
        if (!r->stopping && !r->check.cgroup && gone && k == 0 && run_directory_is_started(r->dirfd) == 0 &&
            r->start.attempts++ < 2) {
                /* The launcher died in the middle: nothing of it ran, so it may be started again. */
                run_row_set_state(&r->row, RUN_PREPARING);
                r->report->start_again(r->userdata);
                return;
        }
        if (r->check.cgroup ? cgroup_is_populated(r->check.cgroup) > 0 : !gone && k == 0) {
                (void) arm_check(r);
                return;
        }
        if (!outcome && find_stop(r, result)) {
                (void) arm_check(r);
                return;
        }
        begin_end(r, TAKE_PTR(outcome), result);
}

static void check(Run *r, bool timed) {
        _cleanup_json_ Json *outcome = NULL;
        int k;

        if (r->ended || r->dirfd < 0 || r->row.state != RUN_LIVE || r->check.question)
                return;
        learn_cgroup(r);
        if (!r->check.asked && r->check.supervision == SUPERVISED) {
                /* Nothing but files came: the outcome shows when there is more to check. */
                if (!r->check.new_files)
                        return;
                r->check.new_files = false;
                k = run_directory_read_outcome(r->dirfd, &outcome);
                if (k == 0)
                        return;
        }
        if (r->check.cgroup && cgroup_is_populated(r->check.cgroup) > 0) {
                r->check.asked = false;
                if ((r->check.supervision == ORPHANED || (timed && r->check.supervision == ORPHAN_KILLED)) &&
                    run_directory_read_outcome(r->dirfd, &outcome) == 0)
                        kill_orphan(r);
                (void) arm_check(r);
                return;
        }
        if (!outcome)
                (void) run_directory_read_outcome(r->dirfd, &outcome);
        if (outcome && r->check.cgroup && !streq_ptr(json_get_string(outcome, "stoppedBy"), "systemd")) {
                begin_end(r, TAKE_PTR(outcome), NULL);
                return;
        }
        /* No word of the supervisor, or systemd stopped the scope: its Result is the cause. */
        k = units_get_result(r->ctx->units, r->row.unit, on_result, r, &r->check.question);
        if (k < 0)
                (void) arm_check(r);
}

void run_check(Run *r) {
        check(r, false);
}

unsigned run_count_processes(const Run *r) {
        _cleanup_free_ char *cgroup = r->check.cgroup ? xasprintf("%s/agent", r->check.cgroup) : NULL;

        return cgroup ? cgroup_count_processes(cgroup) : 0;
}
