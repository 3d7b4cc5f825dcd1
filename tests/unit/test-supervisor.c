/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/json.h"
#include "launcher/dropped/agent-half.h"
#include "launcher/privileges.h"

/* The supervisor as a plain process beside the launcher's own agent half, without a scope: process groups stand in for
 * the cgroup. What a scope adds is tested in a booted system. */

#define DEADLINE_USEC (120 * USEC_PER_SEC)

typedef struct Fixture {
        char folder[32];
        int dirfd, bell;
        const char *cwd;
        uint64_t out_max, time_max;
        pid_t pid;
        Json *outcome;
} Fixture;

static void make_run(Fixture *f) {
        f->dirfd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->dirfd >= 0);
        assert_int_equal(mkfifoat(f->dirfd, "bell", 0600), 0);
        /* Open for both, the bell keeps what is written before the supervisor listens. */
        f->bell = openat(f->dirfd, "bell", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        assert_true(f->bell >= 0);
        assert_int_equal(write_file_atomic_at(f->dirfd, "in.log", "", 0, 0600), 0);
}

static int set_up(void **state) {
        Fixture *f = new0(Fixture, 1);

        *state = f;
        (void) snprintf(f->folder, sizeof(f->folder), "/tmp/nf-test-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        f->cwd = "";
        f->out_max = UINT64_C(1) << 30;
        make_run(f);
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        json_putp(&f->outcome);
        safe_close(f->bell);
        safe_close(f->dirfd);
        (void) umount2(f->folder, MNT_DETACH);
        (void) remove_tree_at(AT_FDCWD, f->folder);
        free(f);
        return 0;
}

/* What the launcher's child does in the scope. */
static void child(Fixture *f, char *argv[]) {
        _cleanup_free_ char *base = xasprintf("%s/base", f->folder);
        char *env[] = { (char *) "PATH=/usr/bin:/bin", (char *) "LC_ALL=C", NULL }, pid[32], max[32],
             time[32];
        const AgentPlan plan = {
                .argv = argv,
                .envp = env,
                .base = base,
                .make_base = true,
                .key = "ws",
                .tmp = "c-1",
                .cwd = f->cwd,
                .private_fd = -EBADF,
        };
        int control[2];

        if (!base || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
                _exit(99);
        pid_t agent = fork();
        if (agent == 0) {
                safe_close(control[0]);
                if (setsid() < 0 || drop_privileges(NULL) < 0)
                        _exit(99);
                agent_half_run(&plan, control[1]);
        }
        (void) snprintf(pid, sizeof(pid), "%d", (int) agent);
        (void) snprintf(max, sizeof(max), "%llu", (unsigned long long) f->out_max);
        (void) snprintf(time, sizeof(time), "%llu", (unsigned long long) f->time_max);
        int c = fcntl(control[0], F_DUPFD, 20), d = fcntl(f->dirfd, F_DUPFD, 20);
        if (agent < 0 || c < 0 || d < 0 || dup2(c, 3) < 0 || dup2(d, 4) < 0 || close_range(5, ~0U, 0) < 0)
                _exit(99);
        execl(getenv("NF_SUPERVISOR"), "northflare-supervisor", "--without-cgroup", pid, max, time, NULL);
        _exit(99);
}

static void begin_argv(Fixture *f, char *argv[]) {
        f->pid = fork();
        assert_true(f->pid >= 0);
        if (f->pid == 0)
                child(f, argv);
}

static void begin(Fixture *f, const char *script) {
        char *argv[] = { (char *) "/bin/sh", (char *) "-c", (char *) script, NULL };

        begin_argv(f, argv);
}

static void append_input(Fixture *f, const char *text, size_t size) {
        _cleanup_close_ int fd = openat(f->dirfd, "in.log", O_WRONLY | O_APPEND | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, text, size), 0);
}

static void ring(Fixture *f, const char *what) {
        assert_int_equal(write_all(f->bell, what, strlen(what)), 0);
}

static char *output(Fixture *f, size_t *ret_size) {
        char *text = NULL;

        assert_int_equal(read_file_at(f->dirfd, "out.log", SIZE_MAX / 2, &text, ret_size), 0);
        return text;
}

/* Waits until out.log begins with text; fails at the deadline. */
static void until_output(Fixture *f, const char *text) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + DEADLINE_USEC;

        for (;;) {
                _cleanup_free_ char *got = NULL;
                if (read_file_at(f->dirfd, "out.log", SIZE_MAX / 2, &got, NULL) >= 0 &&
                    startswith(got, text))
                        return;
                assert_true(now_usec(CLOCK_MONOTONIC) < deadline);
                (void) poll(NULL, 0, 2);
        }
}

/* Waits for the supervisor and reads its outcome. Returns its exit status. */
static int end(Fixture *f) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + DEADLINE_USEC;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int status;
        pid_t p;

        while ((p = waitpid(f->pid, &status, WNOHANG)) == 0) {
                assert_true(now_usec(CLOCK_MONOTONIC) < deadline);
                (void) poll(NULL, 0, 2);
        }
        assert_int_equal(p, f->pid);
        assert_true(WIFEXITED(status));
        json_putp(&f->outcome);
        f->outcome = NULL;
        if (read_file_at(f->dirfd, "outcome.json", 65536, &text, &size) >= 0)
                assert_int_equal(json_parse(text, size, &f->outcome, NULL), 0);
        return WEXITSTATUS(status);
}

static void assert_number(Fixture *f, const char *name, int64_t value) {
        uint64_t v = UINT64_MAX;
        int r = json_get_u64(f->outcome, name, &v);

        if (value < 0)
                assert_int_equal(r, 0);
        else {
                assert_int_equal(r, 1);
                assert_int_equal(v, value);
        }
}

static void assert_text(Fixture *f, const char *name, const char *value) {
        const char *s = json_get_string(f->outcome, name);

        if (!streq_ptr(s, value))
                fail_msg("%s is %s, not %s", name, s ?: "null", value ?: "null");
}

static void assert_output(Fixture *f, const char *expected) {
        _cleanup_free_ char *text = output(f, NULL);

        assert_string_equal(text, expected);
        assert_number(f, "outBytes", (int64_t) strlen(expected));
}

static void test_relay(void **state) {
        _cleanup_free_ char *text = NULL;
        Fixture *f = *state;
        Json *started = NULL;
        size_t size;

        append_input(f, "a\nb\n", 4);
        begin(f, "cat");
        until_output(f, "a\nb\n");
        append_input(f, "c\n", 2);
        ring(f, "?w");
        until_output(f, "a\nb\nc\n");
        append_input(f, "d\n", 2);
        ring(f, "e");
        assert_int_equal(end(f), 0);
        assert_output(f, "a\nb\nc\nd\n");
        assert_number(f, "exitCode", 0);
        assert_number(f, "signal", -1);
        assert_number(f, "inBytes", 8);
        assert_number(f, "version", 1);
        assert_text(f, "stage", NULL);
        assert_text(f, "stoppedBy", NULL);
        assert_int_equal(read_file_at(f->dirfd, "started", 65536, &text, &size), 0);
        assert_int_equal(json_parse(text, size, &started, NULL), 0);
        _cleanup_free_ char *cwd = xasprintf("%s/base/ws", f->folder);
        assert_string_equal(json_get_string(started, "cwd"), cwd);
        assert_int_equal(text[size - 1], '\n');
        json_putp(&started);
}

static void test_descriptors(void **state) {
        Fixture *f = *state;

        /* ls has the folder open itself. */
        begin(f, "exec ls /proc/self/fd");
        assert_int_equal(end(f), 0);
        assert_output(f, "0\n1\n2\n3\n");
}

static void test_last_line(void **state) {
        Fixture *f = *state;

        begin(f, "printf 'a\\nb'; exit 7");
        assert_int_equal(end(f), 0);
        assert_output(f, "a\nb\n");
        assert_number(f, "exitCode", 7);
}

static void test_no_output(void **state) {
        Fixture *f = *state;

        begin(f, "kill -SEGV $$");
        assert_int_equal(end(f), 0);
        assert_output(f, "");
        assert_number(f, "exitCode", -1);
        assert_number(f, "signal", SIGSEGV);
}

static void test_much(void **state) {
        size_t size = 3 * 1024 * 1024, got;
        char *data = malloc(size);
        Fixture *f = *state;

        assert_non_null(data);
        for (size_t i = 0; i < size; i++)
                data[i] = i % 1000 == 999 ? '\n' : (char) ('a' + i * 7 % 26);
        data[size - 1] = '\n';
        append_input(f, data, size);
        begin(f, "cat");
        ring(f, "e");
        assert_int_equal(end(f), 0);
        _cleanup_free_ char *text = output(f, &got);
        assert_int_equal(got, size);
        assert_memory_equal(text, data, size);
        assert_number(f, "inBytes", (int64_t) size);
        free(data);
}

static void test_closed_input(void **state) {
        Fixture *f = *state;
        char data[200000];

        memset(data, 'x', sizeof(data));
        append_input(f, data, sizeof(data));
        begin(f, "exec <&-; echo closed; sleep 0.1; echo end");
        assert_int_equal(end(f), 0);
        assert_output(f, "closed\nend\n");
}

static void test_term(void **state) {
        Fixture *f = *state;

        begin(f, "trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.02; done");
        until_output(f, "up\n");
        ring(f, "t");
        assert_int_equal(end(f), 0);
        assert_output(f, "up\nterm\n");
        assert_number(f, "exitCode", 3);
        assert_text(f, "stoppedBy", "runner");
}

static void test_kill(void **state) {
        Fixture *f = *state;

        begin(f, "trap '' TERM; (setsid sleep 1000; true) & echo up; while :; do sleep 1000; done");
        until_output(f, "up\n");
        ring(f, "tk");
        assert_int_equal(end(f), 0);
        assert_number(f, "signal", SIGKILL);
        assert_text(f, "stoppedBy", "runner");
}

static void test_left_behind(void **state) {
        Fixture *f = *state;
        uint64_t begun = now_usec(CLOCK_MONOTONIC);

        begin(f, "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1000; done' & exit 4");
        assert_int_equal(end(f), 0);
        assert_number(f, "exitCode", 4);
        assert_text(f, "stoppedBy", NULL);
        /* It was given its time. */
        assert_true(now_usec(CLOCK_MONOTONIC) - begun >= 5 * USEC_PER_SEC);
}

static uint64_t lived_usec(Fixture *f) {
        uint64_t from = 0, to = 0;

        assert_int_equal(json_get_u64(f->outcome, "startedUsec", &from), 1);
        assert_int_equal(json_get_u64(f->outcome, "endedUsec", &to), 1);
        return to - from;
}

static void test_time_over(void **state) {
        Fixture *f = *state;

        /* Enough for the agent to come as far as its trap. */
        f->time_max = 3 * USEC_PER_SEC;
        begin(f, "trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.02; done");
        assert_int_equal(end(f), 0);
        assert_output(f, "up\nterm\n");
        assert_text(f, "stoppedBy", "supervisor");
        assert_true(lived_usec(f) >= f->time_max);
}

static void test_time_while_frozen(void **state) {
        Fixture *f = *state;

        /* What it does not notice of the time, it does not count. */
        f->time_max = 3 * USEC_PER_SEC;
        begin(f, "echo up; exec sleep 1000");
        until_output(f, "up\n");
        assert_int_equal(kill(f->pid, SIGSTOP), 0);
        uint64_t until = now_usec(CLOCK_MONOTONIC) + 6 * USEC_PER_SEC;
        while (now_usec(CLOCK_MONOTONIC) < until)
                (void) poll(NULL, 0, 100);
        assert_int_equal(kill(f->pid, SIGCONT), 0);
        assert_int_equal(end(f), 0);
        assert_number(f, "signal", SIGTERM);
        assert_text(f, "stoppedBy", "supervisor");
        /* All of the stop, and all of its own time; less what the wall clock may differ. */
        assert_true(lived_usec(f) > 8 * USEC_PER_SEC);
}

static void test_stopped(void **state) {
        _cleanup_free_ char *text = NULL;
        Json *started = NULL;
        Fixture *f = *state;
        uint64_t agent;
        size_t size;

        begin(f, "echo up; exec sleep 1000");
        until_output(f, "up\n");
        assert_int_equal(read_file_at(f->dirfd, "started", 65536, &text, &size), 0);
        assert_int_equal(json_parse(text, size, &started, NULL), 0);
        assert_int_equal(json_get_u64(started, "agentPid", &agent), 1);
        json_putp(&started);
        /* As systemd does: everything in the scope. */
        assert_int_equal(kill(f->pid, SIGTERM), 0);
        assert_int_equal(kill((pid_t) agent, SIGTERM), 0);
        assert_int_equal(end(f), 0);
        assert_number(f, "signal", SIGTERM);
        assert_text(f, "stoppedBy", "systemd");
}

static void test_once(void **state) {
        Fixture *f = *state;

        begin(f, "echo one");
        assert_int_equal(end(f), 0);
        begin(f, "echo two");
        assert_int_equal(end(f), 1);
        assert_output(f, "one\n");
}

static void test_failures(void **state) {
        char *argv[] = { (char *) "/nonexistent/agent", NULL };
        Fixture *f = *state;

        begin_argv(f, argv);
        assert_int_equal(end(f), 0);
        assert_text(f, "stage", "exec");
        assert_number(f, "errno", ENOENT);
        assert_number(f, "exitCode", -1);
}

static void test_bad_directory(void **state) {
        Fixture *f = *state;

        f->cwd = "/nonexistent";
        begin(f, "echo ran");
        assert_int_equal(end(f), 0);
        assert_text(f, "stage", "setup");
        assert_number(f, "errno", ENOENT);
        assert_output(f, "");
}

static void test_no_bell(void **state) {
        Fixture *f = *state;

        assert_int_equal(unlinkat(f->dirfd, "bell", 0), 0);
        begin(f, "echo ran");
        assert_int_equal(end(f), 0);
        assert_text(f, "stage", "setup");
        assert_number(f, "errno", ENOENT);
        assert_int_equal(faccessat(f->dirfd, "out.log", F_OK, 0), -1);
}

static void test_maximum(void **state) {
        Fixture *f = *state;
        bool full = false;

        f->out_max = 1000;
        begin(f, "trap '' PIPE; while :; do echo 123456; done 2>/dev/null");
        assert_int_equal(end(f), 0);
        assert_int_equal(json_get_bool(f->outcome, "outFull", &full), 1);
        assert_true(full);
        _cleanup_free_ char *text = output(f, NULL);
        /* 142 whole lines of 7 bytes fit. */
        assert_int_equal(strlen(text), 994);
        assert_true(endswith(text, "\n123456\n"));
        assert_number(f, "signal", SIGKILL);
}

static void test_maximum_of_one_line(void **state) {
        Fixture *f = *state;

        f->out_max = 1000;
        begin(f, "printf begin; read -r l; head -c 100000 /dev/zero | tr '\\0' x; sleep 1000");
        until_output(f, "begin");
        append_input(f, "go\n", 3);
        ring(f, "w");
        assert_int_equal(end(f), 0);
        _cleanup_free_ char *text = output(f, NULL);
        assert_int_equal(strlen(text), 1001);
        assert_int_equal(text[1000], '\n');
}

static void test_full_disk(void **state) {
        char ballast[4096];
        Fixture *f = *state;
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + DEADLINE_USEC;
        struct stat st;
        size_t size;
        int fd;

        memset(ballast, 'x', sizeof(ballast));
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", f->folder, "tmpfs", 0, "size=512k,mode=0700") < 0)
                skip();
        safe_close(f->bell);
        safe_close(f->dirfd);
        make_run(f);
        fd = openat(f->dirfd, "ballast", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        for (int i = 0; i < 100; i++)
                assert_int_equal(write_all(fd, ballast, sizeof(ballast)), 0);
        safe_close(fd);
        begin(f, "i=0; while [ $i -lt 30000 ]; do echo $i; i=$((i+1)); done; printf end");
        /* Until there is no room for the rest of the file system. */
        do {
                struct pollfd p = { .fd = -1 };
                assert_true(now_usec(CLOCK_MONOTONIC) < deadline);
                (void) poll(&p, 1, 2);
                fd = openat(f->dirfd, "probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                size = fd >= 0 && write(fd, "x", 1) == 1;
                safe_close(fd);
                (void) unlinkat(f->dirfd, "probe", 0);
        } while (size > 0);
        assert_int_equal(fstatat(f->dirfd, "out.log", &st, 0), 0);
        assert_true(st.st_size < 150000);
        assert_int_equal(kill(f->pid, 0), 0);
        assert_int_equal(faccessat(f->dirfd, "outcome.json", F_OK, 0), -1);
        assert_int_equal(unlinkat(f->dirfd, "ballast", 0), 0);
        assert_int_equal(end(f), 0);
        _cleanup_free_ char *text = output(f, &size);
        const char *p = text;
        for (int i = 0; i < 30000; i++) {
                char line[16];
                int n = snprintf(line, sizeof(line), "%d\n", i);
                assert_memory_equal(p, line, (size_t) n);
                p += n;
        }
        assert_string_equal(p, "end\n");
        assert_number(f, "outBytes", (int64_t) size);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_relay),         CASE(test_descriptors),
                CASE(test_last_line),     CASE(test_no_output),
                CASE(test_much),          CASE(test_closed_input),
                CASE(test_term),          CASE(test_kill),
                CASE(test_time_over),     CASE(test_time_while_frozen),
                CASE(test_left_behind),   CASE(test_stopped),
                CASE(test_once),          CASE(test_failures),
                CASE(test_bad_directory), CASE(test_no_bell),
                CASE(test_maximum),       CASE(test_maximum_of_one_line),
                CASE(test_full_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
