/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "fake-systemd.h"

/* Starts, in user mode: what systemd is asked for, what comes of each of its answers, and when the program may begin. */

#define UNIT "northflare-conversation-c-1.scope"
#define JOB "/org/freedesktop/systemd1/job/7"
#define WS "50a66195d31a5bb6" /* of the workspace ws */

static void is_text(char *text_consume, const char *expected) {
        assert_non_null(text_consume);
        assert_string_equal(text_consume, expected);
        free(text_consume);
}

static void begins(char *text_consume, const char *expected) {
        assert_non_null(text_consume);
        if (!startswith(text_consume, expected))
                fail_msg("“%s” does not begin with “%s”", text_consume, expected);
        free(text_consume);
}

static void has_property(sd_bus_message *m, const char *name, const char *value) {
        _cleanup_free_ char *v = property_of(m, name);

        if (!streq_ptr(v, value))
                fail_msg("%s is %s, not %s", name, v ?: "not there", value ?: "none");
}

/* A start that comes to its end, for tests of what stands around. */
static void start_good(World *w, const Start *s, const char *unit) {
        Reply r;

        start(w, &r, s);
        safe_close(take_start(w, unit, JOB));
        finish_start(w, unit, JOB);
        wait_good(w, &r);
}

static void test_good(void **state) {
        const char *const env[] = { "A", "b c", NULL };
        _cleanup_free_ char *facts = NULL, *out = NULL;
        const char *unit;
        const void *id;
        World *w = *state;
        size_t size;
        Reply r;

        world_launch(w, 1);
        start(w,
              &r,
              &(Start){ .script = "echo \"$A in ${PWD##*/}\"; echo $HOME $SHELL $TMPDIR", .env = env });
        sd_bus_message *m = next_call(w, "StartTransientUnit");
        assert_string_equal(sd_bus_message_get_path(m), "/org/freedesktop/systemd1");
        has_property(m, "Description", "Northflare: run 1 of c");
        has_property(m, "Slice", "northflare.slice");
        has_property(m, "After", "northflare-runner.service");
        has_property(m, "Delegate", "yes");
        has_property(m, "IPAccounting", "yes");
        has_property(m, "User", NULL);
        has_property(m, "OOMPolicy", "continue");
        has_property(m, "KillMode", "control-group");
        has_property(m, "TimeoutStopUSec", "15000000");
        has_property(m, "CollectMode", "inactive");
        has_property(m, "TasksMax", "1024");
        has_property(m, "CPUWeight", "100");
        has_property(m, "MemorySwapMax", "4294967296");
        /* Half of what the machine has. */
        has_property(m, "MemoryMax", "1073741824");
        has_property(m, "CPUQuotaPerSecUSec", NULL);
        /* The default, and two minutes. */
        has_property(m, "RuntimeMaxUSec", "2592120000000");
        answer(w, m, "o", JOB);
        no_calls(w);
        assert_false(r.done);
        finish_start(w, UNIT, JOB);
        wait_reply(w, &r);
        assert_null(r.error);
        assert_true(sd_bus_message_read(r.message, "s", &unit) > 0);
        assert_true(sd_bus_message_read_array(r.message, 'y', &id, &size) > 0);
        assert_string_equal(unit, UNIT);
        assert_int_equal(size, 2);
        assert_memory_equal(id, "\xab\xcd", 2);
        reply_done(&r);
        facts = world_run_file(w, "c-1", "facts");
        if (!endswith(facts, " fds 0 1 2 3 4 1073741824 2592060000000 env 0 death 0 signals 0 0\n"))
                fail_msg("%s", facts);
        begins(world_run_file(w, "c-1", "report"), "1 0 0 /");
        /* stdin, stdout, and the pipe that makes the signal; its ends do not block. */
        is_text(world_run_file(w, "c-1", "pipes"), "w r rna wn signal 15 of agent 1\n");
        out = xasprintf(
                "b c in " WS "\n%s/homes/northflare-agent/" WS "/home %s %s/homes/northflare-agent/" WS
                "/tmp/c-1\n",
                w->dir,
                access("/bin/bash", X_OK) >= 0 ? "/bin/bash" : "/bin/sh",
                w->dir);
        is_text(world_run_file(w, "c-1", "out"), out);
        is_text(world_run_file(w, "c-1", "end"), "0\n");
        no_calls(w);
        /* Its bound has gone with it. */
        assert_int_equal(kill(w->launcher, SIGUSR1), 0);
        no_calls(w);
        no_calls(w);
}

static void test_facts(void **state) {
        _cleanup_free_ char *facts = NULL, *expected = NULL;
        World *w = *state;

        /* All users are the same one, and none has another home. */
        world_configure(w, "{\"outLogMaxBytes\": 12345, \"agentUsers\": [\"x\"]}");
        world_launch(w, 1);
        start_good(
                w,
                &(Start){ .limit = "RuntimeMaxUSec", .value = 8000000, .script = "echo ${HOME%/*/*}" },
                UNIT);
        expected = xasprintf("%s/homes/northflare-agent\n", w->dir);
        is_text(world_run_file(w, "c-1", "out"), expected);
        free(expected);
        facts = world_run_file(w, "c-1", "facts");
        /* The supervisor keeps the time somewhat longer: here by the five seconds that are the least. */
        expected = xasprintf("uid %u gid %u", (unsigned) getuid(), (unsigned) getgid());
        assert_true(startswith(facts, expected));
        if (!endswith(facts, " nnp 1 fds 0 1 2 3 4 12345 13000000 env 0 death 0 signals 0 0\n"))
                fail_msg("%s", facts);
        start_good(
                w,
                &(Start){ .run = 2, .limit = "RuntimeMaxUSec", .value = 100000000 },
                "northflare-conversation-c-2.scope");
        free(facts);
        facts = world_run_file(w, "c-2", "facts");
        assert_true(endswith(facts, " 125000000 env 0 death 0 signals 0 0\n"));
        start_good(
                w,
                &(Start){ .run = 3, .limit = "RuntimeMaxUSec", .value = 4000000000 },
                "northflare-conversation-c-3.scope");
        free(facts);
        facts = world_run_file(w, "c-3", "facts");
        assert_true(endswith(facts, " 4060000000 env 0 death 0 signals 0 0\n"));
}

/* What is short has no swap and less of all, and git a home of its own. */
static void test_operation(void **state) {
        static const char *const kinds[][2] = { { "git", "64" }, { "hook", "512" } };
        const char *const argv[] = { "/bin/sh", "-c", "pwd; echo $HOME", NULL };
        _cleanup_free_ char *out = NULL;
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                start(w, &r, &(Start){ .kind = kinds[i][0], .argv = argv });
                sd_bus_message *m = next_call(w, "StartTransientUnit");
                has_property(m, "MemoryMax", "1073741824");
                has_property(m, "MemorySwapMax", "0");
                has_property(m, "TasksMax", kinds[i][1]);
                has_property(m, "CPUQuotaPerSecUSec", "2000000");
                has_property(m, "CPUWeight", NULL);
                has_property(m, "RuntimeMaxUSec", "3720000000");
                answer_error(w, m, "UnitMasked");
                wait_error(w, &r, "Failed", "systemd: ");
        }
        start_good(w, &(Start){ .kind = "git", .argv = argv, .workspace = "" }, "northflare-git-c-1.scope");
        out = xasprintf("%s/cache/northflare-git\n%s/cache/northflare-git\n", w->dir, w->dir);
        is_text(world_run_file(w, "c-1", "out"), out);
}

/* Agents need a home, the runner none. */
static void test_no_home(void **state) {
        World *w = *state;
        Reply r;

        assert_int_equal(setenv("NF_TEST_RELATIVE", ".", 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_RELATIVE"), 0);
        start(w, &r, &(Start){});
        wait_error(w, &r, "Failed", "User northflare-agent has no home directory");
}

/* Which descriptors the processes have when they drop their privileges: the parser the socket for its answer, the process
 * that checks a request that too and the request's own, an agent its control socket and its private file, the supervisor
 * the control socket and the run's directory. */
static void test_drops(void **state) {
        _cleanup_close_ int file = -EBADF;
        World *w = *state;
        char *drops;
        Reply r;

        world_put(w, "secret", "secret");
        file = open(world_path(w, "secret"), O_RDONLY | O_CLOEXEC);
        world_configure(w, "{}");
        world_launch(w, 1);
        start(w, &r, &(Start){ .extra = { file }, .n_extra = 1 });
        safe_close(take_start(w, UNIT, JOB));
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        is_text(world_run_file(w, "c-1", "end"), "0\n");
        assert_int_equal(read_file_at(AT_FDCWD, world_path(w, "drops"), 4096, &drops, NULL), 0);
        is_text(drops, " 3\n 3 4 5\n 3 4\n 3 4\n");
}

/* What the caller has said is not systemd's to keep; root's ceiling is in any case. */
static void test_runtime(void **state) {
        sd_bus_message *m;
        World *w = *state;
        Reply r, s;

        world_configure(
                w, "{\"ceilings\": {\"runtimeMaxSec\": 100, \"ioWeight\": 50, \"memoryHigh\": 7000}}");
        world_launch(w, 1);
        start(w, &r, &(Start){ .limit = "RuntimeMaxUSec", .value = 5000000 });
        m = next_call(w, "StartTransientUnit");
        has_property(m, "RuntimeMaxUSec", "220000000");
        /* A ceiling is a limit where nobody says another. */
        has_property(m, "IOWeight", "50");
        has_property(m, "MemoryHigh", "7000");
        start(w, &s, &(Start){ .id = "d", .limit = "RuntimeMaxUSec", .value = 100000001 });
        wait_error(
                w,
                &s,
                "LimitTooHigh",
                "limits: RuntimeMaxUSec is 100000001, above the ceiling of 100000000.");
        reply_done(&r);
}

static void test_runtime_of_caller(void **state) {
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        start(w, &r, &(Start){ .limit = "RuntimeMaxUSec", .value = 5000000 });
        has_property(next_call(w, "StartTransientUnit"), "RuntimeMaxUSec", NULL);
        reply_done(&r);
}

/* A byte opens the gate, when the job of this start is done, and nothing else does. */
static void test_gate(void **state) {
        static const char *const others[][2] = {
                { "/org/freedesktop/systemd1/job/8", UNIT },
                { "/org/freedesktop/systemd1/job/77", UNIT },
                { "/", UNIT },
                { "/org/freedesktop/systemd1/job/8", "other.scope" },
        };
        _cleanup_close_ int dir = -EBADF;
        World *w = *state;
        const char *unit;
        int pidfd;
        Reply r, p;

        world_launch(w, 1);
        start(w, &r, &(Start){});
        pidfd = take_start(w, UNIT, JOB);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                job_removed(w, others[i][0], others[i][1], "done");
        /* Of systemd alone, and of the right types. */
        assert_true(
                sd_bus_emit_signal(
                        w->caller,
                        "/org/freedesktop/systemd1",
                        "org.freedesktop.systemd1.Manager",
                        "JobRemoved",
                        "uoss",
                        7U,
                        JOB,
                        UNIT,
                        "done") >= 0);
        assert_true(
                sd_bus_emit_signal(
                        w->systemd,
                        "/org/freedesktop/systemd1",
                        "org.freedesktop.systemd1.Manager",
                        "JobRemoved",
                        "ssss",
                        "7",
                        JOB,
                        UNIT,
                        "done") >= 0);
        no_calls(w);
        call(w, &p, w->caller, "Pending", NULL);
        wait_reply(w, &p);
        assert_true(sd_bus_message_read(p.message, "as", 1, &unit) > 0);
        assert_string_equal(unit, UNIT);
        reply_done(&p);
        assert_false(r.done);
        assert_true(is_alive(pidfd));
        dir = world_run(w, "c-1");
        assert_true(faccessat(dir, "facts", F_OK, 0) < 0);
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        is_text(world_run_file(w, "c-1", "end"), "0\n");
        wait_gone(pidfd);
}

static unsigned count_descriptors(World *w) {
        char path[64];
        unsigned n = 0;

        for (int i = 0; i < 256; i++) {
                (void) snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int) w->launcher, i);
                n += faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
        }
        return n;
}

static void test_job_results(void **state) {
        unsigned n = 0;
        static const char *const results[] = {
                "failed", "timeout", "canceled", "dependency", "skipped", "collected", "Done", "",
        };
        World *w = *state;

        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(results); i++) {
                _cleanup_free_ char *text = xasprintf(
                        "systemd's job for the scope failed with result: %s", results[i]);
                int pidfd;
                Reply r;

                start(w, &r, &(Start){});
                pidfd = take_start(w, UNIT, JOB);
                job_removed(w, JOB, UNIT, results[i]);
                next_call(w, "ResetFailedUnit");
                wait_error(w, &r, "Failed", text);
                wait_gone(pidfd);
                no_calls(w);
                /* Nothing of it is left. */
                wait_childless(w);
                n = i == 0 ? count_descriptors(w) : n;
                assert_int_equal(count_descriptors(w), n);
        }
        assert_true(faccessat(world_run(w, "c-1"), "facts", F_OK, 0) < 0);
}

/* The job is never done, or the call itself has no answer. */
static void test_timeout(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *late = NULL;
        World *w = *state;
        int pidfd;
        Reply r;

        world_launch(w, 1);
        for (int i = 0; i < 2; i++) {
                start(w, &r, &(Start){});
                if (i == 0) {
                        pidfd = take_start(w, UNIT, JOB);
                        assert_true(is_alive(pidfd));
                } else
                        late = sd_bus_message_ref(next_call(w, "StartTransientUnit"));
                assert_int_equal(kill(w->launcher, SIGUSR1), 0);
                next_call(w, "StopUnit");
                wait_error(w, &r, "Failed", "systemd did not create the scope in time.");
                if (i == 0)
                        wait_gone(pidfd);
                no_calls(w);
        }
        /* It comes too late. */
        answer(w, late, "o", JOB);
        job_removed(w, JOB, UNIT, "done");
        no_calls(w);
        world_kill(w);
        /* So does the next attempt of one that is over. */
        assert_int_equal(setenv("NF_TEST_SLOWER", "4", 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_SLOWER"), 0);
        start(w, &r, &(Start){});
        answer_error(w, next_call(w, "StartTransientUnit"), "ShuttingDown");
        no_calls(w);
        assert_int_equal(kill(w->launcher, SIGUSR1), 0);
        next_call(w, "StopUnit");
        wait_error(w, &r, "Failed", "systemd did not create the scope in time.");
        (void) usleep(300 * USEC_PER_MSEC);
        no_calls(w);
}

static void test_refused(void **state) {
        static const char *const errors[] = {
                "org.freedesktop.DBus.Error.LimitsExceeded",
                "org.freedesktop.DBus.Error.AccessDenied",
                "org.freedesktop.DBus.Error.InvalidArgs",
                "org.freedesktop.DBus.Error.Timeout",
                /* Without a slice of its workspace these are no matter of a moment. */
                "TransactionIsDestructive",
                "NoSuchUnit",
                "UnitMasked",
        };
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                start(w, &r, &(Start){});
                answer_error(w, next_call(w, "StartTransientUnit"), errors[i]);
                wait_error(
                        w,
                        &r,
                        streq(errors[i], "NoSuchUnit") ? "NoSuchUnit" : "Failed",
                        "systemd: because of ");
                no_calls(w);
        }
        wait_childless(w);
        /* Answers that cannot be read. */
        start(w, &r, &(Start){});
        answer(w, next_call(w, "StartTransientUnit"), "s", JOB);
        wait_error(w, &r, "Failed", "Failed to parse systemd's reply: ");
        start(w, &r, &(Start){});
        answer(w, next_call(w, "StartTransientUnit"), NULL);
        wait_error(w, &r, "Failed", "Failed to parse systemd's reply: ");
        no_calls(w);
}

/* What a launcher before has left is made way for, twenty times. */
static void test_exists(void **state) {
        World *w = *state;
        Reply r;

        world_launch(w, 50);
        start(w, &r, &(Start){});
        for (int i = 0; i < 20; i++) {
                answer_error(w, next_call(w, "StartTransientUnit"), "UnitExists");
                next_call(w, "ResetFailedUnit");
                /* It may be without processes, and systemd not know. */
                if (i == 4)
                        next_call(w, "StopUnit");
        }
        answer_error(w, next_call(w, "StartTransientUnit"), "UnitExists");
        next_call(w, "ResetFailedUnit");
        wait_error(w, &r, "Exists", "systemd: because of UnitExists");
        no_calls(w);
}

/* A scope without processes, which systemd has not noticed, is stopped: once. */
static void test_exists_empty(void **state) {
        World *w = *state;
        Reply r;

        world_put(w, "cgroup/northflare.slice/" UNIT "/cgroup.events", "populated 0\n");
        world_launch(w, 50);
        start(w, &r, &(Start){});
        for (int i = 0; i < 6; i++) {
                answer_error(w, next_call(w, "StartTransientUnit"), "UnitExists");
                next_call(w, "ResetFailedUnit");
                if (i == 4)
                        next_call(w, "StopUnit");
        }
        safe_close(take_start(w, UNIT, JOB));
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        no_calls(w);
}

/* One with processes is not. */
static void test_exists_busy(void **state) {
        World *w = *state;
        Reply r;

        world_put(w, "cgroup/northflare.slice/" UNIT "/cgroup.events", "populated 1\n");
        world_launch(w, 50);
        start(w, &r, &(Start){});
        for (int i = 0; i < 7; i++) {
                answer_error(w, next_call(w, "StartTransientUnit"), "UnitExists");
                next_call(w, "ResetFailedUnit");
        }
        safe_close(take_start(w, UNIT, JOB));
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        no_calls(w);
}

/* systemd is away for a moment while it re-executes itself. */
static void test_absent(void **state) {
        static const char *const errors[] = {
                "org.freedesktop.DBus.Error.NoReply",
                "org.freedesktop.DBus.Error.ServiceUnknown",
                "org.freedesktop.DBus.Error.NameHasNoOwner",
                "org.freedesktop.DBus.Error.Spawn.ChildExited",
                "ShuttingDown",
        };
        World *w = *state;
        Reply r;

        world_launch(w, 50);
        start(w, &r, &(Start){});
        for (size_t i = 0; i < 200; i++)
                answer_error(w, next_call(w, "StartTransientUnit"), errors[i % ELEMENTSOF(errors)]);
        answer_error(w, next_call(w, "StartTransientUnit"), errors[0]);
        wait_error(w, &r, "Failed", "systemd: ");
        no_calls(w);
}

static void test_vanishes(void **state) {
        World *w = *state;
        int pidfd;
        Reply r;

        /* Two hundred attempts are to last until systemd is back. */
        assert_int_equal(setenv("NF_TEST_SLOWER", "10", 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_SLOWER"), 0);
        start(w, &r, &(Start){});
        next_call(w, "StartTransientUnit");
        systemd_leave(w);
        systemd_come(w);
        pidfd = take_start(w, UNIT, JOB);
        assert_true(is_alive(pidfd));
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        is_text(world_run_file(w, "c-1", "end"), "0\n");
        wait_gone(pidfd);
        /* It vanishes when the job is done: the name of this life is not to be had, the program begins all the same. */
        start(w, &r, &(Start){ .run = 2 });
        safe_close(take_start(w, "northflare-conversation-c-2.scope", JOB));
        job_removed(w, JOB, "northflare-conversation-c-2.scope", "done");
        next_call(w, "Get");
        systemd_leave(w);
        systemd_come(w);
        wait_reply(w, &r);
        assert_null(r.error);
        const void *id;
        const char *unit;
        size_t size;
        assert_true(sd_bus_message_read(r.message, "s", &unit) > 0);
        assert_true(sd_bus_message_read_array(r.message, 'y', &id, &size) >= 0);
        assert_int_equal(size, 0);
        reply_done(&r);
        is_text(world_run_file(w, "c-2", "end"), "0\n");
}

static void test_invocation(void **state) {
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        for (uint32_t i = 1; i <= 2; i++) {
                _cleanup_free_ char *unit = xasprintf("northflare-conversation-c-%u.scope", i);

                start(w, &r, &(Start){ .run = i });
                safe_close(take_start(w, unit, JOB));
                job_removed(w, JOB, unit, "done");
                if (i == 1)
                        answer(w, next_call(w, "Get"), "v", "s", "x");
                else
                        answer_error(w, next_call(w, "Get"), "NoSuchUnit");
                wait_good(w, &r);
        }
        is_text(world_run_file(w, "c-1", "end"), "0\n");
        is_text(world_run_file(w, "c-2", "end"), "0\n");
}

/* The launcher is killed, systemd takes the child in or not: what waits behind the gate ends, and has begun nothing. */
static void test_killed(void **state) {
        World *w = *state;
        int pidfd;
        Reply r;

        world_launch(w, 1);
        start(w, &r, &(Start){});
        pidfd = take_start(w, UNIT, JOB);
        assert_true(is_alive(pidfd));
        assert_int_equal(kill(w->launcher, SIGKILL), 0);
        assert_int_equal(world_wait_exit(w), 256 + SIGKILL);
        wait_gone(pidfd);
        reply_done(&r);
        assert_true(faccessat(world_run(w, "c-1"), "facts", F_OK, 0) < 0);
}

/* The child of a start has done all that it does before its gate: the last of it is to block no signal. */
static void wait_for_gate(int pidfd) {
        _cleanup_free_ char *path = xasprintf("/proc/self/fdinfo/%d", pidfd), *info = NULL, *status = NULL;

        assert_int_equal(read_file_at(AT_FDCWD, path, 4096, &info, NULL), 0);
        const char *pid = strstr(info, "\nPid:\t");
        assert_non_null(pid);
        free(path);
        path = xasprintf("/proc/%ld/status", strtol(pid + strlen("\nPid:\t"), NULL, 10));
        do {
                free(status);
                status = NULL;
                assert_int_equal(read_file_at(AT_FDCWD, path, 8192, &status, NULL), 0);
        } while (!strstr(status, "\nSigBlk:\t0000000000000000\n"));
}

/* Also where it could not notice its gate. */
static void test_killed_stopped(void **state) {
        World *w = *state;
        int pidfd;
        Reply r;

        world_launch(w, 1);
        start(w, &r, &(Start){});
        pidfd = take_start(w, UNIT, JOB);
        wait_for_gate(pidfd);
        assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, SIGSTOP, NULL, 0), 0);
        world_kill(w);
        wait_gone(pidfd);
        reply_done(&r);
}

/* One that does not pass it keeps nobody waiting for long. */
static void test_stuck(void **state) {
        World *w = *state;
        int pidfd;
        Reply r;

        assert_int_equal(setenv("NF_TEST_STUCK", "1", 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_STUCK"), 0);
        start(w, &r, &(Start){});
        pidfd = take_start(w, UNIT, JOB);
        wait_for_gate(pidfd);
        assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, SIGSTOP, NULL, 0), 0);
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0), 0);
        is_text(world_run_file(w, "c-1", "end"), "0\n");
        wait_gone(pidfd);
}

/* The agent does not outlive its supervisor, and what it says on stderr is the journal's. */
static void test_supervisor_killed(void **state) {
        _cleanup_close_ int fifo = -EBADF;
        int pidfd, agent;
        char text[32] = "";
        World *w = *state;
        Reply r;

        assert_int_equal(mkfifo(world_path(w, "begun"), 0600), 0);
        fifo = open(world_path(w, "begun"), O_RDWR | O_CLOEXEC);
        assert_true(fifo >= 0);
        assert_int_equal(setenv("NF_TEST_JOURNAL", world_path(w, "journal"), 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_JOURNAL"), 0);
        start(w, &r, &(Start){ .script = "echo oops >&2; echo $$ >../../../begun; exec sleep 1000" });
        pidfd = take_start(w, UNIT, JOB);
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        assert_true(read(fifo, text, sizeof(text) - 1) > 0);
        agent = (int) syscall(SYS_pidfd_open, (pid_t) strtol(text, NULL, 10), 0);
        assert_true(agent >= 0 && is_alive(agent));
        assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0), 0);
        wait_gone(pidfd);
        wait_gone(agent);
        char *journal;
        assert_int_equal(read_file_at(AT_FDCWD, world_path(w, "journal"), 4096, &journal, NULL), 0);
        is_text(journal, "northflare-agent 6 1\noops\n");
}

/* What stands where the launcher's own directories are to be: the agent does not begin, and the supervisor is told why. */
static void test_directories(void **state) {
        static const struct {
                const char *in_the_way, *cwd, *report;
        } cases[] = {
                { "home", "", "1 1 20 \n" },
                { "checkouts", "", "1 1 20 \n" },
                { "tmp", "", "1 1 20 \n" },
                { "tmp/c-4", "", "1 1 20 \n" },
                { "f", "f", "1 1 20 \n" },
                { "f", "f/x", "1 1 20 \n" },
                { "f", "/nonexistent", "1 1 2 \n" },
                { "f", "/usr", "1 0 0 /usr\n" },
                { "tmp/c-9/private/x", "", "1 1 17 \n" },
                { "tmp/c-10/private", "", "1 0 0 /" },
        };
        _cleanup_close_ int file = -EBADF;
        World *w = *state;

        world_put(w, "secret", "secret");
        file = open(world_path(w, "secret"), O_RDONLY | O_CLOEXEC);
        world_launch(w, 1);
        for (uint32_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *unit = xasprintf("northflare-conversation-c-%u.scope", i + 1),
                                    *run = xasprintf("c-%u", i + 1),
                                    *path = xasprintf(
                                            "homes/northflare-agent/" WS "/%s", cases[i].in_the_way);
                bool private = startswith(cases[i].in_the_way, "tmp/c-") && i > 4;

                assert_int_equal(remove_tree_at(AT_FDCWD, world_path(w, "homes/northflare-agent")), 0);
                world_put(w, path, "of an attempt that was cut short");
                start_good(
                        w,
                        &(Start){ .run = i + 1,
                                  .cwd = cases[i].cwd,
                                  .extra = { file },
                                  .n_extra = private,
                                  .script = private ? "cat {private}" : "true" },
                        unit);
                begins(world_run_file(w, run, "report"), cases[i].report);
        }
        is_text(world_run_file(w, "c-10", "out"), "secret");
        /* The caller's file may become longer when it was checked, up to its bound. */
        for (uint32_t past = 0; past < 2; past++) {
                _cleanup_free_ char *unit = xasprintf("northflare-conversation-c-%u.scope", past + 11);
                Reply r;

                assert_int_equal(truncate(world_path(w, "secret"), 1), 0);
                start(w, &r, &(Start){ .run = past + 11, .extra = { file }, .n_extra = 1 });
                safe_close(take_start(w, unit, JOB));
                assert_int_equal(truncate(world_path(w, "secret"), 1024 * 1024 + past), 0);
                finish_start(w, unit, JOB);
                wait_good(w, &r);
                begins(world_run_file(w, past ? "c-12" : "c-11", "report"), past ? "1 1 27 \n" : "1 0 0 /");
        }
}

/* One child dies while it waits: the program cannot begin, and that is said. */
static void test_child_killed(void **state) {
        World *w = *state;
        int pidfd;
        Reply r;

        world_launch(w, 1);
        start(w, &r, &(Start){});
        pidfd = take_start(w, UNIT, JOB);
        assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0), 0);
        /* Its end of the gate is closed when it is gone. */
        wait_gone(pidfd);
        finish_start(w, UNIT, JOB);
        wait_error(w, &r, "Failed", "Failed to start the program in the scope: ");
        no_calls(w);
}

static void test_bus_gone(void **state) {
        World *w = *state;
        int pidfd;
        Reply r;

        world_launch(w, 1);
        start(w, &r, &(Start){});
        pidfd = take_start(w, UNIT, JOB);
        assert_int_equal(kill(w->daemon, SIGKILL), 0);
        assert_int_equal(world_wait_exit(w), 0);
        wait_gone(pidfd);
        reply_done(&r);
}

static void expect_slice(World *w, const char *error, bool wait) {
        sd_bus_message *m = next_call(w, "StartTransientUnit");
        const char *name;

        assert_true(sd_bus_message_rewind(m, 1) >= 0);
        assert_true(sd_bus_message_read(m, "s", &name) > 0);
        assert_true(startswith(name, "northflare-ws_"));
        has_property(m, "StopWhenUnneeded", "yes");
        has_property(m, "AddRef", "yes");
        has_property(m, "TasksMax", "40");
        has_property(m, "MemoryMax", NULL);
        has_property(m, "Description", "Northflare: one workspace");
        assert_int_equal(sd_bus_message_get_expect_reply(m), wait);
        if (wait && error)
                answer_error(w, m, error);
        else if (wait)
                answer(w, m, "o", "/org/freedesktop/systemd1/job/9");
}

static void test_slice(void **state) {
        static const char *const errors[] = { NULL, "UnitExists", "org.freedesktop.DBus.Error.NoReply" };
        World *w = *state;
        Reply r;

        world_configure(w, "{\"workspaceLimits\": {\"tasksMax\": 40}}");
        world_launch(w, 50);
        for (uint32_t i = 0; i < ELEMENTSOF(errors); i++) {
                _cleanup_free_ char *unit = xasprintf("northflare-conversation-c-%u.scope", i + 1);
                sd_bus_message *m;

                start(w, &r, &(Start){ .run = i + 1 });
                expect_slice(w, NULL, false);
                m = next_call(w, "StartTransientUnit");
                _cleanup_free_ char *slice = property_of(m, "Slice");
                assert_true(startswith(slice, "northflare-ws_"));
                assert_int_equal(strlen(slice), strlen("northflare-ws_0123456789abcdef.slice"));
                answer(w, m, "o", JOB);
                job_removed(w, JOB, unit, "done");
                expect_slice(w, errors[i], true);
                if (i < 2) {
                        answer_error(w, next_call(w, "Get"), "NoSuchUnit");
                        wait_good(w, &r);
                        is_text(world_run_file(w, i == 0 ? "c-1" : "c-2", "end"), "0\n");
                } else
                        wait_error(w, &r, "Failed", "systemd: ");
                no_calls(w);
        }
        /* One that failed has no slice of its own to be held. */
        start(w, &r, &(Start){ .run = 9 });
        expect_slice(w, NULL, false);
        safe_close(take_start(w, "northflare-conversation-c-9.scope", JOB));
        job_removed(w, JOB, "northflare-conversation-c-9.scope", "failed");
        next_call(w, "ResetFailedUnit");
        wait_error(w, &r, "Failed", "systemd's job for the scope failed with result: failed");
        /* Of git that is for no workspace. */
        start(w, &r, &(Start){ .kind = "git", .workspace = "" });
        has_property(next_call(w, "StartTransientUnit"), "Slice", "northflare.slice");
        reply_done(&r);
}

static void test_slice_moment(void **state) {
        static const char *const errors[] = { "TransactionIsDestructive", "NoSuchUnit" };
        World *w = *state;
        Reply r;

        world_configure(w, "{\"workspaceLimits\": {\"tasksMax\": 40}}");
        world_launch(w, 50);
        start(w, &r, &(Start){});
        for (int i = 0; i <= 20; i++) {
                expect_slice(w, NULL, false);
                answer_error(w, next_call(w, "StartTransientUnit"), errors[i % 2]);
        }
        wait_error(w, &r, "Failed", "systemd: because of TransactionIsDestructive");
        /* Any other error is final here too. */
        start(w, &r, &(Start){});
        expect_slice(w, NULL, false);
        answer_error(w, next_call(w, "StartTransientUnit"), "UnitMasked");
        wait_error(w, &r, "Failed", "systemd: because of UnitMasked");
        no_calls(w);
}

/* Thirty-two starts are under way, the others wait for their turn, and there are 256 in all. */
static void test_many(void **state) {
        static Reply replies[257];
        char id[16], unit[64], job[64];
        World *w = *state;
        int last = 0;

        world_configure(w, "{\"maxScopes\": 4096}");
        world_launch(w, 1);
        for (int i = 0; i < 257; i++) {
                (void) snprintf(id, sizeof(id), "m%d", i);
                start(w, &replies[i], &(Start){ .id = id });
        }
        wait_error(w, &replies[256], "TooMany", "256 such calls are already waiting.");
        for (int i = 0; i < 32; i++) {
                (void) snprintf(unit, sizeof(unit), "northflare-conversation-m%d-1.scope", i);
                (void) snprintf(job, sizeof(job), JOB "%d", i);
                safe_close(take_start(w, unit, job));
        }
        no_calls(w);
        /* In order, one for each that has ended, however. */
        job_removed(w, JOB "3", "northflare-conversation-m3-1.scope", "failed");
        next_call(w, "ResetFailedUnit");
        wait_error(w, &replies[3], "Failed", "systemd's job");
        last = take_start(w, "northflare-conversation-m32-1.scope", JOB "32");
        no_calls(w);
        finish_start(w, "northflare-conversation-m32-1.scope", JOB "32");
        wait_good(w, &replies[32]);
        answer_error(w, next_call(w, "StartTransientUnit"), "org.freedesktop.DBus.Error.LimitsExceeded");
        wait_error(w, &replies[33], "Failed", "systemd: ");
        next_call(w, "StartTransientUnit");
        no_calls(w);
        for (int i = 0; i < 256; i++)
                reply_done(&replies[i]);
        is_text(world_run_file(w, "m32-1", "end"), "0\n");
        wait_gone(last);
}

static void test_room(void **state) {
        World *w = *state;
        Reply r, s, d, hook;

        world_put(w, "cgroup/northflare.slice/northflare-conversation-x-1.scope/memory.max", "1000\n");
        world_put(w, "cgroup/northflare.slice/northflare-conversation-x-1.scope/pids.max", "1\n");
        world_put(w, "cgroup/northflare.slice/memory.max", "3000\n");
        world_put(w, "cgroup/northflare.slice/pids.max", "3000\n");
        world_configure(w, "{\"maxScopes\": 4}");
        world_launch(w, 1);
        start(w, &r, &(Start){ .limit = "MemoryMax", .value = 2001 });
        wait_error(
                w,
                &r,
                "LimitTooHigh",
                "limits: MemoryMax of all scopes would be above that of northflare.slice.");
        start(w, &r, &(Start){ .limit = "MemoryMax", .value = 1000 });
        safe_close(take_start(w, UNIT, JOB));
        /* The start is counted before it has a cgroup, and once when it has one. */
        start(w, &s, &(Start){ .id = "d", .limit = "MemoryMax", .value = 1001 });
        wait_error(w, &s, "LimitTooHigh", "limits: MemoryMax");
        start(w, &s, &(Start){ .id = "d", .limit = "TasksMax", .value = 2976 });
        wait_error(w, &s, "LimitTooHigh", "limits: ");
        world_put(w, "cgroup/northflare.slice/" UNIT "/memory.max", "500\n");
        start(w, &s, &(Start){ .id = "d", .limit = "MemoryMax", .value = 1501 });
        wait_error(w, &s, "LimitTooHigh", "limits: MemoryMax");
        start(w, &hook, &(Start){ .id = "d", .kind = "hook", .limit = "MemoryMax", .value = 5000 });
        next_call(w, "StartTransientUnit");
        /* What is no agent's counts as a scope alone: two that have a cgroup, that one, and an agent beside it. */
        start(w, &d, &(Start){ .id = "d", .limit = "MemoryMax", .value = 1500 });
        next_call(w, "StartTransientUnit");
        start(w, &s, &(Start){ .id = "e", .kind = "hook" });
        wait_error(w, &s, "TooMany", "4 scopes already exist.");
        reply_done(&r);
        reply_done(&d);
        reply_done(&s);
        reply_done(&hook);
}

/* As many scopes as there may be where nobody says how many. */
static void test_room_by_default(void **state) {
        char path[128];
        World *w = *state;
        Reply r;

        for (int i = 0; i < 256; i++) {
                (void) snprintf(
                        path,
                        sizeof(path),
                        "cgroup/northflare.slice/northflare-hook-x-%d.scope/pids.max",
                        i + 1);
                world_put(w, path, "1\n");
                if (i < 254)
                        continue;
                if (i == 254)
                        world_launch(w, 1);
                start(w, &r, &(Start){ .kind = "hook" });
                if (i == 254)
                        answer_error(w, next_call(w, "StartTransientUnit"), "UnitMasked");
                wait_error(
                        w,
                        &r,
                        i == 254 ? "Failed" : "TooMany",
                        i == 254 ? "systemd: " : "256 scopes already exist.");
        }
}

static void test_slice_unreadable(void **state) {
        World *w = *state;
        Reply r;

        world_put(w, "cgroup/northflare.slice", "");
        world_launch(w, 1);
        start(w, &r, &(Start){});
        wait_error(w, &r, "Failed", "Failed to read the slice: ");
        no_calls(w);
}

/* Every kind of misuse that request_check() knows reaches the caller, and nothing is started. */
static void test_misuse(void **state) {
        const char *const relative[] = { "bin/true", NULL }, *const none[] = { NULL },
                          *const bad[] = { "LD_PRELOAD", "x", NULL },
                          *const twice[] = { "A", "b", "A", "c", NULL };
        World *w = *state;
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC), dir = world_run(w, "d"), fds[2];
        const char *many[130] = {};
        Reply r;

        for (size_t i = 0; i < 129; i++)
                many[i] = "/bin/true";
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        const struct {
                Start start;
                const char *text;
        } cases[] = {
                { { .kind = "root" }, "kind: " },
                { { .id = "a/b" }, "id: " },
                { { .workspace = ".." }, "workspace: " },
                { { .workspace = "" }, "workspace: " },
                { { .argv = relative }, "argv: " },
                { { .argv = none }, "argv: " },
                { { .argv = many }, "argv: more than 128 strings." },
                { { .env = bad }, "env: LD_PRELOAD must not be set" },
                { { .env = twice }, "env: A is given twice" },
                { { .cwd = "../x" }, "cwd: " },
                { { .limit = "Slice" }, "limits: unknown limit" },
                { { .limit = "TasksMax" }, "limits: TasksMax is out of range" },
                { { .dirfd = null }, "dirfd: " },
                { { .dirfd = fds[0] }, "dirfd: " },
                { { .extra = { null }, .n_extra = 1 }, "extra: descriptor 0 " },
                { { .kind = "hook", .extra = { fds[0], null }, .n_extra = 2 }, "extra: descriptor 1 " },
                { { .kind = "hook", .extra = { fds[0], fds[0], fds[0] }, .n_extra = 3 },
                  "extra: more than 2 " },
                { { .extra = { dir }, .n_extra = 1 }, "extra: descriptor 0 " },
        };
        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Start s = cases[i].start;

                s.dirfd = s.dirfd > 0 ? s.dirfd : dir;
                start(w, &r, &s);
                wait_error(w, &r, "InvalidArgument", cases[i].text);
        }
        assert_int_equal(fchmod(dir, 0750), 0);
        start(w, &r, &(Start){ .dirfd = dir });
        wait_error(w, &r, "InvalidArgument", "dirfd: ");
        no_calls(w);
        /* Of other types it is no call of ours at all. */
        call(w, &r, w->caller, "Start", "s", "agent");
        wait_reply(w, &r);
        assert_non_null(r.error);
        reply_done(&r);
        no_calls(w);
        safe_close(null);
        safe_close(dir);
        safe_close(fds[0]);
        safe_close(fds[1]);
}

/* A process that an attacker has taken over, whose answer nothing is started by, and the caller has one. */
static void test_checker(void **state) {
        static const struct {
                const char *how, *error, *text;
        } cases[] = {
                { "exit", "Failed", "Failed to parse it without privileges: Input/output error" },
                { "short", "Failed", "Failed to parse it without privileges: Input/output error" },
                { "stop", "Failed", "Failed to parse it without privileges: Connection timed out" },
                { "positive", "InvalidArgument", "Input/output error" },
                { "memory", "Failed", "Cannot allocate memory" },
                { "not-utf8", "InvalidArgument", "???" },
                { "no-end", "InvalidArgument", "aaa" },
        };
        World *w = *state;
        Reply r;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                print_message("%s\n", cases[i].how);
                assert_int_equal(setenv("NF_TEST_CHECKER", cases[i].how, 1), 0);
                world_launch(w, 1);
                start(w, &r, &(Start){});
                wait_error(w, &r, cases[i].error, cases[i].text);
                no_calls(w);
                world_kill(w);
        }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                CASE(test_good),
                CASE(test_facts),
                CASE(test_drops),
                CASE(test_runtime),
                CASE(test_runtime_of_caller),
                CASE(test_gate),
                CASE(test_job_results),
                CASE(test_timeout),
                CASE(test_refused),
                CASE(test_exists),
                CASE(test_exists_empty),
                CASE(test_exists_busy),
                CASE(test_absent),
                CASE(test_vanishes),
                CASE(test_invocation),
                CASE(test_killed),
                CASE(test_killed_stopped),
                CASE(test_stuck),
                CASE(test_supervisor_killed),
                CASE(test_directories),
                CASE(test_child_killed),
                CASE(test_bus_gone),
                CASE(test_slice),
                CASE(test_slice_moment),
                CASE(test_many),
                CASE(test_room),
                CASE(test_misuse),
                CASE(test_checker),
                CASE(test_slice_unreadable),
                CASE(test_operation),
                CASE(test_no_home),
                CASE(test_room_by_default),
        };
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
