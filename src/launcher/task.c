/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "common/cgroup.h"
#include "common/ident.h"
#include "launcher/child.h"
#include "launcher/dropped/arguments.h"
#include "launcher/manager-internal.h"
#include "launcher/sum.h"
#include "launcher/task.h"

/* Calls that wait for systemd.
 *
 * A start: a child is forked and waits at a gate; systemd makes a scope with the limits around it; only when that job is
 * done the gate opens. Whatever fails on the way, closing the gate ends the child, which has run nothing.
 *
 * A verb: systemd is asked first what the unit is, so that none ever reaches a unit that the launcher did not make,
 * whatever its name. */

#define START_TIMEOUT_USEC (20 * USEC_PER_SEC)
/* While an earlier start of the same scope is still in the way, or systemd is not on the bus. */
#define AGAIN_USEC (50 * USEC_PER_MSEC)
#define AGAIN_EXISTS_MAX 20U
#define AGAIN_STOP 4U
#define AGAIN_ABSENT_MAX 200U
#define STOP_TIMEOUT_USEC (15 * USEC_PER_SEC)
/* So much later than the time that is the launcher's own (root's ceiling, or the default) systemd ends what neither the runner nor the supervisor has ended. */
#define RUNTIME_MARGIN_USEC (120 * USEC_PER_SEC)

#define PROPERTIES "org.freedesktop.DBus.Properties"
#define UNIT_EXISTS "org.freedesktop.systemd1.UnitExists"

struct Verb {
        const char *member, *method; /* of our interface, of systemd's */
        const char *types, *text;    /* arguments behind the unit's name; a number is that of SIGKILL */
};

static const struct Verb verbs[] = {
        { "Stop", "StopUnit", "s", "replace" },     { "Kill", "KillUnit", "si", "all" },
        { "Freeze", "FreezeUnit", "", NULL },       { "Thaw", "ThawUnit", "", NULL },
        { "Collect", "ResetFailedUnit", "", NULL }, { "SetLimits", "SetUnitProperties", NULL, NULL },
};

/* dbus-daemon allows 128 calls without a reply on one connection; starts and verbs stay below it together. */
#define STARTS_RUNNING_MAX 32U
#define STARTS_MAX 256U
#define VERBS_MAX 64U

static void starts_pump(Manager *m);

void manager_touch(Manager *m) {
        bool busy = m->n_starts > 0 || m->n_verbs > 0;

        if (m->leaving && !busy)
                (void) sd_event_exit(m->event, 0);
        if (!m->unusable) /* or it leaves when it meant to, however often it is called */
                (void) sd_event_source_set_time_relative(m->idle, m->idle_usec);
        (void) sd_event_source_set_enabled(m->idle, busy || m->leaving ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* NULL where memory is out, or with e set where there are too many already. */
static Task *task_new(Manager *m, sd_bus_message *call, const struct Verb *verb, sd_bus_error *e) {
        unsigned *n = verb ? &m->n_verbs : &m->n_starts;
        Task *t;

        if (*n >= (verb ? VERBS_MAX : STARTS_MAX)) {
                (void) sd_bus_error_setf(e, ERROR_TOO_MANY, "%u such calls are already waiting.", *n);
                return NULL;
        }
        t = new0(Task, 1);
        if (!t)
                return NULL;
        *t = (Task){ .manager = m, .verb = verb, .call = sd_bus_message_ref(call), .gate = -EBADF };
        (*n)++;
        return t;
}

static void task_free(Task *t) {
        Manager *m = t->manager;

        for (Task **p = &m->starts; *p; p = &(*p)->next)
                if (*p == t) {
                        *p = t->next;
                        break;
                }
        *(t->verb ? &m->n_verbs : &m->n_starts) -= 1;
        sd_bus_slot_unref(t->slot);
        sd_event_source_disable_unref(t->timer);
        sd_event_source_disable_unref(t->again);
        safe_close(t->gate);
        free(t->unit);
        free(t->job);
        sd_bus_message_unref(t->call);
        free(t);
}

DEFINE_TRIVIAL_CLEANUP_FUNC(Task *, task_free);

/* The call was answered: the task is removed, and calls that waited for it continue. */
static void task_done(Task *t) {
        Manager *m = t->manager;

        task_free(t);
        starts_pump(m);
        manager_touch(m);
}

/* The same with an error: its name and a format. */
#define task_fail(t, ...) ((void) sd_bus_reply_method_errorf((t)->call, __VA_ARGS__), task_done(t))

static void task_fail_by(Task *t, const sd_bus_error *error) {
        const char *name = sd_bus_error_has_name(error, UNIT_EXISTS)                ? ERROR_EXISTS :
                sd_bus_error_has_name(error, "org.freedesktop.systemd1.NoSuchUnit") ? ERROR_NO_SUCH_UNIT :
                                                                                      ERROR_FAILED;

        task_fail(t, name, "systemd: %s", strempty(error->message));
}

/* A call of systemd's manager about a unit. */
static int call_new(Task *t, const char *method, const char *unit, sd_bus_message **ret) {
        int r = sd_bus_message_new_method_call(
                t->manager->bus, ret, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, method);

        return r < 0 ? r : sd_bus_message_append(*ret, "s", unit);
}

/* Sends a call, unless r is an error of its construction. The reply goes to callback; without one no reply is expected. */
static void task_call_send(Task *t, sd_bus_message *c, int r, sd_bus_message_handler_t callback) {
        t->slot = sd_bus_slot_unref(t->slot);
        if (r >= 0)
                r = sd_bus_call_async(t->manager->bus, callback ? &t->slot : NULL, c, callback, t, 0);
        if (r < 0 && callback)
                task_fail(t, ERROR_FAILED, "Failed to call systemd: %s", strerror(-r));
}

static void
task_ask(Task *t, sd_bus_message_handler_t callback, const char *method, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *c = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = call_new(t, method, t->unit, &c);
        if (r >= 0)
                r = sd_bus_message_appendv(c, types, ap);
        va_end(ap);
        task_call_send(t, c, r, callback);
}

static void
task_get(Task *t, sd_bus_message_handler_t callback, const char *interface, const char *property) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *c = NULL;
        _cleanup_free_ char *path = NULL;
        int r = sd_bus_path_encode(SYSTEMD_PATH "/unit", t->unit, &path);

        if (r >= 0)
                r = sd_bus_message_new_method_call(
                        t->manager->bus, &c, SYSTEMD_NAME, path, PROPERTIES, property ? "Get" : "GetAll");
        if (r >= 0)
                r = sd_bus_message_append(c, property ? "ss" : "s", interface, property);
        task_call_send(t, c, r, callback);
}

static int on_child_exit(sd_event_source *source, const siginfo_t *si, void *userdata) {
        sd_event_source_disable_unref(source);
        return 0;
}

/* Not before systemd has said what came of the job: until then the child's number must not become another's. */
static void reap(const Task *t) {
        sd_event_source *source;

        (void) sd_event_add_child(t->manager->event, &source, t->pid, WEXITED, on_child_exit, NULL);
}

/* The last step: the name of this life of the unit is known, or is not to be had; the gate opens; the caller hears. */
static int on_invocation(sd_bus_message *reply, void *userdata, sd_bus_error *e) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        const void *id = NULL;
        size_t size = 0;
        Task *t = userdata;
        int r;

        if (sd_bus_message_enter_container(reply, 'v', "ay") < 0 ||
            sd_bus_message_read_array(reply, 'y', &id, &size) < 0)
                size = 0;
        if ((r = sd_bus_message_new_method_return(t->call, &m)) < 0 ||
            (r = sd_bus_message_append(m, "s", t->unit)) < 0 ||
            (r = sd_bus_message_append_array(m, 'y', id, size)) < 0 ||
            (r = write(t->gate, "g", 1) == 1 ? 0 : -errno) < 0)
                task_fail(t, ERROR_FAILED, "Failed to start the program in the scope: %s", strerror(-r));
        else {
                /* The child closes its end when it does not end with us any more: we may be about to leave. */
                (void) poll(&(struct pollfd){ .fd = t->gate }, 1, 1000);
                (void) sd_bus_send(t->manager->bus, m, NULL);
                task_done(t);
        }
        return 0;
}

static int on_slice(sd_bus_message *reply, void *userdata, sd_bus_error *e) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        Task *t = userdata;

        if (error && !sd_bus_error_has_name(error, UNIT_EXISTS))
                task_fail_by(t, error);
        else
                task_get(t, on_invocation, "org.freedesktop.systemd1.Unit", "InvocationID");
        return 0;
}

/* Has the slice of the task's workspace made, with what root gives to each workspace; where it is there already this
 * fails, and leaves it as it is. It stops when it is empty, and is kept in systemd's memory for as long as we are here:
 * between one that was just made or has just become empty and the next scope there is a moment without it. */
static void make_slice(Task *t, sd_bus_message_handler_t callback) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *c = NULL;
        int r;

        if ((r = call_new(t, "StartTransientUnit", t->slice, &c)) >= 0 &&
            (r = sd_bus_message_append(c, "s", "fail")) >= 0 &&
            (r = sd_bus_message_open_container(c, 'a', "(sv)")) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "Description", "s", "Northflare: one workspace")) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "StopWhenUnneeded", "b", 1)) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "AddRef", "b", 1)) >= 0 &&
            (r = limits_append(c, &t->manager->settings.file.workspace_limits)) >= 0 &&
            (r = sd_bus_message_close_container(c)) >= 0)
                r = sd_bus_message_append(c, "a(sa(sv))", 0);
        task_call_send(t, c, r, callback);
}

int on_job_removed(sd_bus_message *signal, void *userdata, sd_bus_error *e) {
        const char *job, *unit, *result;
        Manager *m = userdata;
        Task *t = m->starts;
        uint32_t id;

        if (sd_bus_message_read(signal, "uoss", &id, &job, &unit, &result) < 0)
                return 0;
        while (t && !streq_ptr(t->job, job))
                t = t->next;
        if (!t)
                return 0;
        reap(t);
        if (!streq(result, "done")) {
                /* Nothing of it is to block the name. */
                task_ask(t, NULL, "ResetFailedUnit", "");
                task_fail(t, ERROR_FAILED, "systemd's job for the scope failed with result: %s", result);
        } else if (*t->slice)
                /* It is held by the scope now. Whatever came between before, these are its limits or root's own. */
                make_slice(t, on_slice);
        else
                task_get(t, on_invocation, "org.freedesktop.systemd1.Unit", "InvocationID");
        return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata);

static int on_started(sd_bus_message *reply, void *userdata, sd_bus_error *e) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        Task *t = userdata;
        _cleanup_free_ char *path = xasprintf("%s/%s/%s", t->manager->slice_path, t->slice, t->unit);
        const char *job;
        int r;

        if (!error) {
                if ((r = sd_bus_message_read(reply, "o", &job)) < 0 ||
                    (r = free_and_strdup(&t->job, job)) < 0)
                        task_fail(t, ERROR_FAILED, "Failed to parse systemd's reply: %s", strerror(-r));
                return 0;
        }
        /* A start that a launcher before us did not bring to its end leaves a failed scope, or one whose child is about
         * to find its gate closed. */
        bool exists = sd_bus_error_has_name(error, UNIT_EXISTS);
        /* It leaves the bus for a moment while it re-executes itself. */
        bool absent = sd_bus_error_has_names(
                error,
                SD_BUS_ERROR_NO_REPLY,
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                "org.freedesktop.DBus.Error.Spawn.ChildExited",
                "org.freedesktop.systemd1.ShuttingDown");
        /* The workspace's slice is about to stop, or has just done so. */
        bool moment = *t->slice &&
                sd_bus_error_has_names(
                        error,
                        "org.freedesktop.systemd1.TransactionIsDestructive",
                        "org.freedesktop.systemd1.NoSuchUnit");
        if (exists)
                task_ask(t, NULL, "ResetFailedUnit", "");
        /* systemd does not always notice that the child it was to put in had died before. */
        if (exists && t->n_again == AGAIN_STOP && path && cgroup_is_empty(path))
                task_ask(t, NULL, "StopUnit", "s", "replace");
        if (t->n_again++ < (exists || moment ? AGAIN_EXISTS_MAX : absent ? AGAIN_ABSENT_MAX : 0)) {
                sd_event_source_disable_unref(t->again);
                r = sd_event_add_time_relative(
                        t->manager->event, &t->again, CLOCK_MONOTONIC, AGAIN_USEC, 1, on_again, t);
                if (r >= 0)
                        return 0;
        }
        reap(t);
        task_fail_by(t, error);
        return 0;
}

static void make_scope(Task *t) {
        _cleanup_free_ char *text = xasprintf(
                "Northflare: run %" PRIu32 " of %s", t->request.run, t->request.id);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *c = NULL;
        const Settings *s = &t->manager->settings;
        int r;

        if (*t->slice)
                make_slice(t, NULL);
        /* User: the supervisor owns the scope's directory, to create the agent's below it; the limits stay systemd's. */
        if ((r = call_new(t, "StartTransientUnit", t->unit, &c)) >= 0 &&
            (r = sd_bus_message_append(c, "s", "fail")) >= 0 &&
            (r = sd_bus_message_open_container(c, 'a', "(sv)")) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "Description", "s", strempty(text))) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "Slice", "s", *t->slice ? t->slice : SCOPES_SLICE)) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "After", "as", 1, "northflare-runner.service")) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "Delegate", "b", 1)) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "IPAccounting", "b", 1)) >= 0 &&
            (s->user_mode || (r = sd_bus_message_append(c, "(sv)", "User", "s", s->runner.name)) >= 0) &&
            (r = sd_bus_message_append(c, "(sv)", "OOMPolicy", "s", "continue")) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "KillMode", "s", "control-group")) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "TimeoutStopUSec", "t", STOP_TIMEOUT_USEC)) >= 0 &&
            (r = sd_bus_message_append(c, "(sv)", "CollectMode", "s", "inactive")) >= 0 &&
            (t->runtime == 0 ||
             (r = sd_bus_message_append(
                      c, "(sv)", "RuntimeMaxUSec", "t", t->runtime + RUNTIME_MARGIN_USEC)) >= 0) &&
            (r = sd_bus_message_append(c, "(sv)", "PIDs", "au", 1, (uint32_t) t->pid)) >= 0 &&
            (r = limits_append(c, &t->request.limits)) >= 0 && (r = sd_bus_message_close_container(c)) >= 0)
                r = sd_bus_message_append(c, "a(sa(sv))", 0);
        task_call_send(t, c, r, on_started);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        make_scope(userdata);
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Task *t = userdata;

        task_ask(t, NULL, "StopUnit", "s", "replace");
        task_fail(t, ERROR_FAILED, "systemd did not create the scope in time.");
        return 0;
}

static int fork_child(Task *t) {
        Manager *m = t->manager;
        char key[WORKSPACE_KEY_SIZE];
        pid_t self = getpid();
        int gate[2], r;

        t->user = &m->settings.git;
        if (t->request.kind != SCOPE_GIT) {
                workspace_key(t->request.workspace, key);
                if ((r = settings_agent_user(&m->settings, key, &t->user)) < 0)
                        return r;
        }
        r = sd_event_add_time_relative(
                m->event, &t->timer, CLOCK_MONOTONIC, START_TIMEOUT_USEC, 0, on_timeout, t);
        if (r < 0)
                return r;
        if (pipe2(gate, O_CLOEXEC) < 0)
                return -errno;
        t->gate = gate[1];
        t->pid = fork();
        if (t->pid == 0)
                child_run(&m->settings, &t->request, t->user, self, gate[0]);
        safe_close(gate[0]);
        return t->pid < 0 ? -errno : 0;
}

static void starts_pump(Manager *m) {
        unsigned n = 0;

        for (Task *t = m->starts; t && n < STARTS_RUNNING_MAX; t = t->next, n++)
                if (!t->user) {
                        int r = fork_child(t);

                        if (r < 0)
                                task_fail(t, ERROR_FAILED, "Failed to prepare the start: %s", strerror(-r));
                        else
                                make_scope(t);
                        /* The list may be another now. */
                        starts_pump(m);
                        return;
                }
}

static int on_done(sd_bus_message *reply, void *userdata, sd_bus_error *e) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        Task *t = userdata;

        if (error)
                task_fail_by(t, error);
        else {
                (void) sd_bus_reply_method_return(t->call, NULL);
                task_done(t);
        }
        return 0;
}

static void set_limits(Task *t) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *c = NULL;
        int r;

        if ((r = call_new(t, t->verb->method, t->unit, &c)) >= 0 &&
            (r = sd_bus_message_append(c, "b", 1)) >= 0 &&
            (r = sd_bus_message_open_container(c, 'a', "(sv)")) >= 0 &&
            (r = limits_append(c, &t->request.limits)) >= 0)
                r = sd_bus_message_close_container(c);
        task_call_send(t, c, r, on_done);
}

static int on_thawed(sd_bus_message *reply, void *userdata, sd_bus_error *e) {
        Task *t = userdata;

        task_ask(t, on_done, t->verb->method, t->verb->types, t->verb->text, SIGKILL);
        return 0;
}

static int on_facts(sd_bus_message *reply, void *userdata, sd_bus_error *e) {
        const char *name, *state = "", *slice = "";
        int transient = 0, delegate = 0, r;
        const struct {
                const char *name, *type;
                void *value;
        } facts[] = {
                { "LoadState", "s", &state },
                { "Slice", "s", &slice },
                { "Transient", "b", &transient },
                { "Delegate", "b", &delegate },
        };
        Task *t = userdata;

        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                size_t i = 0;

                if ((r = sd_bus_message_read(reply, "s", &name)) < 0)
                        break;
                while (i < ELEMENTSOF(facts) && !streq(facts[i].name, name))
                        i++;
                r = i < ELEMENTSOF(facts) ? sd_bus_message_read(reply, "v", facts[i].type, facts[i].value) :
                                            sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        if (r < 0)
                task_fail(t, ERROR_FAILED, "Failed to ask systemd for the state of this unit.");
        else if (streq(state, "not-found"))
                task_fail(t, ERROR_NO_SUCH_UNIT, "unit: no unit of this name exists.");
        else if (!transient || !delegate || !(streq(slice, SCOPES_SLICE) || workspace_slice_is_valid(slice)))
                task_fail(t, ERROR_NOT_OURS, "unit: not a unit of the launcher.");
        else if (!t->verb->types)
                set_limits(t);
        else if (streq(t->verb->member, "Stop"))
                /* A scope that is frozen cannot be stopped everywhere (257 refuses), nor end in order anywhere. Of one
                 * that is not frozen the error is of no interest. */
                task_ask(t, on_thawed, "ThawUnit", "");
        else
                on_thawed(NULL, t, NULL);
        return 0;
}

/* Holds limits against the ceilings, and those of an agent against what the slice and the other agents leave. Of a scope
 * that is to be started (unit: NULL) they become complete, and there must be room for one more; those of one that runs
 * stay what they are where they are not named. */
static int check_limits(Manager *m, const char *unit, ScopeKind kind, Limits *limits, sd_bus_error *e) {
        const SettingsFile *file = &m->settings.file;
        Sum sum = {};
        int r;

        if (m->unusable)
                return sd_bus_error_set(e, ERROR_FAILED, m->unusable);
        if ((r = limits_check(limits, &file->ceilings, e)) < 0)
                return r;
        if (!unit)
                limits_default(limits, &file->defaults[kind]);
        r = sum_measure(m->slice_path, unit, &sum);
        if (r < 0)
                return sd_bus_error_setf(e, ERROR_FAILED, "Failed to read the slice: %s", strerror(-r));
        for (Task *t = m->starts; t; t = t->next) {
                _cleanup_free_ char *path = xasprintf("%s/%s/%s", m->slice_path, t->slice, t->unit);

                if (path && access(path, F_OK) >= 0)
                        continue; /* counted above */
                sum.scopes++;
                if (t->request.kind != SCOPE_AGENT)
                        continue;
                sum_add(&sum.taken[LIMIT_MEMORY_MAX], t->request.limits.value[LIMIT_MEMORY_MAX]);
                sum_add(&sum.taken[LIMIT_TASKS_MAX], t->request.limits.value[LIMIT_TASKS_MAX]);
        }
        if (!unit && sum.scopes >= file->max_scopes)
                return sd_bus_error_setf(e, ERROR_TOO_MANY, "%u scopes already exist.", sum.scopes);
        return kind == SCOPE_AGENT ? sum_check(&sum, m->slice_path, limits, e) : 0;
}

static int method_start(sd_bus_message *call, Manager *m, sd_bus_error *e) {
        _cleanup_(task_freep) Task *t = task_new(m, call, NULL, e);
        const SettingsFile *file = &m->settings.file;
        Task **last = &m->starts;
        Answer answer = {};
        Request *q;
        bool given;
        int r;

        if (!t)
                return -ENOMEM;
        q = &t->request;
        if ((r = request_read(call, q, e)) < 0 || (r = request_check(q, e)) < 0)
                return r;
        given = q->limits.set[LIMIT_RUNTIME_MAX];
        if ((r = check_limits(m, NULL, q->kind, &q->limits, e)) < 0)
                return r;
        if ((r = child_ask(&m->settings, arguments_answer, q, q, &answer, sizeof(answer))) < 0)
                return sd_bus_error_set(
                        e, r == -EINVAL ? ERROR_INVALID_ARGUMENT : ERROR_FAILED, answer.error);
        t->runtime = file->ceilings.value[LIMIT_RUNTIME_MAX] ?:
                given                                        ? 0 :
                                                               q->limits.value[LIMIT_RUNTIME_MAX];
        t->unit = scope_name(q->kind, q->id, q->run);
        if (!t->unit)
                return -ENOMEM;
        if (*q->workspace && memchr(file->workspace_limits.set, true, _LIMIT_MAX))
                workspace_slice(q->workspace, t->slice);
        while (*last)
                last = &(*last)->next;
        *last = TAKE_PTR(t);
        starts_pump(m);
        return 1;
}

static int method_verb(sd_bus_message *call, Manager *m, sd_bus_error *e) {
        const char *member = sd_bus_message_get_member(call), *unit;
        _cleanup_(task_freep) Task *t = NULL;
        Limits limits = {};
        size_t i = 0;
        int r;

        while (i < ELEMENTSOF(verbs) - 1 && !streq(verbs[i].member, member))
                i++;
        if ((r = sd_bus_message_read(call, "s", &unit)) < 0)
                return r;
        if (!scope_name_parse(unit, NULL))
                return sd_bus_error_setf(e, ERROR_NOT_OURS, "unit: not the name of a unit of the launcher.");
        if (!verbs[i].types &&
            ((r = limits_read(call, &limits, e)) < 0 ||
             (r = check_limits(m, unit, SCOPE_AGENT, &limits, e)) < 0))
                return r;
        if (limits.set[LIMIT_RUNTIME_MAX])
                return sd_bus_error_set(
                        e, ERROR_INVALID_ARGUMENT, "limits: RuntimeMaxUSec can be set at the start only.");
        t = task_new(m, call, &verbs[i], e);
        if (!t)
                return -ENOMEM;
        t->request.limits = limits;
        t->unit = strdup(unit);
        if (!t->unit)
                return -ENOMEM;
        task_get(TAKE_PTR(t), on_facts, "", NULL);
        return 1;
}

static int method_pending(sd_bus_message *call, Manager *m) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        if ((r = sd_bus_message_new_method_return(call, &reply)) >= 0)
                r = sd_bus_message_open_container(reply, 'a', "s");
        for (Task *t = m->starts; t && r >= 0; t = t->next)
                r = sd_bus_message_append(reply, "s", t->unit);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(m->bus, reply, NULL);
}

int on_call(sd_bus_message *call, void *userdata, sd_bus_error *e) {
        _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
        const char *member = sd_bus_message_get_member(call);
        Manager *m = userdata;
        uid_t uid;
        int r;

        /* Asks the bus, which knows by the socket; nothing is read from a process that may be another by now. */
        r = sd_bus_query_sender_creds(call, SD_BUS_CREDS_EUID, &creds);
        if (r >= 0)
                r = sd_bus_creds_get_euid(creds, &uid);
        if (r < 0 || uid != m->settings.runner.uid)
                return sd_bus_error_set(
                        e, ERROR_ACCESS_DENIED, "Only the runner's user may call the launcher.");
        r = streq(member, "Start")       ? method_start(call, m, e) :
                streq(member, "Pending") ? method_pending(call, m) :
                                           method_verb(call, m, e);
        /* sd-bus does not send a text of just any bytes, and the caller would have no answer. */
        for (char *p = (char *) e->message; p && *p; p++)
                if (*p & 0x80)
                        *p = '?';
        manager_touch(m);
        return r;
}
