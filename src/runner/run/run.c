/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "common/cgroup.h"
#include "common/fileio.h"
#include "common/log.h"
#include "runner/agent/driver-none.h"
#include "runner/conversation/conversation-internal.h"
#include "runner/run/budget.h"
#include "runner/run/position.h"
#include "runner/scope/run-folder.h"
#include "runner/scope/scope-stop.h"

/* What one turn of the loop may spend on one conversation, so that a flood of one does not starve the others. */
#define DRIVE_BYTES_MAX (1024 * 1024)
/* PID 1 tells when a scope has gone; this is for the case that the telling was lost (the bus was restarted). */
#define CHECK_INTERVAL_USEC (500 * USEC_PER_MSEC)
/* The journal has a line some moments after it was written. */
#define STOP_TRIES 2

static int on_drive(sd_event_source *source, void *userdata) {
        Run *r = userdata;

        if (streq(r->row.state, "ended")) {
                conversation_rest(r->conversation); /* and r goes */
                /* What was parsed lay in small pieces among those that stay. */
                (void) malloc_trim(0);
        } else
                run_drive(r);
        return 0;
}

static int on_check(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *r = userdata;

        r->new_files = true; /* the outcome may have been there before */
        run_check(r);
        return 0;
}

static void on_watch(bool new_files, void *userdata) {
        Run *r = userdata;

        r->new_files = r->new_files || new_files;
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
}

/* Whatever of it there is: what lives has to be ended in order, even where nothing of it can be understood. */
static int load(Run *r) {
        Conversation *c = r->conversation;
        int k;

        k = json_parse_from(JSON_OF_STORE, r->row.spec, strlen(r->row.spec), &r->spec, NULL);
        if (k >= 0) {
                r->ops = conversation_driver(c, r->spec);
                k = position_load(r->ops, r->spec, r->row.driven_state, &r->driver, &r->lines.lines);
        } else if (k != -ENOMEM)
                r->spec = json_object_new_object();
        if (k == -ENOMEM || !r->spec)
                return -ENOMEM;
        if (k >= 0 && r->ops != &none_driver_ops)
                return 0;
        if (k >= 0) {
                r->failure = conversation_unknown_agent_text(c);
                /* Whoever reads it when it has ended shall know as much. */
                k = json_set_string(r->spec, "protocol", none_driver_ops.name);
                if (k >= 0)
                        k = free_and_strdup(&r->row.spec, json_text(r->spec));
        } else {
                log_warning_errno(
                                k,
                                "What was stored of a run of conversation %s cannot be read: %m",
                                c->row.id);
                r->failure = conversation_unread_run_text(c);
                r->ops = &none_driver_ops;
                k = position_load(r->ops, r->spec, NULL, &r->driver, &r->lines.lines);
        }
        return k < 0 ? k : r->failure ? 0 : -ENOMEM;
}

int run_new(Conversation *c, RunRow *row_consume, Run **ret) {
        _cleanup_(run_freep) Run *r = new0(Run, 1);
        int k;

        if (!r) {
                run_row_done(row_consume);
                return -ENOMEM;
        }
        *r = (Run){ .conversation = c, .row = *row_consume, .dirfd = -EBADF, .outfd = -EBADF };
        *row_consume = (RunRow){};
        k = load(r);
        if (k < 0)
                return k;
        r->lines.offset = r->row.driven;
        r->lines.max = driver_line_max(r->spec);
        r->driven_stored = r->row.driven;
        k = sd_event_add_defer(c->ctx->run.event, &r->drive_source, on_drive, r);
        if (k < 0)
                return k;
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_OFF);
        (void) sd_event_source_set_description(r->drive_source, "drive");
        *ret = TAKE_PTR(r);
        return 0;
}

Run *run_free(Run *r) {
        if (!r)
                return NULL;
        watch_slot_free(r->watch);
        launcher_call_free(r->call);
        launcher_call_free(r->verb_call);
        sd_bus_slot_unref(r->result_call);
        sd_bus_slot_unref(r->system_question);
        sd_event_source_disable_unref(r->drive_source);
        sd_event_source_disable_unref(r->check_timer);
        sd_event_source_disable_unref(r->supervisor);
        sd_event_source_disable_unref(r->runtime_timer);
        sd_event_source_disable_unref(r->watchdog_timer);
        watchdog_free(r->watchdog);
        run_limits_free(r->limits);
        driver_free(r->driver);
        line_reader_done(&r->lines);
        run_row_done(&r->row);
        if (r->spec)
                json_object_put(r->spec);
        if (r->outcome)
                json_object_put(r->outcome);
        if (r->git)
                json_object_put(r->git);
        if (r->usage)
                json_object_put(r->usage);
        checkout_status_free(r->git_status);
        safe_close(r->dirfd);
        safe_close(r->outfd);
        free(r->cgroup);
        free(r->failure);
        free(r->result);
        free(r);
        return NULL;
}

/* The run's spec, and what a store that has to be made anew needs to know of the conversation. */
static int describe_for_adoption(Run *r, Json **ret) {
        _cleanup_json_ Json *all = NULL, *params = NULL;
        Conversation *c = r->conversation;
        int k;

        k = conversation_all_params(c, &params);
        if (k < 0)
                return k;
        Json *a = json_object_new_object();

        if (!a || json_object_deep_copy(r->spec, &all, NULL) < 0) {
                json_object_put(a);
                return -ENOMEM;
        }
        (void) json_set_string(a, "runId", r->row.run_id);
        (void) json_set_string(a, "agent", c->row.agent);
        (void) json_set_string(a, "origin", c->row.origin);
        (void) json_set_string(a, "workspaceId", c->row.workspace);
        (void) json_set_string(a, "taskId", c->row.task);
        (void) json_set_string(a, "directory", c->row.directory);
        (void) json_set_string(a, "branch", c->row.branch);
        (void) json_set_u64(a, "createdUsec", c->row.created_usec);
        (void) json_set(a, "params", TAKE_PTR(params));
        k = json_set(all, "adoption", a);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(all);
        return 0;
}

int run_open_folder(Run *r, bool make) {
        Conversation *c = r->conversation;
        _cleanup_close_ int parent = -EBADF;
        char name[16];
        int fd;

        if (r->dirfd >= 0)
                return 0;
        (void) snprintf(name, sizeof(name), "%u", r->row.run);
        parent = make ? mkdir_open_at(c->ctx->run.conversations_fd, c->row.id, RUN_FOLDER_MODE) :
                        run_folder_open(c->ctx->run.conversations_fd, c->row.id);
        if (parent < 0)
                return parent;
        if (make) {
                _cleanup_json_ Json *all = NULL;
                int k = describe_for_adoption(r, &all);

                if (k < 0)
                        return k;
                fd = run_folder_make(parent, name, json_text(all));
        } else
                fd = run_folder_open(parent, name);
        if (fd < 0)
                return fd;
        r->dirfd = fd;
        return 0;
}

int run_watch(Run *r) {
        int k;

        if (r->watch)
                return 0;
        k = watch_add(r->conversation->ctx->run.watch, r->dirfd, on_watch, r, &r->watch);
        if (k < 0)
                return k;
        /* What came before the watch is looked at as well. */
        on_watch(true, r);
        return 0;
}

/* ---- driving ---- */

typedef struct Drive {
        Run *run;
        bool open; /* a transaction is */
} Drive;

static int drive_begin(Drive *d) {
        int k;

        if (d->open)
                return 0;
        k = store_begin(d->run->conversation->ctx->run.store);
        d->open = k >= 0;
        return k;
}

static int on_write(void *userdata, const char *line, size_t size) {
        Drive *d = userdata;
        Run *r = d->run;
        uint64_t offset;
        int k;

        k = drive_begin(d);
        if (k < 0)
                return k;
        return store_render(
                        r->conversation->ctx->run.store,
                        r->conversation->row.id,
                        r->row.run,
                        line,
                        size,
                        0,
                        &offset);
}

static int on_fail(void *userdata, const char *reason) {
        Drive *d = userdata;

        return free_and_strdup(&d->run->failure, reason);
}

/* Feeds complete lines. 1: there is more; 0: all that is there was read. */
static int feed_lines(Run *r, const DriverSink *sink) {
        uint64_t limit = r->over ? r->row.out_bytes : UINT64_MAX, begun = r->lines.offset;
        Slice line;
        int k;

        while ((k = line_reader_next(&r->lines, r->outfd, limit, &line)) > 0) {
                if (k == LINE_GO_ON || r->lines.offset - begun > DRIVE_BYTES_MAX)
                        return 1;
                k = line_reader_feed(&r->lines, r->driver, line, sink);
                if (k < 0)
                        return k;
                line_reader_step(&r->lines);
                r->row.driven = r->lines.offset;
        }
        return k;
}

static int store_driven(Run *r) {
        _cleanup_free_ char *state = NULL;
        Conversation *c = r->conversation;
        int k;

        k = position_save(r->driver, r->lines.lines, &state);
        if (k < 0)
                return k;
        k = store_set_driven(c->ctx->run.store, c->row.id, r->row.run, r->row.driven, state);
        if (k < 0)
                return k;
        r->driven_stored = r->row.driven;
        return 0;
}

int run_store_driven(Run *r) {
        return r->driven_stored == r->row.driven ? 0 : store_driven(r);
}

int run_store_row(Run *r) {
        return store_put_run(r->conversation->ctx->run.store, &r->row);
}

/* Puts what a piece of output meant into the store: the offset, the driver's state, the session, the state event.
 * Output that steers nothing costs no transaction: reading it again after a crash means the same. */
static int settle(Run *r, Drive *d, DriverPhase before) {
        Conversation *c = r->conversation;
        const char *session = r->ops->session(r->driver);
        bool new_session = session && !streq_ptr(session, c->row.session);
        int k;

        if (!d->open && !new_session && r->ops->phase(r->driver) == before && !r->failure)
                return 0;
        k = drive_begin(d);
        if (k < 0)
                return k;
        k = store_driven(r);
        if (k < 0)
                return k;
        if (new_session) {
                k = free_and_strdup(&c->row.session, session);
                if (k < 0)
                        return k;
                k = conversation_store_row(c);
                if (k < 0)
                        return k;
        }
        return conversation_emit_state(c);
}

int run_open_output(Run *r) {
        if (r->outfd >= 0)
                return 1;
        int fd = run_folder_open_output(r->dirfd);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        r->outfd = fd;
        return 1;
}

static int on_write_again(void *userdata, const char *line, size_t size) {
        return 0; /* it is in in.log */
}

static int on_fail_again(void *userdata, const char *reason) {
        return 0;
}

int run_replay(Run *r) {
        Conversation *c = r->conversation;
        const char *session;
        int k;

        k = run_open_output(r);
        if (k <= 0)
                return k;
        do
                k = feed_lines(r, &(DriverSink){ .write = on_write_again, .fail = on_fail_again });
        while (k > 0);
        if (k < 0)
                return k;
        session = r->ops->session(r->driver);
        if (session && free_and_strdup(&c->row.session, session) < 0)
                return -ENOMEM;
        k = conversation_store_row(c);
        return k < 0 ? k : store_driven(r);
}

/* Each kind once: an agent that does it again and again shall not fill the journal. */
static void log_bad_lines(Run *r, const DriverUsage *before) {
        DriverUsage now;

        r->ops->usage(r->driver, &now);
        if (before->oversize_lines == 0 && now.oversize_lines > 0)
                log_warning("The agent of conversation %s wrote a line or a question that is longer than is passed on; "
                            "its beginning and its size are. More of them are only counted.",
                            r->row.conversation);
        if (before->ambiguous_lines == 0 && now.ambiguous_lines > 0)
                log_warning("The agent of conversation %s wrote a line in which a member stands twice; it is passed on as a "
                            "notice. More of them are only counted.",
                            r->row.conversation);
}

static int drive_piece(Run *r, bool *ret_progress) {
        Conversation *c = r->conversation;
        DriverPhase before = r->ops->phase(r->driver);
        uint64_t begun = r->row.driven;
        Drive d = { .run = r };
        DriverUsage usage;
        int k, more;

        k = run_open_output(r);
        if (k <= 0)
                return k;
        r->ops->usage(r->driver, &usage);
        more = feed_lines(r, &(DriverSink){ .userdata = &d, .write = on_write, .fail = on_fail });
        k = more < 0 ? more : settle(r, &d, before);
        if (d.open) {
                if (k < 0)
                        store_rollback(c->ctx->run.store);
                else
                        k = store_commit(c->ctx->run.store);
        }
        if (k < 0)
                return k;
        log_bad_lines(r, &usage);
        *ret_progress = r->row.driven != begun;
        return more;
}

const char *run_budget_spent(Run *r) {
        DriverUsage usage;

        r->ops->usage(r->driver, &usage);
        return budget_spent(json_get(r->conversation->params, "budget"), &usage);
}

/* Before the next message that waits gets to the agent. */
static void stop_at_budget(Run *r) {
        Conversation *c = r->conversation;
        const char *what;

        if (r->over || c->stop != STOP_NONE || r->ops->phase(r->driver) != DRIVER_IDLE)
                return;
        what = run_budget_spent(r);
        if (!what)
                return;
        log_notice("Conversation %s has spent its budget (%s) and is stopped.", c->row.id, what);
        conversation_stop(c, "budget", c->ctx->run.config->stop_grace_ms * USEC_PER_MSEC);
}

void run_drive(Run *r) {
        Conversation *c = r->conversation;
        bool progress = false;
        int k;

        if (r->dirfd < 0 || c->ctx->run.broken)
                return;
        if (run_conclusion_is_short(r)) {
                /* What is left of its output may be what did it: whether the run is over is found out before that is read. */
                if (!r->over)
                        run_check(r);
                if (r->over) {
                        run_conclude(r); /* r may be gone */
                        return;
                }
                if (r->result_call)
                        return;
        }
        k = drive_piece(r, &progress);
        if (k < 0) {
                /* The store and the driver's state in memory may have parted: both are made anew from the store. */
                c->ctx->hooks->store_failed(k, c->ctx->userdata);
                return;
        }
        stop_at_budget(r);
        if (progress) {
                c->last_event_usec = now_usec(CLOCK_REALTIME);
                conversation_send_wake(c);
                conversation_events_wake(c);
                conversation_write_input(c);
                conversation_pump_input(c);
                run_watchdog_look(r, true);
        }
        /* However much of its output is left, and however fast there is more. */
        if (r->failure && !r->end_sent && c->stop == STOP_NONE)
                conversation_stop(c, NULL, 0);
        if (k > 0) {
                (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
                return;
        }
        if (r->over) {
                run_conclude(r);
                return;
        }
        run_check(r);
}

/* ---- the end ---- */

static int arm_check(Run *r) {
        int k;

        if (r->check_timer) {
                k = sd_event_source_set_time_relative(r->check_timer, CHECK_INTERVAL_USEC);
                return k < 0 ? k : sd_event_source_set_enabled(r->check_timer, SD_EVENT_ONESHOT);
        }
        return sd_event_add_time_relative(
                        r->conversation->ctx->run.event,
                        &r->check_timer,
                        CLOCK_MONOTONIC,
                        CHECK_INTERVAL_USEC,
                        1,
                        on_check,
                        r);
}

/* ---- the supervisor ---- */

static void supervisor_gone(Run *r) {
        r->orphaned = true;
        run_limits_sample(r); /* while there is something to read */
        run_look(r);
}

static int on_supervisor(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Run *r = userdata;

        r->supervisor = sd_event_source_disable_unref(r->supervisor);
        supervisor_gone(r);
        return 0;
}

/* A supervisor that is killed leaves an agent that nobody feeds, reads or ends. */
static void watch_supervisor(Run *r, uint64_t pid) {
        _cleanup_close_ int fd = -EBADF;

        if (r->supervisor || pid <= 1 || pid > INT_MAX)
                return;
        fd = (int) syscall(SYS_pidfd_open, (pid_t) pid, 0);
        if (fd < 0) {
                if (errno == ESRCH)
                        supervisor_gone(r);
                return;
        }
        if (sd_event_add_io(r->conversation->ctx->run.event, &r->supervisor, fd, EPOLLIN, on_supervisor, r) <
            0)
                return;
        (void) sd_event_source_set_io_fd_own(r->supervisor, true);
        (void) TAKE_FD(fd);
}

static void
on_orphan_killed(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Run *r = userdata;

        r->verb_call = launcher_call_free(r->verb_call);
        if (error < 0)
                log_warning_errno(error, "Killing %s: %s", strempty(r->row.unit), strempty(text));
        run_look(r);
}

static void kill_orphan(Run *r) {
        int k;

        if (r->verb_call)
                return;
        log_warning("The supervisor of conversation %s was killed; what it left is killed too.",
                    r->row.conversation);
        k = launcher_unit_verb(
                        r->conversation->ctx->run.bus,
                        "Kill",
                        r->row.unit,
                        on_orphan_killed,
                        r,
                        &r->verb_call);
        if (k < 0)
                log_warning_errno(k, "Killing %s: %m", r->row.unit);
}

static void learn_cgroup(Run *r) {
        _cleanup_json_ Json *started = NULL;
        uint64_t pid;

        if (r->cgroup || run_folder_read_started(r->dirfd, &started) <= 0)
                return;
        const char *cgroup = json_get_string(started, "cgroup"), *cwd = json_get_string(started, "cwd");
        if (cgroup && cgroup[0] == '/' && !strstr(cgroup, "/.."))
                (void) free_and_strdup(&r->cgroup, cgroup);
        if (cwd && !r->conversation->row.directory)
                (void) free_and_strdup(&r->conversation->row.directory, cwd);
        if (!r->cgroup)
                return;
        run_limits_open(r);
        if (json_get_u64(started, "pid", &pid) > 0)
                watch_supervisor(r, pid);
}

static void over(Run *r, Json *outcome_consume, const char *result) {
        uint64_t end;

        if (r->over)
                return;
        r->outcome = outcome_consume;
        if (result)
                (void) free_and_strdup(&r->result, result);
        if (outcome_consume && json_get_u64(outcome_consume, "outBytes", &end) > 0)
                r->row.out_bytes = MAX(end, r->row.driven);
        /* Else nobody writes any more: its end is where the last complete line ends, which is found by reading to it. */
        r->over = true;
        run_folder_mark_conclusion(r->dirfd, true);
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
}

/* Nobody said why it is gone. True while the manager's line may still come. */
static bool look_for_stop(Run *r, const char *result) {
        Conversation *c = r->conversation;

        if (c->stop != STOP_NONE || c->ctx->run.shutting_down || streq_ptr(result, "oom-kill") ||
            streq_ptr(result, "timeout") ||
            scope_stop_find(r->row.unit, r->row.started_usec, &r->stopped_usec) > 0)
                return false;
        r->asked_to_look = true;
        return r->stop_tries++ < STOP_TRIES;
}

static void on_result(const char *result, void *userdata) {
        Run *r = userdata;
        _cleanup_json_ Json *outcome = NULL;

        r->result_call = sd_bus_slot_unref(r->result_call);
        if (r->over)
                return;
        /* Scope first, outcome second: it may have been written while we asked. */
        int k = run_folder_read_outcome(r->dirfd, &outcome);
        learn_cgroup(r);
        bool gone = !streq_ptr(result, "success");
        if (!r->cgroup && gone && k == 0 && run_folder_is_started(r->dirfd) == 0 &&
            r->start_attempts++ < 2) {
                /* The launcher died in the middle: nothing of it ran, so it may be started again. */
                if (free_and_strdup(&r->conversation->row.state, "starting") >= 0 &&
                    free_and_strdup(&r->row.state, "preparing") >= 0) {
                        conversation_advance(r->conversation);
                        return;
                }
        }
        if (r->cgroup ? cgroup_is_populated(r->cgroup) > 0 : !gone && k == 0) {
                (void) arm_check(r);
                return;
        }
        if (!outcome && look_for_stop(r, result)) {
                (void) arm_check(r);
                return;
        }
        over(r, TAKE_PTR(outcome), result);
}

void run_check(Run *r) {
        _cleanup_json_ Json *outcome = NULL;
        Conversation *c = r->conversation;
        int k;

        if (r->over || r->dirfd < 0 || !streq(r->row.state, "live") || r->result_call)
                return;
        learn_cgroup(r);
        if (!r->asked_to_look && !r->orphaned) {
                /* Nothing but files came: the outcome says when there is more to look at. */
                if (!r->new_files)
                        return;
                r->new_files = false;
                k = run_folder_read_outcome(r->dirfd, &outcome);
                if (k == 0)
                        return;
        }
        if (r->cgroup && cgroup_is_populated(r->cgroup) > 0) {
                r->asked_to_look = false;
                if (r->orphaned && run_folder_read_outcome(r->dirfd, &outcome) == 0)
                        kill_orphan(r);
                (void) arm_check(r);
                return;
        }
        if (!outcome)
                (void) run_folder_read_outcome(r->dirfd, &outcome);
        if (outcome && r->cgroup && !streq_ptr(json_get_string(outcome, "stoppedBy"), "systemd")) {
                over(r, TAKE_PTR(outcome), NULL);
                return;
        }
        /* No word of the supervisor, or systemd stopped the scope: its Result tells why. */
        k = units_get_result(c->ctx->run.units, r->row.unit, on_result, r, &r->result_call);
        if (k < 0)
                (void) arm_check(r);
}

unsigned run_count_processes(Run *r) {
        _cleanup_free_ char *cgroup = r->cgroup ? xasprintf("%s/agent", r->cgroup) : NULL;

        return cgroup ? cgroup_count_processes(cgroup) : 0;
}

void run_look(Run *r) {
        r->asked_to_look = true;
        (void) sd_event_source_set_enabled(r->drive_source, SD_EVENT_ONESHOT);
}
