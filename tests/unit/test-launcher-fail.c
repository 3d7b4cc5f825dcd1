/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "fake-systemd.h"

/* Calls of the kernel that fail: nothing of a start goes on without what they were for. */

#define JOB "/org/freedesktop/systemd1/job/7"
#define UNIT "northflare-conversation-c-1.scope"
#define USERS "northflare 1 1 1 1 northflare-git 61002 61002 1 61002 northflare-agent 61003 61003 2 61103 "

static void launch_failing(World *w, const char *call) {
        print_message("%s\n", call);
        assert_int_equal(setenv("NF_TEST_FAIL", call, 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_FAIL"), 0);
}

static void launch_failing_from(World *w, const char *call, int forks) {
        _cleanup_free_ char *text = xasprintf("%s %d", call, forks);

        launch_failing(w, text);
}

static char *log_of(World *w) {
        char *text;

        assert_int_equal(read_file_at(AT_FDCWD, world_path(w, "launcher.log"), 1 << 20, &text, NULL), 0);
        return text;
}

static void begins(char *text_consume, const char *expected) {
        assert_non_null(text_consume);
        if (!startswith(text_consume, expected))
                fail_msg("“%s” does not begin with “%s”", text_consume, expected);
        free(text_consume);
}

static void is_text(char *text_consume, const char *expected) {
        assert_non_null(text_consume);
        assert_string_equal(text_consume, expected);
        free(text_consume);
}

/* The program of the scope has not begun, and its child has ended. */
static void nothing_began(World *w, uint32_t run, int pidfd_consumed) {
        _cleanup_free_ char *name = xasprintf("c-%u", (unsigned) run);
        _cleanup_close_ int dir = world_run(w, name);

        wait_gone(pidfd_consumed);
        assert_true(faccessat(dir, "facts", F_OK, 0) < 0);
}

/* Before the fork, and behind the gate. */
static void test_start(void **state) {
        static const struct {
                const char *call;
                bool forked;
        } cases[] = {
                { "fork 1 3", false },
                { "pipe2 1 0", false },
                { "sd_event_add_time_relative 2 0", false },
                { "prctl:1 1 3", true },
                { "fds_pack:2 1 3", true },
                { "sigprocmask:2 1 3", true },
                { "signal:13 1 3", true },
        };
        World *w = *state;
        Reply r;

        for (uint32_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *unit = xasprintf("northflare-conversation-c-%u.scope", i + 1);

                launch_failing(w, cases[i].call);
                start(w, &r, &(Start){ .run = i + 1 });
                if (cases[i].forked) {
                        /* It ends by itself, before the gate opens. */
                        nothing_began(w, i + 1, take_start(w, unit, JOB));
                        finish_start(w, unit, JOB);
                        wait_error(w, &r, "Failed", "Failed to start the program in the scope: Broken pipe");
                } else
                        wait_error(w, &r, "Failed", "Failed to prepare the start: Disk quota exceeded");
                no_calls(w);
                world_kill(w);
        }
}

/* Behind it, where the supervisor is not reached: neither does the agent begin. */
static void test_supervisor(void **state) {
        static const char *const calls[] = {
                "prctl:1 2 3",  "socketpair 1 3", "fork 2 3",   "fds_pack:2 2 3",
                "prctl:38 1 3", "dup2:4 3 3",     "dup2:3 3 3", "close_range:5 3 3",
        };
        World *w = *state;
        Reply r;

        for (uint32_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_free_ char *unit = xasprintf("northflare-conversation-c-%u.scope", i + 1);
                int pidfd;

                launch_failing(w, calls[i]);
                start(w, &r, &(Start){ .run = i + 1, .script = "touch ../../began" });
                pidfd = take_start(w, unit, JOB);
                finish_start(w, unit, JOB);
                wait_good(w, &r);
                nothing_began(w, i + 1, pidfd);
                if (i >= 2) {
                        _cleanup_free_ char
                                *log = log_of(w),
                                *line = xasprintf(
                                        "northflare-launcher: Failed to start the supervisor of %s: ", unit);

                        assert_non_null(strstr(log, line));
                }
                world_kill(w);
        }
}

/* Of the agent's half: it reports what it can, and ends. */
static void test_agent(void **state) {
        static const struct {
                const char *call, *report, *end;
        } cases[] = {
                { "dup2:2 1 3", "0 0 0 \n", "256\n" },
                { "fds_pack:1 1 3", "0 0 0 \n", "256\n" },
                { "setsid 1 3", "1 1 122 \n", "256\n" },
                { "fds_pack:1 2 3", "0 0 0 \n", "32512\n" },
                { "prctl:1 3 3", "1 1 122 \n", "32512\n" },
                { "pipe2 1 3", "1 1 122 \n", "32512\n" },
                { "pipe2 2 3", "1 1 122 \n", "32512\n" },
                { "pipe2 3 3", "1 1 122 \n", "32512\n" },
                { "fcntl64:8 1 3", "1 1 122 \n", "32512\n" },
                { "fcntl64:10 1 3", "1 1 122 \n", "32512\n" },
                { "fcntl64:4 1 3", "1 1 122 \n", "32512\n" },
                { "dup2:0 1 3", "1 1 122 \n", "32512\n" },
                { "dup2:1 1 3", "1 1 122 \n", "32512\n" },
                { "fcntl64:1030 5 3", "1 1 122 \n", "32512\n" },
                { "fchdir 1 3", "1 1 122 \n", "32512\n" },
                { "close_range:3 1 3", "1 0 0 /", "32512\n" },
        };
        World *w = *state;
        Reply r;

        assert_int_equal(EDQUOT, 122);
        for (uint32_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *unit = xasprintf("northflare-conversation-c-%u.scope", i + 1),
                                    *run = xasprintf("c-%u", i + 1);

                launch_failing(w, cases[i].call);
                start(w, &r, &(Start){ .run = i + 1 });
                safe_close(take_start(w, unit, JOB));
                finish_start(w, unit, JOB);
                wait_good(w, &r);
                begins(world_run_file(w, run, "report"), cases[i].report);
                is_text(world_run_file(w, run, "end"), cases[i].end);
                world_kill(w);
        }
}

/* The file of a private descriptor, and the directory of git without a workspace. */
static void test_agent_files(void **state) {
        _cleanup_close_ int file = -EBADF;
        World *w = *state;
        Reply r;

        world_put(w, "secret", "secret");
        file = open(world_path(w, "secret"), O_RDONLY | O_CLOEXEC);
        launch_failing(w, "sendfile64 1 3");
        start(w, &r, &(Start){ .extra = { file }, .n_extra = 1 });
        safe_close(take_start(w, UNIT, JOB));
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        begins(world_run_file(w, "c-1", "report"), "1 1 122 \n");
        world_kill(w);
        launch_failing(w, "fchdir 1 3");
        start(w, &r, &(Start){ .kind = "git", .workspace = "", .run = 2 });
        safe_close(take_start(w, "northflare-git-c-2.scope", JOB));
        finish_start(w, "northflare-git-c-2.scope", JOB);
        wait_good(w, &r);
        begins(world_run_file(w, "c-2", "report"), "1 1 122 \n");
}

/* Of the parser, and of what is to be before it. */
static void test_parser(void **state) {
        static const struct {
                const char *call, *text;
        } cases[] = {
                { "fork 1 0", "Failed to parse it without privileges: Disk quota exceeded" },
                { "fds_pack:1 1 0", "Failed to parse it without privileges: Operation not permitted" },
                { "socketpair 1 0", "Failed to parse it without privileges: Disk quota exceeded" },
                { "prctl:38 1 0", "Failed to parse it without privileges: Operation not permitted" },
                { "prctl:1 1 0", "Failed to parse it without privileges: Input/output error" },
                { "prctl:4 1 0", "Failed to parse it without privileges: Input/output error" },
        };
        World *w = *state;
        Reply r;

        world_configure(w, "{}");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *text = xasprintf(
                        "%s/config/northflare/launcher.json: %s", w->dir, cases[i].text);

                launch_failing(w, cases[i].call);
                start(w, &r, &(Start){});
                wait_error(w, &r, "Failed", text);
                world_kill(w);
        }
}

/* Of the process that checks a start. */
static void test_checker(void **state) {
        static const struct {
                const char *call, *text;
        } cases[] = {
                { "fork 1 2", "Failed to parse it without privileges: Disk quota exceeded" },
                { "socketpair 1 1", "Failed to parse it without privileges: Disk quota exceeded" },
                { "fds_pack:2 1 2", "Failed to parse it without privileges: Operation not permitted" },
                { "prctl:38 1 2", "Failed to parse it without privileges: Operation not permitted" },
                { "prctl:1 1 2", "Failed to parse it without privileges: Input/output error" },
                { "prctl:4 1 2", "Failed to parse it without privileges: Input/output error" },
        };
        World *w = *state;
        Reply r;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                launch_failing(w, cases[i].call);
                start(w, &r, &(Start){});
                wait_error(w, &r, "Failed", cases[i].text);
                no_calls(w);
                world_kill(w);
        }
}

/* Without its signals or its time the launcher does not run. */
static void test_launcher(void **state) {
        static const char *const calls[] = { "signal:13 1 0",
                                             "sigprocmask:0 1 0",
                                             "sd_event_add_time_relative 1 0" };
        World *w = *state;

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                assert_int_equal(setenv("NF_TEST_FAIL", calls[i], 1), 0);
                world_spawn(w, NULL);
                assert_int_equal(world_wait_exit(w), 1);
        }
}

/* A call of systemd that cannot be sent. */
static void test_call(void **state) {
        World *w = *state;
        Reply r;

        launch_failing(w, "sd_bus_call_async 1 0");
        start(w, &r, &(Start){});
        wait_error(w, &r, "Failed", "Failed to call systemd: Disk quota exceeded");
        call(w, &r, w->caller, "Pending", NULL);
        wait_good(w, &r);
        no_calls(w);
        world_kill(w);
        /* The attempt after the first. */
        launch_failing(w, "sd_event_add_time_relative 3 0");
        start(w, &r, &(Start){});
        answer_error(w, next_call(w, "StartTransientUnit"), "ShuttingDown");
        wait_error(w, &r, "Failed", "systemd: because of ShuttingDown");
        no_calls(w);
}

static int set_up_system(void **state) {
        assert_int_equal(setenv("NF_TEST_USERS", USERS, 1), 0);
        return geteuid() == 0 ? world_set_up_system(state) : world_set_up(state);
}

/* The drop of privileges, of the parser and of the processes of a start. */
static void test_drop(void **state) {
        _cleanup_free_ char *capset = xasprintf("syscall:%ld 1", (long) SYS_capset);
        const char *const calls[] = { "setgroups 1", "setresgid 1", "setresuid 1",
                                      capset,        "setuid 1",    "setgid 1" };
        World *w = *state;
        Reply r;

        if (geteuid() != 0) {
                print_message("not root: no other users to be\n");
                skip();
                return;
        }
        for (uint32_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_free_ char *unit = xasprintf("northflare-conversation-c-%u.scope", i + 1);
                int pidfd;

                launch_failing_from(w, calls[i], 3);
                start(w, &r, &(Start){ .run = i + 1 });
                pidfd = take_start(w, unit, JOB);
                finish_start(w, unit, JOB);
                wait_good(w, &r);
                nothing_began(w, i + 1, pidfd);
                world_kill(w);
        }
        for (size_t i = 0; i < 2 * ELEMENTSOF(calls); i++) {
                bool parser = i % 2 == 0;

                launch_failing_from(w, calls[i / 2], parser ? 0 : 2);
                start(w, &r, &(Start){});
                wait_error(
                        w,
                        &r,
                        "Failed",
                        parser ? NF_SYSCONFDIR
                                "/launcher.json: Failed to parse it without privileges: Operation not permitted" :
                                 "Failed to parse it without privileges: Operation not permitted");
                world_kill(w);
        }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
#define SYSTEM(name) cmocka_unit_test_setup_teardown(name, set_up_system, world_tear_down)

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                CASE(test_start),       CASE(test_supervisor), CASE(test_agent),
                CASE(test_agent_files), CASE(test_parser),     CASE(test_checker),
                CASE(test_launcher),    CASE(test_call),       SYSTEM(test_drop),
        };
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
