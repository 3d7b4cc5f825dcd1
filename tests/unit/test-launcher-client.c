/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <systemd/sd-event.h>

#include "runner/scope/launcher-client.h"

/* The client over a socket pair, with a launcher that answers as it is told. */
typedef struct Fixture {
        sd_event *event;
        sd_bus *client, *server;
        const char *error; /* to answer with, or NULL */
        char *seen;        /* what the call said */
        int calls;         /* to the launcher */

        int done, result;
        char *text, *unit, *invocation;
        LauncherCall *call;
} Fixture;

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        static const uint8_t id[16] = { 0x01, 0xab, [15] = 0xff };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *member = sd_bus_message_get_member(m);
        Fixture *f = userdata;

        f->calls++;
        if (streq(member, "Start")) {
                const char *kind, *name, *workspace, *cwd, *variable, *value, *limit;
                _cleanup_strv_free_ char **argv = NULL;
                uint64_t number;
                uint32_t run;
                int dirfd, extra;
                struct stat st;

                assert_true(sd_bus_message_has_signature(m, "ssusasa{ss}sa{st}hah"));
                assert_true(sd_bus_message_read(m, "ssus", &kind, &name, &run, &workspace) > 0);
                assert_true(sd_bus_message_read_strv(m, &argv) > 0);
                assert_true(sd_bus_message_read(m, "a{ss}", 1, &variable, &value) > 0);
                assert_true(sd_bus_message_read(m, "s", &cwd) > 0);
                assert_true(sd_bus_message_read(m, "a{st}", 1, &limit, &number) > 0);
                assert_true(sd_bus_message_read(m, "hah", &dirfd, 1, &extra) > 0);
                assert_int_equal(fstat(dirfd, &st), 0);
                assert_true(S_ISDIR(st.st_mode));
                assert_int_equal(fstat(extra, &st), 0);
                assert_true(S_ISCHR(st.st_mode));
                free(f->seen);
                f->seen = xasprintf(
                        "%s %s %u %s %s %s=%s %s %s=%llu",
                        kind,
                        name,
                        run,
                        workspace,
                        argv[1],
                        variable,
                        value,
                        cwd,
                        limit,
                        (unsigned long long) number);
        } else if (streq(member, "SetLimits")) {
                const char *unit, *limit;
                uint64_t number;

                assert_true(sd_bus_message_read(m, "sa{st}", &unit, 1, &limit, &number) > 0);
                free(f->seen);
                f->seen = xasprintf("%s %s=%llu", unit, limit, (unsigned long long) number);
        } else {
                const char *unit;

                assert_true(sd_bus_message_read(m, "s", &unit) > 0);
                free(f->seen);
                f->seen = xasprintf("%s %s", member, unit);
        }
        if (f->error)
                return sd_bus_reply_method_errorf(m, f->error, "because");
        assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
        if (streq(member, "Start")) {
                assert_true(sd_bus_message_append(reply, "s", "u.scope") >= 0);
                assert_true(sd_bus_message_append_array(reply, 'y', id, sizeof(id)) >= 0);
        }
        assert_true(sd_bus_send(f->server, reply, NULL) >= 0);
        return 1;
}

static void on_done(int error, const char *text, const char *unit, const char *invocation, void *userdata) {
        Fixture *f = userdata;

        f->done++;
        f->result = error;
        (void) free_and_strdup(&f->text, text);
        (void) free_and_strdup(&f->unit, unit);
        (void) free_and_strdup(&f->invocation, invocation);
        f->call = launcher_call_free(f->call);
}

static int set_up(void **state) {
        Fixture *f = new0(Fixture, 1);
        int fds[2];
        sd_id128_t id;

        *state = f;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_true(sd_id128_randomize(&id) >= 0);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_true(sd_bus_new(&f->server) >= 0);
        assert_true(sd_bus_set_fd(f->server, fds[0], fds[0]) >= 0);
        assert_true(sd_bus_set_server(f->server, true, id) >= 0);
        assert_true(sd_bus_negotiate_fds(f->server, true) >= 0);
        assert_true(sd_bus_new(&f->client) >= 0);
        assert_true(sd_bus_set_fd(f->client, fds[1], fds[1]) >= 0);
        assert_true(sd_bus_negotiate_fds(f->client, true) >= 0);
        assert_true(sd_bus_start(f->server) >= 0);
        assert_true(sd_bus_start(f->client) >= 0);
        assert_true(sd_bus_attach_event(f->server, f->event, 0) >= 0);
        assert_true(sd_bus_attach_event(f->client, f->event, 0) >= 0);
        assert_true(sd_bus_add_object(f->server, NULL, "/org/northflare/Launcher1", on_call, f) >= 0);
        /* A call with descriptors waits for the other side to say that it takes them, which is in this thread, too. */
        while (sd_bus_is_ready(f->client) <= 0)
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        launcher_call_free(f->call);
        sd_bus_flush_close_unref(f->client);
        sd_bus_flush_close_unref(f->server);
        sd_event_unref(f->event);
        free(f->seen);
        free(f->text);
        free(f->unit);
        free(f->invocation);
        free(f);
        return 0;
}

/* Turns the loop until *counter is n. */
static void run_until(Fixture *f, const int *counter, int n) {
        for (int i = 0; i < 100 && *counter < n; i++)
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        assert_int_equal(*counter, n);
}

static void start(Fixture *f, LauncherCall **ret) {
        char *argv[] = { (char *) "/bin/x", (char *) "arg", NULL }, *env[] = { (char *) "A=b=c", NULL };
        const LauncherLimit limits[] = { { "TasksMax", 5 } };
        _cleanup_close_ int dirfd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        const LauncherStart s = {
                .kind = SCOPE_HOOK,
                .id = "c-1",
                .run = 3,
                .workspace = "ws",
                .argv = argv,
                .env = env,
                .cwd = "sub",
                .limits = limits,
                .n_limits = 1,
                .dirfd = dirfd,
                .extra = { null, -EBADF },
                .n_extra = 1,
        };

        int done = f->done;

        assert_int_equal(launcher_start(f->client, &s, on_done, f, ret), 0);
        assert_int_equal(f->done, done);
}

static void test_start(void **state) {
        Fixture *f = *state;

        start(f, &f->call);
        run_until(f, &f->done, 1);
        assert_string_equal(f->seen, "hook c-1 3 ws arg A=b=c sub TasksMax=5");
        assert_int_equal(f->result, 0);
        assert_null(f->text);
        assert_string_equal(f->unit, "u.scope");
        assert_string_equal(f->invocation, "01ab00000000000000000000000000ff");
        /* Nobody holds this one. */
        start(f, NULL);
        run_until(f, &f->done, 2);
}

static void test_errors(void **state) {
        static const struct {
                const char *name;
                int result;
        } errors[] = {
                { "org.northflare.Launcher1.Error.InvalidArgument", -EINVAL },
                { "org.northflare.Launcher1.Error.LimitTooHigh", -ERANGE },
                { "org.northflare.Launcher1.Error.TooMany", -EAGAIN },
                { "org.northflare.Launcher1.Error.NotOurs", -EPERM },
                { "org.northflare.Launcher1.Error.NoSuchUnit", -ENOENT },
                { "org.northflare.Launcher1.Error.Exists", -EEXIST },
                { "org.northflare.Launcher1.Error.AccessDenied", -EACCES },
                { "org.northflare.Launcher1.Error.Failed", -EIO },
                { "org.example.Unheard", -EIO },
                { SD_BUS_ERROR_NO_REPLY, -ETIMEDOUT },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                f->error = errors[i].name;
                f->done = 0;
                start(f, &f->call);
                run_until(f, &f->done, 1);
                assert_int_equal(f->result, errors[i].result);
                assert_string_equal(f->text, "because");
                assert_null(f->unit);
        }
}

static void test_verbs(void **state) {
        const LauncherLimit limits[] = { { "MemoryMax", 9 } };
        Fixture *f = *state;

        assert_int_equal(launcher_unit_verb(f->client, "Stop", "a.scope", on_done, f, &f->call), 0);
        run_until(f, &f->done, 1);
        assert_string_equal(f->seen, "Stop a.scope");
        assert_int_equal(f->result, 0);
        assert_null(f->unit);
        assert_int_equal(launcher_set_limits(f->client, "b.scope", limits, 1, on_done, f, &f->call), 0);
        run_until(f, &f->done, 2);
        assert_string_equal(f->seen, "b.scope MemoryMax=9");
        assert_int_equal(f->result, 0);
}

static void test_freed(void **state) {
        Fixture *f = *state;

        start(f, &f->call);
        f->call = launcher_call_free(f->call);
        run_until(f, &f->calls, 1);
        /* A second call is answered after the first one: were done to run for that, it would have by then. */
        assert_int_equal(launcher_unit_verb(f->client, "Stop", "a.scope", on_done, f, &f->call), 0);
        run_until(f, &f->done, 1);
        assert_null(f->unit);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_start), CASE(test_errors), CASE(test_verbs), CASE(test_freed)
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
