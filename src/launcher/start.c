/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>

#include <systemd/sd-journal.h>

#include "common/ident.h"
#include "common/log.h"
#include "launcher/agent-half.h"
#include "launcher/manager.h"
#include "launcher/sum.h"

/* One start. A child is forked and waits at a gate; systemd makes a scope with the limits around it; only when that
 * job is done the gate opens. The child then forks the process that becomes the agent, gives up its own privileges
 * and becomes the supervisor. Whatever fails on the way, closing the gate ends the child, which has run nothing. */

#define START_TIMEOUT_USEC (20 * USEC_PER_SEC)
/* While an earlier start of the same scope is still in the way, or systemd is not on the bus. */
#define AGAIN_USEC (50 * USEC_PER_MSEC)
#define AGAIN_EXISTS_MAX 20U
#define AGAIN_ABSENT_MAX 200U
#define STOP_TIMEOUT_USEC (15 * USEC_PER_SEC)

struct Start {
        Manager *manager;
        Start *next;
        sd_bus_message *call; /* holds the strings and descriptors of the request */
        Request request;
        char *unit, *job;
        sd_bus_slot *slot;
        sd_event_source *timer, *again;
        unsigned n_again;
        bool running;

        AgentPlan plan;
        char *folder, *home, *tmp, *tmp_name;
        char key[WORKSPACE_KEY_SIZE];
        pid_t pid;
        int pidfd, gate;
};

static void starts_pump(Manager *m);

static void start_free(Start *s) {
        Manager *m = s->manager;

        for (Start **p = &m->starts; *p; p = &(*p)->next)
                if (*p == s) {
                        *p = s->next;
                        m->n_starts--;
                        m->n_running -= s->running;
                        break;
                }
        sd_bus_slot_unref(s->slot);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->again);
        safe_close(s->gate);
        safe_close(s->pidfd);
        request_done(&s->request);
        strv_free(s->plan.argv);
        strv_free(s->plan.envp);
        free(s->unit);
        free(s->job);
        free(s->folder);
        free(s->home);
        free(s->tmp);
        free(s->tmp_name);
        sd_bus_message_unref(s->call);
        free(s);
}

/* Answers the call and goes on with the next one that waits. */
static void start_finish(Start *s, int r, const sd_bus_error *e) {
        Manager *m = s->manager;

        if (r < 0) {
                log_warning("%s was not started: %s", s->unit, e && e->message ? e->message : strerror(-r));
                (void) sd_bus_reply_method_error(s->call, e);
        }
        start_free(s);
        starts_pump(m);
        manager_touch(m);
}

static void start_fail(Start *s, int r, const char *text) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) sd_bus_error_setf(&e, ERROR_FAILED, "%s: %s", text, strerror(-r));
        start_finish(s, r, &e);
}

/* Moves the descriptors to 3, 4, … and closes all others. At once after the fork: the ends of other starts' gates are
 * among them, and as long as they are open those gates cannot close. */
static int pack_fds(int fds[], size_t n) {
        for (size_t i = 0; i < n; i++) {
                fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
                if (fds[i] < 0)
                        return -errno;
        }
        for (size_t i = 0; i < n; i++) {
                if (dup3(fds[i], 3 + (int) i, O_CLOEXEC) < 0)
                        return -errno;
                fds[i] = 3 + (int) i;
        }
        return close_range(3 + (unsigned) n, ~0U, 0) < 0 ? -errno : 0;
}

static int reset_signals(void) {
        sigset_t none;

        for (int i = 1; i < _NSIG; i++)
                (void) signal(i, SIG_DFL);
        return sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static void become_supervisor(const Start *s, pid_t agent, int control, int dirfd) {
        const Settings *settings = &s->manager->settings;
        char agent_text[32], max_text[32];
        char *argv[] = { (char *) "northflare-supervisor", agent_text, max_text, NULL };
        char *envp[] = { NULL };

        (void) snprintf(agent_text, sizeof(agent_text), "%d", (int) agent);
        (void) snprintf(max_text, sizeof(max_text), "%" PRIu64, settings->out_log_max);
        /* Both lie above 4 or are there already. */
        if (dup2(dirfd, 4) < 0 || dup2(control, 3) < 0 || fcntl(4, F_SETFD, 0) < 0 ||
            close_range(5, ~0U, 0) < 0)
                return;
        if (!settings->user_mode &&
            drop_privileges(settings->runner.uid,
                            settings->runner.gid,
                            settings->runner.groups,
                            (size_t) settings->runner.n_groups) < 0)
                return;
        (void) execve(NF_LIBEXECDIR "/northflare-supervisor", argv, envp);
}

static void become_agent(const Start *s, const int extra[], int control) {
        AgentPlan plan = s->plan;
        int null, err;

        if (s->request.kind == KIND_AGENT)
                plan.private_fd = s->request.n_extra > 0 ? extra[0] : -EBADF;
        else
                for (; plan.n_extra < s->request.n_extra; plan.n_extra++)
                        plan.extra[plan.n_extra] = extra[plan.n_extra];
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        err = sd_journal_stream_fd("northflare-agent", LOG_INFO, 1);
        if (null < 0 || dup2(err < 0 ? null : err, STDERR_FILENO) < 0)
                _exit(EXIT_FAILURE);
        agent_half_run(&plan, control);
}

__attribute__((noreturn)) static void child_run(const Start *s, pid_t parent, int gate) {
        int fds[2 + REQUEST_EXTRA_MAX] = { gate, s->request.dirfd }, control[2];
        unsigned n = 2;
        char go;

        for (unsigned i = 0; i < s->request.n_extra; i++)
                fds[n++] = s->request.extra[i];
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || pack_fds(fds, n) < 0 ||
            reset_signals() < 0)
                _exit(EXIT_FAILURE);
        if (read(fds[0], &go, 1) != 1)
                _exit(EXIT_FAILURE);
        /* In the scope now, and to stay when the launcher leaves. */
        if (prctl(PR_SET_PDEATHSIG, 0) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
                _exit(EXIT_FAILURE);
        pid_t agent = fork();
        if (agent == 0) {
                safe_close(control[0]);
                become_agent(s, fds + 2, control[1]);
        }
        safe_close(control[1]);
        if (agent > 0)
                become_supervisor(s, agent, control[0], fds[1]);
        /* The other half sees its control socket end and ends. */
        (void) dprintf(STDERR_FILENO,
                       "northflare-launcher: the supervisor of %s was not started: %m\n",
                       s->unit);
        _exit(EXIT_FAILURE);
}

static int on_child_exit(sd_event_source *source, const siginfo_t *si, void *userdata) {
        /* The reference of fork_child's: the source outlives the start, for as long as the supervisor runs. */
        sd_event_source_disable_unref(source);
        return 0;
}

static int fork_child(Start *s) {
        int gate[2], r;
        pid_t self = getpid();
        sd_event_source *source;

        if (pipe2(gate, O_CLOEXEC) < 0)
                return -errno;
        s->pid = fork();
        if (s->pid < 0) {
                r = -errno;
                safe_close(gate[0]);
                safe_close(gate[1]);
                return r;
        }
        if (s->pid == 0) {
                safe_close(gate[1]);
                child_run(s, self, gate[0]);
        }
        safe_close(gate[0]);
        s->gate = gate[1];
        /* It is reaped by the loop, so its number cannot be anybody else's while we may still send it to systemd. */
        r = sd_event_add_child(s->manager->event, &source, s->pid, WEXITED, on_child_exit, NULL);
        if (r < 0)
                return r;
        if (s->manager->pidfds)
                s->pidfd = fcntl(sd_event_source_get_child_pidfd(source), F_DUPFD_CLOEXEC, 3);
        return s->manager->pidfds && s->pidfd < 0 ? -errno : 0;
}

int limits_append(sd_bus_message *m, const Limits *l) {
        int r = 0;

        for (LimitId i = 0; i < _LIMIT_MAX && r >= 0; i++)
                if (l->set[i])
                        r = sd_bus_message_append(m, "(sv)", limit_infos[i].property, "t", l->value[i]);
        return r;
}

static int append_properties(Start *s, sd_bus_message *c) {
        Manager *m = s->manager;
        int r;

        r = sd_bus_message_append(
                        c,
                        "(sv)(sv)(sv)(sv)(sv)(sv)",
                        "Slice",
                        "s",
                        SLICE_NAME,
                        "Delegate",
                        "b",
                        1,
                        "CollectMode",
                        "s",
                        "inactive",
                        "KillMode",
                        "s",
                        "control-group",
                        "TimeoutStopUSec",
                        "t",
                        (uint64_t) STOP_TIMEOUT_USEC,
                        "After",
                        "as",
                        1,
                        "northflare-runner.service");
        if (r >= 0)
                r = sd_bus_message_open_container(c, 'r', "sv");
        if (r >= 0)
                r = sd_bus_message_append(c, "s", "Description");
        if (r >= 0)
                r = sd_bus_message_open_container(c, 'v', "s");
        if (r >= 0) {
                _cleanup_free_ char *text =
                                xasprintf("Northflare %s %s, run %" PRIu32,
                                          s->request.kind == KIND_AGENT               ? "conversation" :
                                                          s->request.kind == KIND_GIT ? "git for" :
                                                                                        "hook for",
                                          s->request.id,
                                          s->request.run);
                r = sd_bus_message_append(c, "s", strempty(text));
        }
        if (r >= 0)
                r = sd_bus_message_close_container(c);
        if (r >= 0)
                r = sd_bus_message_close_container(c);
        /* The scope's folder for the supervisor, to make the agent's own below it; the limits stay the manager's. */
        if (r >= 0 && !m->settings.user_mode)
                r = sd_bus_message_append(c, "(sv)", "User", "s", m->settings.runner.name);
        if (r >= 0 && !m->no_oom_policy)
                r = sd_bus_message_append(c, "(sv)", "OOMPolicy", "s", "continue");
        if (r >= 0 && m->pidfds)
                r = sd_bus_message_append(c, "(sv)", "PIDFDs", "ah", 1, s->pidfd);
        else if (r >= 0)
                r = sd_bus_message_append(c, "(sv)", "PIDs", "au", 1, (uint32_t) s->pid);
        return r < 0 ? r : limits_append(c, &s->request.limits);
}

static int on_started(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error);

static int start_call(Start *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *c = NULL;
        Manager *m = s->manager;
        int r;

        r = sd_bus_message_new_method_call(
                        m->bus, &c, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(c, "ss", s->unit, "fail");
        if (r >= 0)
                r = sd_bus_message_open_container(c, 'a', "(sv)");
        if (r >= 0)
                r = append_properties(s, c);
        if (r >= 0)
                r = sd_bus_message_close_container(c);
        if (r >= 0)
                r = sd_bus_message_append(c, "a(sa(sv))", 0);
        if (r < 0)
                return r;
        s->slot = sd_bus_slot_unref(s->slot);
        return sd_bus_call_async(m->bus, &s->slot, c, on_started, s, START_TIMEOUT_USEC);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Start *s = userdata;
        int r = start_call(s);

        if (r < 0)
                start_fail(s, r, "systemd could not be called");
        return 0;
}

static int start_call_later(Start *s) {
        int r;

        s->n_again++;
        if (!s->again)
                return sd_event_add_time_relative(
                                s->manager->event, &s->again, CLOCK_MONOTONIC, AGAIN_USEC, 1, on_again, s);
        r = sd_event_source_set_time_relative(s->again, AGAIN_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(s->again, SD_EVENT_ONESHOT);
}

static void reset_failed(Start *s) {
        (void) sd_bus_call_method_async(
                        s->manager->bus,
                        NULL,
                        SYSTEMD_NAME,
                        SYSTEMD_PATH,
                        SYSTEMD_MANAGER,
                        "ResetFailedUnit",
                        NULL,
                        NULL,
                        "s",
                        s->unit);
}

/* systemd leaves the bus for a moment while it re-executes itself. */
static bool is_absent(const sd_bus_error *error) {
        return sd_bus_error_has_names(
                        error,
                        SD_BUS_ERROR_NO_REPLY,
                        SD_BUS_ERROR_SERVICE_UNKNOWN,
                        SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                        "org.freedesktop.DBus.Error.Spawn.ChildExited",
                        "org.freedesktop.systemd1.ShuttingDown");
}

static int on_started(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        Start *s = userdata;
        const char *job;
        int r;

        if (error) {
                _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

                /* systemd before 252.2 does not know it for scopes. */
                if (sd_bus_error_has_name(error, SD_BUS_ERROR_PROPERTY_READ_ONLY) &&
                    !s->manager->no_oom_policy && strstr(strempty(error->message), "OOMPolicy")) {
                        s->manager->no_oom_policy = true;
                        r = start_call(s);
                        if (r < 0)
                                start_fail(s, r, "systemd could not be called");
                        return 0;
                }
                bool exists = sd_bus_error_has_name(error, "org.freedesktop.systemd1.UnitExists");
                /* A start that a launcher before us did not bring to its end leaves a failed scope, or one whose child
                 * is about to find its gate closed. */
                if (exists)
                        reset_failed(s);
                if ((exists && s->n_again < AGAIN_EXISTS_MAX) ||
                    (is_absent(error) && s->n_again < AGAIN_ABSENT_MAX)) {
                        r = start_call_later(s);
                        if (r < 0)
                                start_fail(s, r, "systemd could not be called");
                        return 0;
                }
                r = sd_bus_error_setf(
                                &e,
                                exists ? ERROR_EXISTS : ERROR_FAILED,
                                "systemd: %s",
                                strempty(error->message));
                start_finish(s, r, &e);
                return 0;
        }
        r = sd_bus_message_read(reply, "o", &job);
        if (r >= 0)
                r = free_and_strdup(&s->job, job);
        if (r < 0)
                start_fail(s, r, "systemd's answer could not be read");
        return 0;
}

/* The last step: the name of this life of the unit is known, or is not to be had; the gate opens; the caller hears. */
static int on_invocation(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        const void *id = NULL;
        size_t size = 0;
        Start *s = userdata;
        int r;

        if (sd_bus_message_is_method_error(reply, NULL) ||
            sd_bus_message_enter_container(reply, 'v', "ay") < 0 ||
            sd_bus_message_read_array(reply, 'y', &id, &size) < 0)
                size = 0;
        r = sd_bus_message_new_method_return(s->call, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", s->unit);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', id, size);
        if (r >= 0 && write(s->gate, "g", 1) != 1)
                r = -errno;
        if (r < 0) {
                start_fail(s, r, "The child in the scope is gone");
                return 0;
        }
        (void) sd_bus_send(s->manager->bus, m, NULL);
        start_finish(s, 0, NULL);
        return 0;
}

int on_job_removed(sd_bus_message *signal, void *userdata, sd_bus_error *e) {
        const char *job, *unit, *result;
        _cleanup_free_ char *path = NULL;
        Manager *m = userdata;
        Start *s;
        uint32_t id;
        int r;

        r = sd_bus_message_read(signal, "uoss", &id, &job, &unit, &result);
        if (r < 0)
                return 0;
        for (s = m->starts; s; s = s->next)
                if (streq_ptr(s->job, job))
                        break;
        if (!s)
                return 0;
        if (!streq(result, "done")) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

                r = sd_bus_error_setf(
                                &error, ERROR_FAILED, "systemd's job for the scope ended as: %s", result);
                /* Nothing of it is to block the name. */
                reset_failed(s);
                start_finish(s, r, &error);
                return 0;
        }
        s->slot = sd_bus_slot_unref(s->slot);
        r = sd_bus_path_encode(SYSTEMD_PATH "/unit", s->unit, &path);
        if (r >= 0)
                r = sd_bus_call_method_async(
                                m->bus,
                                &s->slot,
                                SYSTEMD_NAME,
                                path,
                                "org.freedesktop.DBus.Properties",
                                "Get",
                                on_invocation,
                                s,
                                "ss",
                                SYSTEMD_UNIT,
                                "InvocationID");
        if (r < 0)
                start_fail(s, r, "systemd could not be called");
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Start *s = userdata;

        (void) sd_bus_call_method_async(
                        s->manager->bus,
                        NULL,
                        SYSTEMD_NAME,
                        SYSTEMD_PATH,
                        SYSTEMD_MANAGER,
                        "StopUnit",
                        NULL,
                        NULL,
                        "ss",
                        s->unit,
                        "replace");
        start_fail(s, -ETIMEDOUT, "systemd has not made the scope");
        return 0;
}

static int start_plan(Start *s) {
        Settings *settings = &s->manager->settings;
        const Request *q = &s->request;
        const User *user = &settings->git;
        Place place;
        int r = 0;

        s->plan = (AgentPlan){ .drop = !settings->user_mode, .cwd = q->cwd, .private_fd = -EBADF };
        if (q->kind == KIND_GIT) {
                s->home = strdup(user->home);
                s->tmp = strdup("/tmp");
        } else {
                workspace_key(q->workspace, s->key);
                r = settings_agent_user(settings, s->key, &user);
                if (r < 0)
                        return r;
                s->plan.key = s->key;
                s->tmp_name = xasprintf("%s-%" PRIu32, q->id, q->run);
                s->home = xasprintf("%s/%s/home", user->home, s->key);
                s->tmp = xasprintf("%s/%s/tmp/%s", user->home, s->key, strempty(s->tmp_name));
                if (!s->tmp_name)
                        return -ENOMEM;
        }
        if (!s->home || !s->tmp)
                return -ENOMEM;
        place = (Place){ .user = user->name, .shell = settings->shell, .home = s->home, .tmp = s->tmp };
        s->plan.base = user->home;
        s->plan.tmp = s->tmp_name;
        s->plan.uid = user->uid;
        s->plan.gid = user->gid;
        s->plan.groups = user->groups;
        s->plan.n_groups = (size_t) user->n_groups;
        s->plan.argv = request_argv(q, &place);
        s->plan.envp = request_environment(q, &place);
        return s->plan.argv && s->plan.envp ? 0 : -ENOMEM;
}

static void starts_pump(Manager *m) {
        Start *next;

        for (Start *s = m->starts; s && m->n_running < STARTS_RUNNING_MAX; s = next) {
                int r;

                next = s->next;
                if (s->running)
                        continue;
                s->running = true;
                m->n_running++;
                r = start_plan(s);
                if (r >= 0)
                        r = sd_event_add_time_relative(
                                        m->event,
                                        &s->timer,
                                        CLOCK_MONOTONIC,
                                        START_TIMEOUT_USEC,
                                        0,
                                        on_timeout,
                                        s);
                if (r >= 0)
                        r = fork_child(s);
                if (r >= 0)
                        r = start_call(s);
                if (r < 0) {
                        /* Which goes on with the next one. */
                        start_fail(s, r, "The start could not be prepared");
                        return;
                }
        }
}

int manager_check_sum(Manager *m, const char *unit, const Limits *limits, bool another, sd_bus_error *e) {
        const Limits *all = limits;
        Sum sum;
        int r;

        r = sum_measure(m->slice_path, unit, &sum);
        if (r < 0)
                return sd_bus_error_setf(e, ERROR_FAILED, "The slice cannot be read: %s", strerror(-r));
        for (Start *s = m->starts; s; s = s->next) {
                _cleanup_free_ char *path = xasprintf("%s/%s", m->slice_path, s->unit);
                if (path && access(path, F_OK) >= 0)
                        continue; /* counted above */
                sum.scopes++;
                sum.memory += s->request.limits.value[LIMIT_MEMORY_MAX];
                sum.tasks += s->request.limits.value[LIMIT_TASKS_MAX];
        }
        if (another && sum.scopes >= m->settings.max_scopes)
                return sd_bus_error_setf(e, ERROR_TOO_MANY, "There are %u scopes already.", sum.scopes);
        if (all->set[LIMIT_MEMORY_MAX] &&
            sum.memory + all->value[LIMIT_MEMORY_MAX] > sum_limit(m->slice_path, ".", "memory.max"))
                return sd_bus_error_setf(
                                e,
                                ERROR_LIMIT_TOO_HIGH,
                                "limits: MemoryMax of all scopes would be above that of " SLICE_NAME ".");
        if (all->set[LIMIT_TASKS_MAX] &&
            sum.tasks + all->value[LIMIT_TASKS_MAX] > sum_limit(m->slice_path, ".", "pids.max"))
                return sd_bus_error_setf(
                                e,
                                ERROR_LIMIT_TOO_HIGH,
                                "limits: TasksMax of all scopes would be above that of " SLICE_NAME ".");
        return 0;
}

int method_start(sd_bus_message *call, void *userdata, sd_bus_error *e) {
        Manager *m = userdata;
        Start *s = NULL, **last;
        Request request = { .dirfd = -EBADF };
        int r;

        r = manager_check_caller(m, call, e);
        if (r >= 0)
                r = manager_check_usable(m, e);
        if (r >= 0)
                r = request_read(call, &request, e);
        if (r >= 0)
                r = request_check(&request, m->settings.runner.uid, e);
        if (r >= 0)
                r = limits_cap(&request.limits, m->settings.ceilings, e);
        if (r >= 0 && m->n_starts >= STARTS_MAX)
                r = sd_bus_error_setf(e, ERROR_TOO_MANY, "%u starts wait already.", m->n_starts);
        if (r >= 0)
                s = new0(Start, 1);
        if (!s) {
                request_done(&request);
                return r < 0 ? r : -ENOMEM;
        }
        *s = (Start){ .manager = m, .request = request, .gate = -EBADF, .pidfd = -EBADF };
        s->call = sd_bus_message_ref(call);
        s->unit = request_unit_name(&request);
        r = s->unit ? manager_check_sum(m, NULL, &s->request.limits, true, e) : -ENOMEM;
        if (r < 0) {
                start_free(s);
                return r;
        }
        for (last = &m->starts; *last; last = &(*last)->next)
                ;
        *last = s;
        m->n_starts++;
        starts_pump(m);
        manager_touch(m);
        return 1;
}

int method_pending(sd_bus_message *call, void *userdata, sd_bus_error *e) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Manager *m = userdata;
        int r;

        r = manager_check_caller(m, call, e);
        if (r >= 0)
                r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "s");
        for (Start *s = m->starts; s && r >= 0; s = s->next)
                r = sd_bus_message_append(reply, "s", s->unit);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(m->bus, reply, NULL);
}

void starts_abandon(Manager *m) {
        Start *s = TAKE_PTR(m->starts), *next;

        for (; s; s = next) {
                next = s->next;
                start_free(s);
        }
        m->n_starts = m->n_running = 0;
}
