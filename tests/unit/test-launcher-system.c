/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "fake-systemd.h"

/* The program: its options, its name, when it leaves; and as root who may call it, and whom it becomes. */

#define UNIT "northflare-conversation-c-1.scope"
#define JOB "/org/freedesktop/systemd1/job/7"
#define RUNNER "northflare 1 1 1 1 "
#define GIT "northflare-git 61002 61002 1 61002 "
#define AGENT "northflare-agent 61003 61003 2 61103 "
#define AGENT2 "northflare-agent2 61004 61004 1 61004 "
#define USERS RUNNER GIT AGENT AGENT2

static void is_text(char *text_consume, const char *expected) {
        assert_non_null(text_consume);
        assert_string_equal(text_consume, expected);
        free(text_consume);
}

static int skip_without_root(void) {
        if (geteuid() == 0)
                return 0;
        print_message("not root: no other users to be\n");
        skip();
        return -1;
}

static int set_up_system(void **state) {
        assert_int_equal(setenv("NF_TEST_USERS", USERS, 1), 0);
        return geteuid() == 0 ? world_set_up_system(state) : world_set_up(state);
}

static void begin(World *w, Reply *r, const Start *s, const char *unit) {
        start(w, r, s);
        safe_close(take_start(w, unit, JOB));
        finish_start(w, unit, JOB);
        wait_good(w, r);
}

static void test_options(void **state) {
        static const struct {
                const char *option;
                int status;
                const char *further;
        } cases[] = {
                { "--help", 0 },
                { "-h", 0 },
                { "--version", 0 },
                { "--idle-sec=0", 2 },
                { "--idle-sec=x", 2 },
                { "--idle-sec=", 2 },
                { "--idle-sec=-1", 2 },
                { "--idle-sec=4294967296", 2 },
                { "--idle-sec=4294967295", 0, "--version" },
                { "--idle-sec", 2 },
                { "--other", 2 },
                { "", 2 },
                { "x", 2 },
        };
        World *w = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *const options[] = { cases[i].option, cases[i].further, NULL };

                world_spawn(w, options);
                assert_int_equal(world_wait_exit(w), cases[i].status);
        }
        assert_false(w->has_name);
}

/* It leaves when nobody calls at all, or has called for a while, and says so before it gives its name up; not while a call waits. */
static void test_idle(void **state) {
        const char *const options[] = { "--idle-sec=1", NULL };
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        _cleanup_free_ char *cgroup = NULL;
        _cleanup_close_ int notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        World *w = *state;
        char text[64];
        Reply r, v;

        cgroup = xasprintf("/../../..%s/cgroup", w->dir);
        (void) snprintf(a.sun_path, sizeof(a.sun_path), "%s/notify", w->dir);
        assert_int_equal(setenv("NF_TEST_LEAVES", "always", 1), 0);
        world_spawn(w, options);
        answer(w, next_call(w, "Get"), "v", "s", cgroup);
        assert_int_equal(world_wait_exit(w), 0);
        wait_name(w, true);
        wait_name(w, false);
        assert_int_equal(bind(notify, (struct sockaddr *) &a, sizeof(a)), 0);
        assert_int_equal(setenv("NF_TEST_LEAVES", "called", 1), 0);
        world_spawn(w, options);
        assert_int_equal(unsetenv("NF_TEST_LEAVES"), 0);
        answer(w, next_call(w, "Get"), "v", "s", cgroup);
        wait_name(w, true);
        start(w, &r, &(Start){});
        int pidfd = take_start(w, UNIT, JOB);
        uint64_t begun = now_usec(CLOCK_MONOTONIC);
        /* Longer than it would have stayed: the test waits for the time alone. */
        (void) usleep(1500 * USEC_PER_MSEC);
        no_calls(w);
        assert_true(is_alive(pidfd) && w->has_name && now_usec(CLOCK_MONOTONIC) - begun > USEC_PER_SEC);
        call(w, &v, w->caller, "Kill", "s", UNIT);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = sd_bus_message_ref(next_call(w, "GetAll"));
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        is_text(world_run_file(w, "c-1", "end"), "0\n");
        /* The same while a verb waits. */
        (void) usleep(1500 * USEC_PER_MSEC);
        no_calls(w);
        assert_true(w->has_name);
        answer_error(w, m, "NoSuchUnit");
        wait_error(w, &v, "Failed", "Failed to ask systemd");
        wait_name(w, false);
        assert_int_equal(recv(notify, text, sizeof(text), MSG_DONTWAIT), 10);
        assert_memory_equal(text, "STOPPING=1", 10);
        assert_int_equal(world_wait_exit(w), 0);
        safe_close(pidfd);
}

/* A call that had come when the launcher left is served all the same, and then it ends; the program does not end with it. */
static void test_last_call(void **state) {
        _cleanup_close_ int dir = -EBADF;
        World *w = *state;
        Reply r;

        dir = world_run(w, "c-1");
        assert_int_equal(mkdirat(dir, "outlives", 0700), 0);
        assert_int_equal(setenv("NF_TEST_LATE", "1", 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_LATE"), 0);
        assert_int_equal(kill(w->launcher, SIGSTOP), 0);
        start(w, &r, &(Start){});
        /* The bus has it, and so has handed it over. */
        assert_true(
                sd_bus_call_method(
                        w->caller,
                        "org.freedesktop.DBus",
                        "/org/freedesktop/DBus",
                        "org.freedesktop.DBus",
                        "GetId",
                        NULL,
                        NULL,
                        NULL) >= 0);
        assert_int_equal(kill(w->launcher, SIGUSR2), 0);
        assert_int_equal(kill(w->launcher, SIGCONT), 0);
        wait_name(w, false);
        safe_close(take_start(w, UNIT, JOB));
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        assert_int_equal(world_wait_exit(w), 0);
        is_text(world_run_file(w, "c-1", "end"), "0\n");
}

static void test_signals(void **state) {
        static const int signals[] = { SIGTERM, SIGINT };
        World *w = *state;

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                world_launch(w, 1);
                assert_int_equal(kill(w->launcher, signals[i]), 0);
                assert_int_equal(world_wait_exit(w), 0);
                wait_name(w, false);
        }
}

static void test_no_systemd(void **state) {
        World *w = *state;

        world_spawn(w, NULL);
        answer_error(w, next_call(w, "Get"), "org.freedesktop.DBus.Error.AccessDenied");
        assert_int_equal(world_wait_exit(w), 1);
        world_spawn(w, NULL);
        answer(w, next_call(w, "Get"), "v", "u", 7U);
        assert_int_equal(world_wait_exit(w), 1);
        systemd_leave(w);
        world_spawn(w, NULL);
        assert_int_equal(world_wait_exit(w), 1);
        systemd_come(w);
        assert_true(sd_bus_request_name(w->systemd, "org.northflare.Launcher1", 0) >= 0);
        world_spawn(w, NULL);
        answer(w, next_call(w, "Get"), "v", "s", "/");
        assert_int_equal(world_wait_exit(w), 1);
        assert_int_equal(kill(w->daemon, SIGKILL), 0);
        world_spawn(w, NULL);
        assert_int_equal(world_wait_exit(w), 1);
        char *log;
        assert_int_equal(read_file_at(AT_FDCWD, world_path(w, "launcher.log"), 1 << 20, &log, NULL), 0);
        assert_non_null(strstr(log, "Failed to run the launcher: "));
        free(log);
}

/* The settings' file at its bound, and one past it. */
static void test_settings_size(void **state) {
        static char text[64 * 1024 + 2];
        World *w = *state;
        Reply r;

        for (size_t past = 0; past < 2; past++) {
                memset(text, ' ', sizeof(text));
                memcpy(text, "{}", 2);
                text[64 * 1024 + past] = 0;
                world_configure(w, text);
                world_launch(w, 1);
                start(w, &r, &(Start){});
                if (past == 0)
                        answer_error(w, next_call(w, "StartTransientUnit"), "UnitMasked");
                wait_reply(w, &r);
                _cleanup_free_ char *begin = past == 0 ?
                        strdup("systemd: ") :
                        xasprintf("%s/config/northflare/launcher.json: Argument list too long", w->dir);
                wait_error(w, &r, "Failed", begin);
                no_calls(w);
                world_kill(w);
        }
}

static void test_caller(void **state) {
        static const char *const members[] = { "Stop", "Kill", "Freeze", "Thaw", "Collect" };
        static const uid_t others[] = { 0, 2, 65534 };
        World *w = *state;
        Reply r;

        if (skip_without_root() < 0)
                return;
        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                sd_bus *bus = world_connect(w, others[i]), *own = w->caller;

                for (size_t k = 0; k < ELEMENTSOF(members); k++) {
                        call(w, &r, bus, members[k], "s", UNIT);
                        wait_error(w, &r, "AccessDenied", "Only the runner's user may call the launcher.");
                }
                call(w, &r, bus, "SetLimits", "sa{st}", UNIT, 1, "TasksMax", UINT64_C(5));
                wait_error(w, &r, "AccessDenied", "Only the runner's user");
                call(w, &r, bus, "Pending", NULL);
                wait_error(w, &r, "AccessDenied", "Only the runner's user");
                w->caller = bus;
                start(w, &r, &(Start){});
                wait_error(w, &r, "AccessDenied", "Only the runner's user");
                w->caller = own;
                sd_bus_flush_close_unref(bus);
        }
        no_calls(w);
}

static void test_users(void **state) {
        static const char agent[] =
                "id -u; id -g; id -G; grep -E '^(Sig(Blk|Ign)|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status;"
                "ls /proc/self/fd | wc -l; cat {private}; stat -c '%a %u' {private} . ../*";
        static const char expected[] =
                "61003\n61003\n61003 61103\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
                "CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n4\nsecret600 61003\n700 61003\n";
        _cleanup_free_ char *out = NULL, *facts = NULL;
        _cleanup_close_ int file = -EBADF;
        World *w = *state;
        Reply r;

        if (skip_without_root() < 0)
                return;
        world_put(w, "secret", "secret");
        file = open(world_path(w, "secret"), O_RDONLY | O_CLOEXEC);
        world_launch(w, 1);
        start(w, &r, &(Start){ .script = agent, .extra = { file }, .n_extra = 1 });
        sd_bus_message *m = next_call(w, "StartTransientUnit");
        is_text(property_of(m, "User"), "northflare");
        answer(w, m, "o", JOB);
        finish_start(w, UNIT, JOB);
        wait_good(w, &r);
        out = world_run_file(w, "c-1", "out");
        if (!startswith(out, expected))
                fail_msg("%s", out);
        facts = world_run_file(w, "c-1", "facts");
        if (!startswith(facts, "uid 1 gid 1 groups 1 nnp 1 fds 0 1 2 3 4 "))
                fail_msg("%s", facts);
}

static void test_git_and_hook(void **state) {
        const char *const git[] = {
                "ignored", "-c", "id -u; pwd; echo $HOME $TMPDIR $NORTHFLARE_FDS; cat <&3", NULL
        };
        _cleanup_free_ char *expected = NULL, *other = NULL;
        _cleanup_close_ int file = -EBADF;
        World *w = *state;
        Reply r;

        if (skip_without_root() < 0)
                return;
        world_put(w, "secret", "secret");
        file = open(world_path(w, "secret"), O_RDONLY | O_CLOEXEC);
        world_launch(w, 1);
        begin(w,
              &r,
              &(Start){ .kind = "git", .argv = git, .extra = { file }, .n_extra = 1, .workspace = "" },
              "northflare-git-c-1.scope");
        other = xasprintf("%s/homes/other", w->dir);
        expected = xasprintf("61002\n%s/homes/61002\n%s/homes/61002 /tmp 1\nsecret", w->dir, w->dir);
        is_text(world_run_file(w, "c-1", "out"), expected);
        begin(w,
              &r,
              &(Start){
                      .kind = "hook",
                      .run = 2,
                      .script =
                              "id -u; echo $NORTHFLARE_FDS; ls /proc/self/fd | wc -l; test -f /proc/self/fd/4 && ! test -e $TMPDIR/private",
                      .extra = { file, file },
                      .n_extra = 2 },
              "northflare-hook-c-2.scope");
        is_text(world_run_file(w, "c-2", "out"), "61003\n2\n6\n");
        is_text(world_run_file(w, "c-2", "end"), "0\n");
        /* The user's home is another's: no program, and the supervisor is told why. */
        assert_int_equal(chown(world_path(w, "homes/61002"), 0, 0), 0);
        assert_int_equal(chmod(world_path(w, "homes/61002"), 0755), 0);
        begin(w, &r, &(Start){ .kind = "git", .run = 3, .argv = git }, "northflare-git-c-3.scope");
        is_text(world_run_file(w, "c-3", "report"), "1 1 1 \n");
        /* It is not there, and is not made; it is a link. */
        assert_int_equal(rename(world_path(w, "homes/61002"), other), 0);
        begin(w, &r, &(Start){ .kind = "git", .run = 7, .argv = git }, "northflare-git-c-7.scope");
        is_text(world_run_file(w, "c-7", "report"), "1 1 2 \n");
        assert_int_equal(chown(other, GIT_UID, GIT_UID), 0);
        assert_int_equal(symlink(other, world_path(w, "homes/61002")), 0);
        begin(w, &r, &(Start){ .kind = "git", .run = 8, .argv = git }, "northflare-git-c-8.scope");
        is_text(world_run_file(w, "c-8", "report"), "1 1 20 \n");
        assert_int_equal(unlink(world_path(w, "homes/61002")), 0);
        assert_int_equal(rename(other, world_path(w, "homes/61002")), 0);
        /* Others may write to it. */
        assert_int_equal(chown(world_path(w, "homes/61002"), GIT_UID, GIT_UID), 0);
        assert_int_equal(chmod(world_path(w, "homes/61002"), 0720), 0);
        begin(w, &r, &(Start){ .kind = "git", .run = 4, .argv = git }, "northflare-git-c-4.scope");
        is_text(world_run_file(w, "c-4", "report"), "1 1 1 \n");
        /* A directory of its workspace is another's. */
        assert_int_equal(mkdir(world_path(w, "homes/61003/6634f5ee25c3bb66"), 0777), 0);
        assert_int_equal(chmod(world_path(w, "homes/61003/6634f5ee25c3bb66"), 0777), 0);
        begin(w, &r, &(Start){ .run = 6, .workspace = "ws9" }, "northflare-conversation-c-6.scope");
        is_text(world_run_file(w, "c-6", "report"), "1 1 1 \n");
        /* A program that there is none of. */
        begin(w,
              &r,
              &(Start){ .run = 5, .argv = (const char *const[]){ "/nonexistent", NULL } },
              "northflare-conversation-c-5.scope");
        is_text(world_run_file(w, "c-5", "end"), "32512\n");
}

/* Whose run's folder it is. */
static void test_owner(void **state) {
        World *w = *state;
        int dir;
        Reply r;

        if (skip_without_root() < 0)
                return;
        world_launch(w, 1);
        dir = world_run(w, "d");
        assert_int_equal(fchown(dir, 0, 0), 0);
        start(w, &r, &(Start){ .dirfd = dir });
        wait_error(w, &r, "InvalidArgument", "dirfd: ");
        assert_int_equal(fchown(dir, AGENT_UID, RUNNER_UID), 0);
        start(w, &r, &(Start){ .dirfd = dir });
        wait_error(w, &r, "InvalidArgument", "dirfd: ");
        no_calls(w);
        safe_close(dir);
}

static void test_bad_users(void **state) {
        static const struct {
                const char *users, *text; /* NULL: not even the runner's */
        } cases[] = {
                { GIT AGENT, NULL },
                { "northflare 0 1 1 1 " GIT AGENT, NULL },
                { "northflare 1 0 1 0 " GIT AGENT, NULL },
                { "northflare 1 1 2 0 " GIT AGENT, NULL },
                { "northflare 1 1 65 5 " GIT AGENT, NULL },
                { RUNNER AGENT, "There is no user northflare-git." },
                { RUNNER GIT, "There is no user northflare-agent." },
                { RUNNER "northflare-git 0 61002 1 61002 " AGENT,
                  "Agents, the runner and git cannot run as northflare-git." },
                { RUNNER GIT "northflare-agent 0 61003 1 61003 ",
                  "Agents, the runner and git cannot run as northflare-agent." },
                { RUNNER GIT "northflare-agent 1 61003 1 61003 ",
                  "Agents, the runner and git cannot run as" },
                { RUNNER GIT "northflare-agent 61002 61003 1 61003 ",
                  "Agents, the runner and git cannot run as" },
                { RUNNER GIT "northflare-agent 61003 0 1 0 ",
                  "User northflare-agent is in a group of root, the runner or git." },
                { RUNNER GIT "northflare-agent 61003 61003 2 0 ", "User northflare-agent is in a group of" },
                { RUNNER GIT "northflare-agent 61003 61003 2 1 ", "User northflare-agent is in a group of" },
                { RUNNER GIT "northflare-agent 61003 61003 2 61002 ",
                  "User northflare-agent is in a group of" },
                { RUNNER GIT "northflare-agent 61003 61003 65 5 ",
                  "User northflare-agent is in more than 64 groups." },
                { RUNNER "northflare-git 61002 61002 2 1 "
                         "northflare-agent 61003 61003 64 5 ",
                  "" },
        };
        World *w = *state;
        Reply r;

        if (skip_without_root() < 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(setenv("NF_TEST_USERS", cases[i].users, 1), 0);
                if (!cases[i].text) {
                        world_spawn(w, NULL);
                        assert_int_equal(world_wait_exit(w), 78);
                        continue;
                }
                world_launch(w, 1);
                start(w, &r, &(Start){});
                if (!*cases[i].text)
                        answer_error(w, next_call(w, "StartTransientUnit"), "UnitMasked");
                wait_error(w, &r, "Failed", *cases[i].text ? cases[i].text : "systemd: ");
                world_kill(w);
        }
}

/* The name of a user is the parser's, which an attacker may have taken over. */
static void test_bad_name(void **state) {
        _cleanup_free_ char *text = NULL;
        World *w = *state;
        Reply r;

        if (skip_without_root() < 0)
                return;
        world_configure(w, "{}");
        assert_int_equal(setenv("NF_TEST_PARSER", "user-not-utf8", 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_PARSER"), 0);
        start(w, &r, &(Start){});
        wait_error(w, &r, "Failed", "There is no user ?.");
        world_kill(w);
        /* Who parses. */
        assert_int_equal(setenv("NF_TEST_PARSER", "facts", 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_PARSER"), 0);
        text = xasprintf(
                "%s/launcher.json: uids 1 1 1 gids 1 1 1 groups 1 nnp 1 dumpable 0 death 9 fds 0 1 2 3.",
                NF_SYSCONFDIR);
        start(w, &r, &(Start){});
        wait_error(w, &r, "Failed", text);
        call(w, &r, w->caller, "Pending", NULL);
        wait_good(w, &r);
}

/* A child of another user than root, who may be ended by root as it is in the unit, however it behaves; and which does not
 * outlive the launcher. */
static void test_stopped_children(void **state) {
        World *w = *state;
        Reply r;

        if (skip_without_root() < 0)
                return;
        assert_int_equal(setenv("NF_TEST_CHECKER", "stop", 1), 0);
        world_launch(w, 1);
        start(w, &r, &(Start){});
        wait_error(w, &r, "Failed", "Failed to parse it without privileges: Connection timed out");
        world_kill(w);
        assert_int_equal(unsetenv("NF_TEST_CHECKER"), 0);
        assert_int_equal(setenv("NF_TEST_PARSER", "stop-for-good", 1), 0);
        world_spawn(w, NULL);
        int pidfd = world_wait_stopped_child(w);
        assert_int_equal(kill(w->launcher, SIGKILL), 0);
        assert_int_equal(world_wait_exit(w), 256 + SIGKILL);
        wait_gone(pidfd);
}

/* Two agent users, and the file that says whose workspace is whose. */
static void test_registry(void **state) {
        static char large[4 * 1024 * 1024 + 2];
        World *w = *state;
        Reply r;

        if (skip_without_root() < 0)
                return;
        world_configure(w, "{\"agentUsers\": [\"northflare-agent\", \"northflare-agent2\"]}");
        world_launch(w, 1);
        begin(w, &r, &(Start){ .script = "id -u" }, UNIT);
        is_text(world_run_file(w, "c-1", "out"), "61003\n");
        begin(w,
              &r,
              &(Start){ .script = "id -u", .run = 2, .workspace = "ws2" },
              "northflare-conversation-c-2.scope");
        is_text(world_run_file(w, "c-2", "out"), "61004\n");
        begin(w,
              &r,
              &(Start){ .script = "id -u", .run = 3, .workspace = "ws2" },
              "northflare-conversation-c-3.scope");
        is_text(world_run_file(w, "c-3", "out"), "61004\n");
        /* Full: at the bound a workspace that is in it has its user. */
        _cleanup_close_ int fd = open(world_path(w, "state/workspaces"), O_RDWR | O_CLOEXEC);
        ssize_t n = read(fd, large, sizeof(large) - 1);
        assert_true(n > 0);
        memset(large + n, '\n', sizeof(large) - 1 - (size_t) n);
        large[4 * 1024 * 1024] = 0;
        world_put(w, "state/workspaces", large);
        begin(w,
              &r,
              &(Start){ .script = "id -u", .run = 4, .workspace = "ws2" },
              "northflare-conversation-c-4.scope");
        is_text(world_run_file(w, "c-4", "out"), "61004\n");
        large[4 * 1024 * 1024] = '\n';
        world_put(w, "state/workspaces", large);
        start(w, &r, &(Start){ .run = 5, .workspace = "ws2" });
        wait_error(w, &r, "Failed", "Failed to prepare the start: Argument list too long");
        /* Git needs none. */
        start(w, &r, &(Start){ .run = 5, .kind = "git" });
        answer_error(w, next_call(w, "StartTransientUnit"), "UnitMasked");
        wait_error(w, &r, "Failed", "systemd: ");
        /* Unreadable, and not to be written to. */
        assert_int_equal(unlink(world_path(w, "state/workspaces")), 0);
        assert_int_equal(mkdir(world_path(w, "state/workspaces"), 0700), 0);
        start(w, &r, &(Start){ .run = 6 });
        wait_error(w, &r, "Failed", "Failed to prepare the start: ");
        assert_int_equal(rmdir(world_path(w, "state/workspaces")), 0);
        assert_int_equal(symlink("elsewhere", world_path(w, "state/workspaces")), 0);
        start(w, &r, &(Start){ .run = 6 });
        wait_error(w, &r, "Failed", "Failed to prepare the start: ");
        no_calls(w);
        assert_true(access(world_path(w, "state/elsewhere"), F_OK) < 0);
        /* What is not stored is not used. */
        assert_int_equal(unlink(world_path(w, "state/workspaces")), 0);
        for (int i = 0; i < 2; i++) {
                world_kill(w);
                assert_int_equal(setenv("NF_TEST_DISK", i == 0 ? "full" : "unsure", 1), 0);
                world_launch(w, 1);
                assert_int_equal(unsetenv("NF_TEST_DISK"), 0);
                start(w, &r, &(Start){ .run = 6 });
                wait_error(
                        w,
                        &r,
                        "Failed",
                        i == 0 ? "Failed to prepare the start: No space left on device" :
                                 "Failed to prepare the start: Disk quota exceeded");
        }
        /* Without its directory nothing is started at all, nor with anything else of that name. */
        for (int i = 0; i < 2; i++) {
                world_kill(w);
                assert_int_equal(remove_tree_at(AT_FDCWD, world_path(w, "state")), 0);
                if (i == 1)
                        world_put(w, "state", "");
                world_launch(w, 1);
                start(w, &r, &(Start){ .run = 7 });
                wait_error(w, &r, "Failed", "Failed to open the state directory of the launcher: ");
        }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
#define SYSTEM(name) cmocka_unit_test_setup_teardown(name, set_up_system, world_tear_down)

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                CASE(test_options),
                CASE(test_idle),
                CASE(test_last_call),
                CASE(test_signals),
                CASE(test_no_systemd),
                CASE(test_settings_size),
                SYSTEM(test_caller),
                SYSTEM(test_users),
                SYSTEM(test_bad_users),
                SYSTEM(test_registry),
                SYSTEM(test_stopped_children),
                SYSTEM(test_git_and_hook),
                SYSTEM(test_owner),
                SYSTEM(test_bad_name),
        };
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
