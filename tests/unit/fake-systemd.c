/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "fake-systemd.h"

#define DEADLINE_SEC 100U
#define DEADLINE_USEC (DEADLINE_SEC * USEC_PER_SEC)
#define LAUNCHER "org.northflare.Launcher1"
#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"

_printf_(2, 3) __attribute__((noreturn)) static void give_up(World *w, const char *format, ...) {
        _cleanup_free_ char *what = NULL, *log = NULL;
        const char *launcher = "does not run";
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&what, format, ap) < 0)
                what = NULL;
        va_end(ap);
        (void) read_file_at(AT_FDCWD, world_path(w, "launcher.log"), 1 << 20, &log, NULL);
        if (w->launcher > 0)
                launcher = waitpid(w->launcher, NULL, WNOHANG) == 0 ? "runs" : "has ended";
        if (streq(launcher, "has ended"))
                w->launcher = 0;
        fail_msg(
                "%s was awaited for %u seconds. The launcher %s; calls of systemd not taken: %zu, first: %s. Its log: %s",
                strempty(what),
                DEADLINE_SEC,
                launcher,
                w->n_calls,
                w->n_calls > 0 ? sd_bus_message_get_member(w->calls[0]) : "none",
                strempty(log));
        abort();
}

/* Runs what comes until the condition holds. The bound is for a hang, and says what it was. */
#define AWAIT(w, condition, ...)                                                             \
        for (uint64_t until = now_usec(CLOCK_MONOTONIC) + DEADLINE_USEC, now; !(condition);) \
                if ((now = now_usec(CLOCK_MONOTONIC)) >= until ||                            \
                    sd_event_run((w)->event, until - now) < 0)                               \
        give_up((w), __VA_ARGS__)

const char *world_path(World *w, const char *name) {
        static char path[512];

        (void) snprintf(path, sizeof(path), "%s/%s", w->dir, name);
        return path;
}

void world_put(World *w, const char *path, const char *text) {
        const char *name = world_path(w, path), *slash = strrchr(name, '/');
        _cleanup_free_ char *dir = strndup(name, (size_t) (slash - name));
        _cleanup_close_ int fd = -EBADF;

        assert_int_equal(mkdir_parents(dir, 0755), 0);
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(write_file_atomic_at(fd, slash + 1, text, strlen(text), 0644), 0);
}

void world_configure(World *w, const char *text) {
        world_put(w, w->system ? "etc/launcher.json" : "config/northflare/launcher.json", text);
}

/* output: -EBADF: the log as well; and what the launcher must not mind, a descriptor and SIGCHLD as its parent had them. */
static pid_t spawn(const char *path, char *const argv[], char *const envp[], const char *log, int output) {
        pid_t parent = getpid(), pid = fork();

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        /* A shell has its background ignore some. */
        for (int i = 1; i < 32; i++)
                (void) signal(i, SIG_DFL);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || fd < 0 ||
            dup2(fd, STDERR_FILENO) < 0 || dup2(output >= 0 ? output : fd, STDOUT_FILENO) < 0 ||
            close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ||
            (output < 0 && (dup2(STDERR_FILENO, 40) < 0 || signal(SIGCHLD, SIG_IGN) == SIG_ERR)))
                _exit(99);
        (void) execvpe(path, argv, envp);
        _exit(99);
}

static sd_bus *connect_bus(World *w) {
        _cleanup_free_ char *address = xasprintf("unix:path=%s/bus", w->dir);
        sd_bus *bus;

        assert_int_equal(sd_bus_new(&bus), 0);
        assert_true(sd_bus_set_address(bus, address) >= 0);
        assert_true(sd_bus_set_bus_client(bus, 1) >= 0);
        assert_true(sd_bus_negotiate_fds(bus, 1) >= 0);
        assert_true(sd_bus_start(bus) >= 0);
        /* The bus knows the user by the socket, which is made now. */
        assert_true(
                sd_bus_call_method(
                        bus,
                        "org.freedesktop.DBus",
                        "/org/freedesktop/DBus",
                        "org.freedesktop.DBus",
                        "GetId",
                        NULL,
                        NULL,
                        NULL) >= 0);
        return bus;
}

sd_bus *world_connect(World *w, uid_t uid) {
        sd_bus *bus;

        assert_int_equal(seteuid(uid), 0);
        bus = connect_bus(w);
        assert_int_equal(seteuid(0), 0);
        assert_true(sd_bus_attach_event(bus, w->event, 0) >= 0);
        return bus;
}

static int on_systemd(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        World *w = userdata;
        uint8_t type;

        assert_true(sd_bus_message_get_type(m, &type) >= 0);
        if (type != SD_BUS_MESSAGE_METHOD_CALL)
                return 0;
        assert_true(w->n_calls < CALLS_MAX);
        w->calls[w->n_calls++] = sd_bus_message_ref(m);
        return 1;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        const char *name, *old, *new;
        World *w = userdata;

        assert_true(sd_bus_message_read(m, "sss", &name, &old, &new) > 0);
        w->has_name = *new != 0;
        return 0;
}

void systemd_come(World *w) {
        w->systemd = connect_bus(w);
        assert_true(sd_bus_attach_event(w->systemd, w->event, 0) >= 0);
        assert_true(sd_bus_add_filter(w->systemd, NULL, on_systemd, w) >= 0);
        assert_true(sd_bus_request_name(w->systemd, SYSTEMD, 0) >= 0);
}

void systemd_leave(World *w) {
        while (w->n_calls > 0)
                sd_bus_message_unref(w->calls[--w->n_calls]);
        w->systemd = sd_bus_flush_close_unref(w->systemd);
}

static int set_up(void **state, bool system) {
        static const char config[] =
                "<busconfig><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>"
                "<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>"
                "<allow eavesdrop=\"true\"/><allow own=\"*\"/><allow user=\"*\"/></policy>"
                "<limit name=\"max_replies_per_connection\">1000</limit>"
                "<limit name=\"auth_timeout\">3600000</limit></busconfig>";
        static const char *const switches[] = {
                "NF_TEST_CHECKER",  "NF_TEST_DISK",   "NF_TEST_FAIL",      "NF_TEST_JOURNAL",
                "NF_TEST_LATE",     "NF_TEST_LEAVES", "NF_TEST_NO_ANSWER", "NF_TEST_PARSER",
                "NF_TEST_RELATIVE", "NF_TEST_SLOWER", "NF_TEST_STUCK",
        };
        World *w = new0(World, 1);
        _cleanup_free_ char *text = NULL, *option = NULL;
        char line[256];
        int out[2];

        *state = w;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        /* Of a slow machine no call is to fail; of the launcher those that are to fail are named. */
        assert_int_equal(setenv("SYSTEMD_BUS_TIMEOUT", "1h", 1), 0);
        /* From a test that failed. */
        for (size_t i = 0; i < ELEMENTSOF(switches); i++)
                assert_int_equal(unsetenv(switches[i]), 0);
        (void) snprintf(w->dir, sizeof(w->dir), "/tmp/nf-test-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        assert_int_equal(chmod(w->dir, 0755), 0);
        w->system = system;
        text = xasprintf(config, w->dir);
        world_put(w, "bus.conf", text);
        if (system)
                world_put(w, "state/README", "");
        world_put(w, "homes/README", "");
        for (uid_t u = GIT_UID; system && u <= AGENT2_UID; u++) {
                (void) snprintf(line, sizeof(line), "homes/%u", (unsigned) u);
                assert_int_equal(mkdir(world_path(w, line), 0700), 0);
                assert_int_equal(chown(world_path(w, line), u, u), 0);
        }
        option = xasprintf("--config-file=%s/bus.conf", w->dir);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        w->daemon = spawn(
                "dbus-daemon",
                (char *[]){ (char *) "dbus-daemon",
                            option,
                            (char *) "--nofork",
                            (char *) "--nopidfile",
                            (char *) "--print-address=1",
                            NULL },
                environ,
                world_path(w, "bus.log"),
                out[1]);
        safe_close(out[1]);
        if (poll(&(struct pollfd){ .fd = out[0], .events = POLLIN }, 1, DEADLINE_SEC * 1000) != 1)
                give_up(w, "The address of dbus-daemon");
        assert_true(read(out[0], line, sizeof(line)) > 0);
        safe_close(out[0]);
        assert_int_equal(sd_event_new(&w->event), 0);
        systemd_come(w);
        if (system)
                w->caller = world_connect(w, RUNNER_UID);
        else {
                w->caller = connect_bus(w);
                assert_true(sd_bus_attach_event(w->caller, w->event, 0) >= 0);
        }
        assert_true(
                sd_bus_add_match(
                        w->caller,
                        NULL,
                        "type='signal',sender='org.freedesktop.DBus',"
                        "member='NameOwnerChanged',arg0='" LAUNCHER "'",
                        on_owner,
                        w) >= 0);
        return 0;
}

int world_set_up(void **state) {
        return set_up(state, false);
}

int world_set_up_system(void **state) {
        return set_up(state, true);
}

static void end(pid_t pid) {
        if (pid <= 0)
                return;
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
}

/* What the launcher has started outlives it, and is the test's then. */
static void end_orphans(void) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int) getpid());
        for (;;) {
                _cleanup_free_ char *pids = NULL;

                assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &pids, NULL), 0);
                if (isempty(pids))
                        return;
                end((pid_t) strtol(pids, NULL, 10));
        }
}

int world_tear_down(void **state) {
        World *w = *state;

        end(w->launcher);
        systemd_leave(w);
        sd_bus_flush_close_unref(w->caller);
        end(w->daemon);
        end_orphans();
        sd_event_unref(w->event);
        (void) remove_tree_at(AT_FDCWD, w->dir);
        free(w);
        return 0;
}

void world_spawn(World *w, const char *const options[]) {
        _cleanup_strv_free_ char **argv = NULL, **env = NULL;
        _cleanup_free_ char *homes = xasprintf("%s/homes", w->dir);

        assert_int_equal(strv_extend(&argv, "northflare-launcher"), 0);
        if (!w->system)
                assert_int_equal(strv_extend(&argv, "--user"), 0);
        STRV_FOREACH(o, options)
                assert_int_equal(strv_extend(&argv, *o), 0);
        assert_int_equal(strv_extend(&env, "PATH=/usr/bin:/bin"), 0);
        STRV_FOREACH(e, environ)
                if (startswith(*e, "NF_") || startswith(*e, "SYSTEMD_BUS_TIMEOUT="))
                        assert_int_equal(strv_extend(&env, *e), 0);
        /* It is on the one bus alone. */
        assert_int_equal(
                strv_consume(
                        &env,
                        xasprintf(
                                "DBUS_%s_BUS_ADDRESS=unix:path=%s/bus",
                                w->system ? "SYSTEM" : "SESSION",
                                w->dir)),
                0);
        assert_int_equal(strv_consume(&env, xasprintf("XDG_CONFIG_HOME=%s/config", w->dir)), 0);
        assert_int_equal(strv_consume(&env, xasprintf("XDG_CACHE_HOME=%s/cache", w->dir)), 0);
        assert_int_equal(
                strv_consume(
                        &env, xasprintf("XDG_STATE_HOME=%s%s", strempty(getenv("NF_TEST_RELATIVE")), homes)),
                0);
        assert_int_equal(strv_consume(&env, xasprintf("STATE_DIRECTORY=%s/state", w->dir)), 0);
        assert_int_equal(strv_consume(&env, xasprintf("NOTIFY_SOCKET=%s/notify", w->dir)), 0);
        assert_int_equal(strv_consume(&env, xasprintf("NF_TEST_SYSCONFDIR=%s/etc", w->dir)), 0);
        assert_int_equal(strv_consume(&env, xasprintf("NF_TEST_HOMES=%s/homes", w->dir)), 0);
        assert_int_equal(strv_consume(&env, xasprintf("NF_TEST_DROPS=%s/drops", w->dir)), 0);
        w->launcher = spawn(getenv("NF_LAUNCHER"), argv, env, world_path(w, "launcher.log"), -EBADF);
}

void world_launch(World *w, unsigned faster) {
        _cleanup_free_ char *cgroup = xasprintf("/../../..%s/cgroup", w->dir), *n = xasprintf("%u", faster);

        assert_int_equal(setenv("NF_TEST_FASTER", n, 1), 0);
        world_spawn(w, NULL);
        answer(w, next_call(w, "Get"), "v", "s", cgroup);
        wait_name(w, true);
}

void wait_name(World *w, bool there) {
        AWAIT(w, w->has_name == there, "The launcher's name, to be %s,", there ? "on the bus" : "gone");
}

int world_wait_stopped_child(World *w) {
        _cleanup_free_ char *path = xasprintf(
                "/proc/%d/task/%d/children", (int) w->launcher, (int) w->launcher);
        bool stopped = false;
        long pid = 0;

        while (!stopped) {
                _cleanup_free_ char *children = NULL, *name = NULL, *stat = NULL;

                assert_int_equal(read_file_at(AT_FDCWD, path, 4096, &children, NULL), 0);
                pid = strtol(children, NULL, 10);
                name = xasprintf("/proc/%ld/stat", pid);
                stopped = pid > 0 && read_file_at(AT_FDCWD, name, 4096, &stat, NULL) >= 0 &&
                        strstr(stat, ") T ");
        }
        return (int) syscall(SYS_pidfd_open, (pid_t) pid, 0);
}

int world_wait_exit(World *w) {
        _cleanup_close_ int pidfd = (int) syscall(SYS_pidfd_open, w->launcher, 0);
        int status;

        if (poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, DEADLINE_SEC * 1000) != 1)
                give_up(w, "The launcher's end");
        assert_int_equal(waitpid(w->launcher, &status, 0), w->launcher);
        w->launcher = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void world_kill(World *w) {
        assert_int_equal(kill(w->launcher, SIGKILL), 0);
        assert_int_equal(world_wait_exit(w), 256 + SIGKILL);
        wait_name(w, false);
}

int world_run(World *w, const char *name) {
        _cleanup_free_ char *path = xasprintf("%s/run-%s", w->dir, name);
        int fd;

        if (mkdir(path, 0700) >= 0) {
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_int_equal(mkfifoat(fd, "done", 0666), 0);
                assert_int_equal(fchmodat(fd, "done", 0666, 0), 0);
                if (w->system)
                        assert_int_equal(fchown(fd, RUNNER_UID, RUNNER_UID), 0);
                return fd;
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

char *world_run_file(World *w, const char *run, const char *file) {
        _cleanup_close_ int dir = world_run(w, run), fifo = openat(dir, "done", O_RDWR | O_CLOEXEC);
        struct pollfd p = { .fd = fifo, .events = POLLIN };
        char *text;

        assert_true(fifo >= 0);
        /* Once: the pipe forgets. */
        if (mkdirat(dir, "waited", 0700) >= 0 && poll(&p, 1, DEADLINE_SEC * 1000) != 1)
                give_up(w, "The end of the supervisor of %s", run);
        assert_int_equal(read_file_at(dir, file, 1 << 20, &text, NULL), 0);
        return text;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        const sd_bus_error *error = sd_bus_message_get_error(m);
        Reply *r = userdata;

        r->message = sd_bus_message_ref(m);
        r->error = error ? error->name : NULL;
        r->text = error ? error->message : NULL;
        r->done = true;
        return 0;
}

static void send_call(World *w, Reply *r, sd_bus *by, sd_bus_message *m) {
        *r = (Reply){};
        (void) snprintf(r->member, sizeof(r->member), "%s", sd_bus_message_get_member(m));
        assert_true(sd_bus_call_async(by, &r->slot, m, on_reply, r, UINT64_MAX) >= 0);
        assert_true(sd_bus_flush(by) >= 0);
}

void call(World *w, Reply *r, sd_bus *by, const char *member, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        va_list ap;

        assert_true(
                sd_bus_message_new_method_call(
                        by, &m, LAUNCHER, "/org/northflare/Launcher1", LAUNCHER, member) >= 0);
        va_start(ap, types);
        assert_true(!types || sd_bus_message_appendv(m, types, ap) >= 0);
        va_end(ap);
        send_call(w, r, by, m);
}

void start(World *w, Reply *r, const Start *s) {
        const char *const shell[] = { "/bin/sh", "-c", s->script ?: "true", NULL };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        const char *id = s->id ?: "c";
        uint32_t run = s->run > 0 ? s->run : 1;
        _cleanup_free_ char *name = xasprintf("%s-%u", id, run);
        _cleanup_close_ int made = s->dirfd == 0 ? world_run(w, name) : -EBADF;

        assert_true(
                sd_bus_message_new_method_call(
                        w->caller, &m, LAUNCHER, "/org/northflare/Launcher1", LAUNCHER, "Start") >= 0);
        assert_true(
                sd_bus_message_append(m, "ssus", s->kind ?: "agent", id, run, s->workspace ?: "ws") >= 0);
        assert_true(sd_bus_message_append_strv(m, (char **) (s->argv ?: shell)) >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "{ss}") >= 0);
        for (const char *const *e = s->env; e && *e; e += 2)
                assert_true(sd_bus_message_append(m, "{ss}", e[0], e[1]) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_append(m, "s", s->cwd ?: "") >= 0);
        assert_true(
                s->limit ? sd_bus_message_append(m, "a{st}", 1, s->limit, s->value) >= 0 :
                           sd_bus_message_append(m, "a{st}", 0) >= 0);
        assert_true(sd_bus_message_append(m, "h", s->dirfd == 0 ? made : s->dirfd) >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "h") >= 0);
        for (unsigned i = 0; i < s->n_extra; i++)
                assert_true(sd_bus_message_append(m, "h", s->extra[i]) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        send_call(w, r, w->caller, m);
}

void reply_done(Reply *r) {
        sd_bus_slot_unref(r->slot);
        sd_bus_message_unref(r->message);
        *r = (Reply){};
}

void wait_reply(World *w, Reply *r) {
        AWAIT(w, r->done, "The launcher's answer to %s", r->member);
}

void wait_good(World *w, Reply *r) {
        wait_reply(w, r);
        if (r->error)
                fail_msg("%s: %s", r->error, r->text);
        reply_done(r);
}

void wait_error(World *w, Reply *r, const char *error, const char *begin) {
        wait_reply(w, r);
        if (!r->error)
                fail_msg("no error, but %s: %s was awaited", error, begin);
        if (!streq_ptr(startswith(r->error, LAUNCHER ".Error."), error) || !startswith(r->text, begin))
                fail_msg("%s: %s, in place of %s: %s", r->error, r->text, error, begin);
        reply_done(r);
}

void no_calls(World *w) {
        Reply r;

        /* What the launcher has sent before is on its way to systemd when this answer is there. */
        call(w, &r, w->caller, "Pending", NULL);
        wait_good(w, &r);
        assert_true(
                sd_bus_call_method(
                        w->systemd,
                        "org.freedesktop.DBus",
                        "/org/freedesktop/DBus",
                        "org.freedesktop.DBus",
                        "GetId",
                        NULL,
                        NULL,
                        NULL) >= 0);
        while (sd_bus_process(w->systemd, NULL) > 0)
                ;
        if (w->n_calls > 0)
                fail_msg("systemd is called: %s", sd_bus_message_get_member(w->calls[0]));
}

sd_bus_message *next_call(World *w, const char *member) {
        static sd_bus_message *m;

        AWAIT(w, w->n_calls > 0, "The launcher's call of systemd's %s", member);
        sd_bus_message_unref(m);
        m = w->calls[0];
        w->n_calls--;
        for (size_t i = 0; i < w->n_calls; i++)
                w->calls[i] = w->calls[i + 1];
        assert_string_equal(sd_bus_message_get_member(m), member);
        return m;
}

void answer(World *w, sd_bus_message *call, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        va_list ap;

        assert_true(sd_bus_message_new_method_return(call, &m) >= 0);
        va_start(ap, types);
        assert_true(!types || sd_bus_message_appendv(m, types, ap) >= 0);
        va_end(ap);
        assert_true(sd_bus_send(w->systemd, m, NULL) >= 0);
        assert_true(sd_bus_flush(w->systemd) >= 0);
}

void answer_error(World *w, sd_bus_message *call, const char *name) {
        _cleanup_free_ char *full = strchr(name, '.') ? strdup(name) : xasprintf(SYSTEMD ".%s", name);

        assert_true(sd_bus_reply_method_errorf(call, full, "because of %s", name) >= 0);
        assert_true(sd_bus_flush(w->systemd) >= 0);
}

void job_removed(World *w, const char *job, const char *unit, const char *result) {
        assert_true(
                sd_bus_emit_signal(
                        w->systemd,
                        MANAGER_PATH,
                        SYSTEMD ".Manager",
                        "JobRemoved",
                        "uoss",
                        7U,
                        job,
                        unit,
                        result) >= 0);
        assert_true(sd_bus_flush(w->systemd) >= 0);
}

char *property_of(sd_bus_message *m, const char *name) {
        bool starts = streq(sd_bus_message_get_member(m), "StartTransientUnit");
        const char *unit, *mode, *key, *type;
        char *found = NULL;

        assert_true(sd_bus_message_has_signature(m, starts ? "ssa(sv)a(sa(sv))" : "sba(sv)"));
        assert_true(sd_bus_message_rewind(m, 1) >= 0);
        assert_true(sd_bus_message_read(m, "s", &unit) > 0);
        if (starts) {
                assert_true(sd_bus_message_read(m, "s", &mode) > 0);
                assert_string_equal(mode, "fail");
        } else
                assert_true(sd_bus_message_skip(m, NULL) >= 0);
        assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
        while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
                assert_true(sd_bus_message_read(m, "s", &key) > 0);
                assert_true(sd_bus_message_peek_type(m, NULL, &type) > 0);
                if (streq(key, name)) {
                        const char *s;
                        uint64_t t;
                        uint32_t u;
                        int b;

                        assert_null(found); /* not twice */
                        if (streq(type, "s") && sd_bus_message_read(m, "v", type, &s) > 0)
                                found = strdup(s);
                        else if (streq(type, "t") && sd_bus_message_read(m, "v", type, &t) > 0)
                                found = xasprintf("%llu", (unsigned long long) t);
                        else if (streq(type, "b") && sd_bus_message_read(m, "v", type, &b) > 0)
                                found = strdup(b ? "yes" : "no");
                        else if (streq(type, "as") && sd_bus_message_read(m, "v", type, 1, &s) > 0)
                                found = strdup(s);
                        else if (streq(type, "au") && sd_bus_message_read(m, "v", type, 1, &u) > 0)
                                found = xasprintf("%u", (unsigned) u);
                        assert_non_null(found);
                } else
                        assert_true(sd_bus_message_skip(m, "v") >= 0);
                assert_true(sd_bus_message_exit_container(m) >= 0);
        }
        return found;
}

int take_start(World *w, const char *unit, const char *job) {
        sd_bus_message *m = next_call(w, "StartTransientUnit");
        _cleanup_free_ char *pid = property_of(m, "PIDs");
        const char *name;
        int fd;

        assert_true(sd_bus_message_rewind(m, 1) >= 0);
        assert_true(sd_bus_message_read(m, "s", &name) > 0);
        assert_string_equal(name, unit);
        fd = (int) syscall(SYS_pidfd_open, (pid_t) strtol(pid, NULL, 10), 0);
        assert_true(fd >= 0);
        answer(w, m, "o", job);
        return fd;
}

void finish_start(World *w, const char *unit, const char *job) {
        static const uint8_t id[2] = { 0xab, 0xcd };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *interface, *property;

        job_removed(w, job, unit, "done");
        sd_bus_message *m = next_call(w, "Get");
        assert_true(sd_bus_message_read(m, "ss", &interface, &property) > 0);
        assert_string_equal(interface, SYSTEMD ".Unit");
        assert_string_equal(property, "InvocationID");
        assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
        assert_true(sd_bus_message_open_container(reply, 'v', "ay") >= 0);
        assert_true(sd_bus_message_append_array(reply, 'y', id, sizeof(id)) >= 0);
        assert_true(sd_bus_message_close_container(reply) >= 0);
        assert_true(sd_bus_send(w->systemd, reply, NULL) >= 0);
        assert_true(sd_bus_flush(w->systemd) >= 0);
}

void wait_childless(World *w) {
        uint64_t until = now_usec(CLOCK_MONOTONIC) + DEADLINE_USEC;
        char path[64];

        (void) snprintf(
                path, sizeof(path), "/proc/%d/task/%d/children", (int) w->launcher, (int) w->launcher);
        for (;;) {
                _cleanup_free_ char *pids = NULL;

                assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &pids, NULL), 0);
                if (isempty(pids))
                        return;
                if (now_usec(CLOCK_MONOTONIC) >= until)
                        give_up(w, "That the launcher has no child");
                (void) usleep(USEC_PER_MSEC);
        }
}

bool is_alive(int pidfd) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) == 0;
}

void wait_gone(int pidfd_consumed) {
        struct pollfd p = { .fd = pidfd_consumed, .events = POLLIN };

        assert_true(pidfd_consumed >= 0);
        if (poll(&p, 1, DEADLINE_SEC * 1000) != 1)
                fail_msg("The end of the child of a start was awaited for %u seconds.", DEADLINE_SEC);
        safe_close(pidfd_consumed);
}
