/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "common/json-scan.h"

/* The program itself, over its own pipes. NF_SHELL_AGENT names it. */

#define DEADLINE_MSEC 120000

typedef struct Agent {
        pid_t pid;
        int in, out;
        Buffer bytes;
        size_t taken;
        char *line;
} Agent;

static int setup(void **state) {
        Agent *a = new0(Agent, 1);
        int in[2], out[2];

        assert_non_null(a);
        assert_return_code(pipe2(in, O_CLOEXEC), errno);
        assert_return_code(pipe2(out, O_CLOEXEC), errno);
        a->pid = fork();
        assert_return_code(a->pid, errno);
        if (a->pid == 0) {
                (void) dup2(in[0], STDIN_FILENO);
                (void) dup2(out[1], STDOUT_FILENO);
                (void) execl(getenv("NF_SHELL_AGENT"), "northflare-shell-agent", NULL);
                _exit(99);
        }
        (void) close(in[0]);
        (void) close(out[1]);
        a->in = in[1];
        a->out = out[0];
        *state = a;
        return 0;
}

static int teardown(void **state) {
        Agent *a = *state;

        if (a->pid > 0) {
                (void) kill(a->pid, SIGTERM); /* it ends what it runs */
                (void) waitpid(a->pid, NULL, 0);
        }
        safe_close(a->in);
        safe_close(a->out);
        buffer_done(&a->bytes);
        free(a->line);
        free(a);
        return 0;
}

static void say(Agent *a, const char *line) {
        _cleanup_free_ char *text = xasprintf("%s\n", line);

        assert_non_null(text);
        assert_return_code(write_all(a->in, text, strlen(text)), errno);
}

static void say_script(Agent *a, const char *id, const char *script) {
        _cleanup_buffer_ Buffer b = {};

        assert_int_equal(buffer_printf(&b, "{\"type\":\"user\",\"id\":\"%s\",\"text\":", id), 0);
        assert_int_equal(buffer_append_json_str(&b, script), 0);
        assert_int_equal(buffer_append_str(&b, "}"), 0);
        say(a, b.data);
}

/* The next line, as a slice that holds until the next call; size 0 at the end of the output. */
static Slice hear(Agent *a) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + DEADLINE_MSEC * USEC_PER_MSEC;

        for (;;) {
                char *start = NULL, *newline = NULL;

                if (a->bytes.size > a->taken) {
                        start = a->bytes.data + a->taken;
                        newline = memchr(start, '\n', a->bytes.size - a->taken);
                }
                if (newline) {
                        size_t n = (size_t) (newline - start);
                        free(a->line);
                        a->line = strndup(start, n);
                        a->taken += n + 1;
                        assert_true(n < 64 * 1024);
                        if (!json_scan_valid(a->line, n))
                                fail_msg("not JSON: %s", a->line);
                        return (Slice){ a->line, n };
                }
                buffer_consume(&a->bytes, a->taken);
                a->taken = 0;
                struct pollfd p = { .fd = a->out, .events = POLLIN };
                if (now_usec(CLOCK_MONOTONIC) > deadline || poll(&p, 1, DEADLINE_MSEC) <= 0)
                        fail_msg("the agent says nothing");
                assert_int_equal(buffer_reserve(&a->bytes, 65536), 0);
                ssize_t n = read(a->out, a->bytes.data + a->bytes.size, 65536);
                assert_return_code(n, errno);
                if (n == 0) {
                        assert_int_equal(a->bytes.size, 0);
                        return (Slice){};
                }
                a->bytes.size += (size_t) n;
        }
}

static bool is(Slice line, const char *member, const char *value) {
        Slice v;
        return json_scan_member(line, member, &v) && json_scan_string_is(v, value);
}

static uint64_t number(Slice line, const char *member) {
        uint64_t u = UINT64_MAX;
        Slice v;

        if (!json_scan_member(line, member, &v) || json_scan_u64(v, &u) < 0)
                fail_msg("no number %s in %s", member, line.data);
        return u;
}

/* The next line is of this type. */
static Slice expect(Agent *a, const char *type) {
        Slice line = hear(a);
        if (!is(line, "type", type))
                fail_msg("expected %s, got %s", type, strempty(line.data));
        return line;
}

/* Reads a whole turn; what its streams said is added to out (stdout) and err. */
static Slice expect_turn(Agent *a, const char *id, Buffer *out, Buffer *err) {
        Slice line = expect(a, "turn_start"), v;

        assert_true(is(line, "id", id));
        for (;;) {
                line = hear(a);
                if (is(line, "type", "turn_end")) {
                        assert_true(is(line, "id", id));
                        return line;
                }
                if (!is(line, "type", "output"))
                        fail_msg("unexpected: %s", strempty(line.data));
                Buffer *b = is(line, "stream", "stdout") ? out : err;
                if (b && json_scan_member(line, "text", &v)) {
                        _cleanup_free_ char *s = NULL;
                        size_t n;
                        assert_int_equal(json_scan_string(v, &s, &n), 0);
                        assert_int_equal(buffer_append(b, s, n), 0);
                }
        }
}

static int wait_exit(Agent *a) {
        int status;

        assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
        a->pid = 0;
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void hang_up(Agent *a) {
        a->in = safe_close(a->in);
}

static void test_turn(void **state) {
        _cleanup_buffer_ Buffer out = {}, err = {};
        Agent *a = *state;

        Slice line = expect(a, "started");
        assert_true(is(line, "version", PROJECT_VERSION));
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        assert_true(is(line, "cwd", cwd));
        say_script(a, "m1", "cat; echo one; echo two >&2; exit 7");
        line = expect_turn(a, "m1", &out, &err);
        assert_int_equal(number(line, "exitCode"), 7);
        assert_true(number(line, "durationMs") < DEADLINE_MSEC);
        assert_string_equal(out.data, "one\n");
        assert_string_equal(err.data, "two\n");
        say(a, "{\"type\":\"user\",\"id\":4,\"text\":\"exit 0\"}");
        line = expect(a, "turn_start");
        assert_int_equal(number(line, "id"), 4);
        line = expect(a, "turn_end");
        assert_int_equal(number(line, "exitCode"), 0);
        hang_up(a);
        assert_int_equal(hear(a).size, 0);
        assert_int_equal(wait_exit(a), 0);
}

static void test_queue_and_end(void **state) {
        Agent *a = *state;
        char id[16];

        (void) expect(a, "started");
        for (unsigned i = 0; i < 20; i++) {
                char script[32];
                (void) snprintf(id, sizeof(id), "q%u", i);
                (void) snprintf(script, sizeof(script), "echo %u; exit %u", i, i);
                say_script(a, id, script);
        }
        say(a, "{\"type\":\"end\"}");
        for (unsigned i = 0; i < 20; i++) {
                _cleanup_buffer_ Buffer out = {};
                (void) snprintf(id, sizeof(id), "q%u", i);
                assert_int_equal(number(expect_turn(a, id, &out, NULL), "exitCode"), i);
                assert_int_equal(atoi(out.data), i);
        }
        assert_int_equal(hear(a).size, 0);
        assert_int_equal(wait_exit(a), 0);
}

static void test_refused_after_end(void **state) {
        Agent *a = *state;

        (void) expect(a, "started");
        say_script(a, "first", "sleep 1000");
        (void) expect(a, "turn_start");
        say(a, "{\"type\":\"end\"}");
        say_script(a, "late", "echo no");
        assert_true(is(expect(a, "error"), "id", "late"));
        say(a, "{\"type\":\"interrupt\"}");
        (void) expect(a, "turn_end");
        assert_int_equal(wait_exit(a), 0);
}

static void test_interrupt(void **state) {
        Agent *a = *state;
        Slice line, v;

        (void) expect(a, "started");
        say(a, "{\"type\":\"interrupt\"}"); /* nothing runs: nothing happens */
        say_script(a, "m", "sleep 1000; echo never");
        say(a, "{\"type\":\"interrupt\"}");
        say_script(a, "n", "echo after");
        line = expect_turn(a, "m", NULL, NULL);
        assert_int_equal(number(line, "signal"), SIGINT);
        assert_true(json_scan_member(line, "interrupted", &v) && json_scan_is_true(v));
        assert_true(number(line, "durationMs") < 1900);
        _cleanup_buffer_ Buffer out = {};
        line = expect_turn(a, "n", &out, NULL);
        assert_string_equal(out.data, "after\n");
        assert_true(json_scan_member(line, "interrupted", &v) && !json_scan_is_true(v));
}

static void test_interrupt_stubborn(void **state) {
        Agent *a = *state;

        (void) expect(a, "started");
        /* Traps run at once in wait, and nowhere else for certain. */
        say_script(
                a,
                "m",
                "(trap '' TERM; exec sleep 1000) & trap 'printf INT' INT; trap 'printf TERM' TERM; echo ready;"
                "while :; do wait; done");
        (void) expect(a, "turn_start");
        (void) expect(a, "output");
        say(a, "{\"type\":\"interrupt\"}");
        assert_true(is(expect(a, "output"), "text", "INT"));
        say(a, "{\"type\":\"interrupt\"}"); /* once is enough */
        assert_true(is(expect(a, "output"), "text", "TERM"));
        assert_int_equal(number(expect(a, "turn_end"), "signal"), SIGKILL);
}

static void test_signal_and_session(void **state) {
        _cleanup_buffer_ Buffer out = {};
        Agent *a = *state;

        (void) expect(a, "started");
        say_script(
                a,
                "m",
                "set -- $(cut -d' ' -f1,5,6 /proc/$$/stat); [ $1 = $2 -a $2 = $3 ] && echo own; kill -9 $$");
        assert_int_equal(number(expect_turn(a, "m", &out, NULL), "signal"), SIGKILL);
        assert_string_equal(out.data, "own\n");
}

static void test_large_output(void **state) {
        _cleanup_buffer_ Buffer out = {};
        Agent *a = *state;

        /* One byte, then two-byte characters: every power of two splits one. */
        (void) expect(a, "started");
        say_script(
                a,
                "m",
                "printf x; i=0; while [ $i -lt 2000 ]; do printf %0100d 0; i=$((i+1)); done | sed 's/0/\xc3\xa9/g'");
        assert_int_equal(number(expect_turn(a, "m", &out, NULL), "exitCode"), 0);
        assert_int_equal(out.size, 1 + 2 * 200000);
        assert_int_equal(out.data[0], 'x');
        for (size_t i = 1; i < out.size; i += 2)
                assert_memory_equal(out.data + i, "\xc3\xa9", 2);
}

static void test_binary_output(void **state) {
        _cleanup_buffer_ Buffer out = {};
        Agent *a = *state;

        (void) expect(a, "started");
        say_script(a, "m", "printf 'a\\377b\\303(\\342\\202z\\355\\240\\200\\000\\033q\\360\\237'");
        (void) expect_turn(a, "m", &out, NULL);
#define BAD "\xef\xbf\xbd"
        static const char expected[] = "a" BAD "b" BAD "(" BAD BAD "z" BAD BAD BAD "\0\033q" BAD BAD;
        assert_int_equal(out.size, sizeof(expected) - 1);
        assert_memory_equal(out.data, expected, out.size);
        /* Control characters grow sixfold as JSON: lines stay short all the same (hear() looks). */
        say_script(a, "n", "head -c 300000 /dev/zero; head -c 200000 /dev/urandom");
        buffer_clear(&out, 0);
        assert_int_equal(number(expect_turn(a, "n", &out, NULL), "exitCode"), 0);
        assert_true(out.size > 500000);
}

static void test_bad_lines(void **state) {
        static const char *const bad[] = {
                "nonsense",
                "{\"type\":\"user\"",
                "[]",
                "{}",
                "42",
                "{\"type\":5}",
                "{\"type\":\"dance\"}",
                "{\"type\":\"user\"}",
                "{\"type\":\"user\",\"text\":5}",
                "{\"type\":\"user\",\"text\":[\"a\"]}",
                "{\"type\":\"user\",\"text\":\"a\\u0000b\"}",
                "{\"type\":\"user\",\"id\":{},\"text\":\"\"}",
                "\xff\xfe",
                "{\"type\":\"user\",\"text\":\"\xc3\"}",
        };
        Agent *a = *state;

        (void) expect(a, "started");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                say(a, bad[i]);
                (void) expect(a, "error");
        }
        say(a, "");
        say(a, "\r");
        _cleanup_free_ char *deep = malloc(100001);
        memset(deep, '[', 100000);
        deep[100000] = 0;
        say(a, deep);
        (void) expect(a, "error");
        say_script(a, "m", "exit 5");
        assert_int_equal(number(expect_turn(a, "m", NULL, NULL), "exitCode"), 5);
}

static void test_long_lines(void **state) {
        Agent *a = *state;
        size_t size = 33 << 20;
        _cleanup_free_ char *line = malloc(size + 1);

        assert_non_null(line);
        memset(line, 'x', size);
        line[size] = 0;
        (void) expect(a, "started");
        say(a, line);
        (void) expect(a, "error");
        /* 16 MiB of comment in front of a command: longer than any argument may be. */
        line[16 << 20] = 0;
        memcpy(line, "#", 1);
        memcpy(line + (16 << 20) - 8, "\nexit 6\n", 8);
        say_script(a, "m", line);
        assert_int_equal(number(expect_turn(a, "m", NULL, NULL), "exitCode"), 6);
        line[200 << 10] = 0;
        memcpy(line + (200 << 10) - 8, "\nexit 4\n", 8);
        say_script(a, "n", line);
        assert_int_equal(number(expect_turn(a, "n", NULL, NULL), "exitCode"), 4);
}

/* What a script leaves behind neither holds its turn nor dies of its pipe. */
static void test_background(void **state) {
        _cleanup_buffer_ Buffer out = {};
        char template[] = "/tmp/test-shell-agent-XXXXXX";
        _cleanup_free_ char *script = NULL;
        Agent *a = *state;

        assert_non_null(mkdtemp(template));
        (void) expect(a, "started");
        script = xasprintf(
                "mkfifo %s/go; (read x < %s/go; echo dropped && echo dropped >&2 && echo alive > %s/alive) & echo here",
                template,
                template,
                template);
        say_script(a, "m", script);
        assert_int_equal(number(expect_turn(a, "m", &out, NULL), "exitCode"), 0);
        assert_string_equal(out.data, "here\n");
        free(script);
        script = xasprintf(
                "echo > %s/go; until [ -s %s/alive ]; do :; done; cat %s/alive; rm -r %s",
                template,
                template,
                template,
                template);
        say_script(a, "n", script);
        buffer_clear(&out, 0);
        assert_int_equal(number(expect_turn(a, "n", &out, NULL), "exitCode"), 0);
        assert_string_equal(out.data, "alive\n");
}

/* An interrupt is heard while nobody reads the output. */
static void test_slow_reader(void **state) {
        Agent *a = *state;
        Slice v;

        (void) expect(a, "started");
        say_script(a, "m", "yes");
        (void) expect(a, "turn_start");
        (void) expect(a, "output");
        say(a, "{\"type\":\"interrupt\"}");
        for (;;) {
                Slice line = hear(a);
                if (is(line, "type", "output"))
                        continue;
                assert_true(is(line, "type", "turn_end"));
                assert_true(json_scan_member(line, "interrupted", &v) && json_scan_is_true(v));
                break;
        }
}

static void test_sigterm(void **state) {
        Agent *a = *state;

        (void) expect(a, "started");
        /* In one piece: both are there when the first one starts. */
        say(a, "{\"type\":\"user\",\"text\":\"sleep 1000\"}\n{\"type\":\"user\",\"text\":\"echo dropped\"}");
        (void) expect(a, "turn_start");
        assert_return_code(kill(a->pid, SIGTERM), errno);
        assert_int_equal(number(expect(a, "turn_end"), "signal"), SIGTERM);
        assert_int_equal(hear(a).size, 0);
        assert_int_equal(wait_exit(a), 128 + SIGTERM);
}

static void test_reader_gone(void **state) {
        Agent *a = *state;

        (void) expect(a, "started");
        say_script(a, "m", "sleep 1000");
        (void) expect(a, "turn_start");
        a->out = safe_close(a->out);
        assert_int_equal(wait_exit(a), 1);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_turn),         TEST(test_queue_and_end),      TEST(test_refused_after_end),
                TEST(test_interrupt),    TEST(test_interrupt_stubborn), TEST(test_signal_and_session),
                TEST(test_large_output), TEST(test_binary_output),      TEST(test_bad_lines),
                TEST(test_long_lines),   TEST(test_background),         TEST(test_slow_reader),
                TEST(test_sigterm),      TEST(test_reader_gone),
        };

        if (!getenv("NF_SHELL_AGENT"))
                return 77;
        (void) signal(SIGPIPE, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
