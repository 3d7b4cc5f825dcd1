/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "launcher/dropped/agent-half.h"
#include "launcher/dropped/program.h"
#include "launcher/dropped/settings-answer.h"
#include "launcher/request.h"
#include "launcher/settings.h"
#include "launcher/sum.h"

/* A request that is right in everything; each test spoils one thing. */
typedef struct Fixture {
        char folder[32];
        Request request;
        Arguments arguments;
        int memory, pipe[2];
} Fixture;

static int set_up(void **state) {
        Fixture *f = new0(Fixture, 1);

        if (!f)
                return -1;
        *state = f;
        (void) snprintf(f->folder, sizeof(f->folder), "/tmp/nf-test-XXXXXX");
        if (!mkdtemp(f->folder) || pipe2(f->pipe, O_CLOEXEC) < 0)
                return -1;
        f->memory = memfd_create("test", MFD_CLOEXEC);
        f->request = (Request){
                .kind = SCOPE_AGENT,
                .id = "c-1",
                .run = 1,
                .workspace = "ws",
                .dirfd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        };
        f->arguments.cwd = "";
        return f->memory >= 0 && f->request.dirfd >= 0 ? strv_extend(&f->arguments.argv, "/bin/true") : -1;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        arguments_done(&f->arguments);
        safe_close(f->request.dirfd);
        safe_close(f->memory);
        safe_close(f->pipe[0]);
        safe_close(f->pipe[1]);
        (void) remove_tree_at(AT_FDCWD, f->folder);
        free(f);
        return 0;
}

static void expect(int r, sd_bus_error *e, const char *name, const char *begin) {
        assert_true(r < 0);
        assert_non_null(e->name);
        assert_string_equal(e->name, name);
        if (!startswith(e->message, begin))
                fail_msg("“%s” does not begin with “%s”", e->message, begin);
        sd_bus_error_free(e);
}

/* In the order in which the launcher does it. */
static int check(const Fixture *f, uid_t owner, sd_bus_error *e) {
        int r = request_check(&f->request, e);

        return r < 0 ? r : arguments_check(&f->arguments, &f->request, owner, e);
}

static void refused(Fixture *f, const char *field) {
        sd_bus_error e = SD_BUS_ERROR_NULL;

        expect(check(f, getuid(), &e), &e, ERROR_INVALID_ARGUMENT, field);
}

static void accepted(Fixture *f) {
        sd_bus_error e = SD_BUS_ERROR_NULL;
        int r = check(f, getuid(), &e);

        if (r < 0)
                fail_msg("refused: %s", e.message);
}

static void test_kind(void **state) {
        Fixture *f = *state;

        accepted(f);
        f->request.kind = _SCOPE_KIND_INVALID;
        refused(f, "kind:");
}

static void test_ids(void **state) {
        static const char *const bad[] = {
                "", ".", "..", "a/b", "-a", "_a", "a..b", "a b", "a\n", "\xc3\xbc", "@",
        };
        Fixture *f = *state;
        char longest[66];

        memset(longest, 'x', sizeof(longest));
        longest[64] = 0;
        f->request.id = f->request.workspace = longest;
        accepted(f);
        longest[64] = 'x';
        longest[65] = 0;
        f->request.workspace = "ws";
        refused(f, "id:");
        f->request.id = "c-1";
        f->request.workspace = longest;
        refused(f, "workspace:");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                f->request.id = bad[i];
                f->request.workspace = "ws";
                refused(f, "id:");
                f->request.id = "c-1";
                f->request.workspace = bad[i];
                refused(f, "workspace:");
        }
        f->request.kind = SCOPE_GIT;
        refused(f, "workspace:");
        f->request.workspace = "";
        accepted(f);
        f->request.workspace = "ws";
        f->request.run = 0;
        refused(f, "run:");
}

static void set_argv(Fixture *f, const char *s) {
        f->arguments.argv = strv_free(f->arguments.argv);
        if (s)
                assert_int_equal(strv_extend(&f->arguments.argv, s), 0);
}

static void test_argv(void **state) {
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;
        char *large = malloc(REQUEST_BYTES_MAX + 1);

        set_argv(f, NULL);
        refused(f, "argv:");
        set_argv(f, "");
        refused(f, "argv:");
        set_argv(f, "true");
        refused(f, "argv:");
        set_argv(f, "./true");
        refused(f, "argv:");
        f->request.kind = SCOPE_GIT;
        accepted(f);
        f->request.kind = SCOPE_AGENT;

        set_argv(f, "/bin/true");
        for (size_t i = 1; i < REQUEST_STRINGS_MAX; i++)
                assert_int_equal(argv_add(&f->arguments.argv, "x", &e), 0);
        accepted(f);
        expect(argv_add(&f->arguments.argv, "x", &e), &e, ERROR_INVALID_ARGUMENT, "argv: more than 128");

        assert_non_null(large);
        set_argv(f, "/");
        memset(large, 'x', REQUEST_BYTES_MAX);
        large[REQUEST_BYTES_MAX - 3] = 0; /* with the other string and both NULs exactly the maximum */
        assert_int_equal(strv_extend(&f->arguments.argv, large), 0);
        accepted(f);
        assert_int_equal(strv_extend(&f->arguments.env, "A=b"), 0);
        refused(f, "argv and env:");
        free(large);

        f->arguments.env = strv_free(f->arguments.env);
        set_argv(f, "/bin/{private}");
        refused(f, "argv:");
        f->request.extra[0] = f->memory;
        f->request.n_extra = 1;
        accepted(f);
        f->request.kind = SCOPE_HOOK;
        refused(f, "argv:");
}

static void test_environment(void **state) {
        static const char *const bad[] = {
                "",    "1A",   "A-B",  "A B",    "A=B",  "A\nB",    "\xc3\x84", "LD_PRELOAD",
                "LD_", "PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL",    "NORTHFLARE_FDS",
        };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                expect(environment_add(&f->arguments.env, bad[i], "x", &e),
                       &e,
                       ERROR_INVALID_ARGUMENT,
                       "env:");
        assert_null(f->arguments.env);
        assert_int_equal(environment_add(&f->arguments.env, "A_1", "x\ny", &e), 0);
        assert_int_equal(environment_add(&f->arguments.env, "A_", "", &e), 0);
        assert_int_equal(environment_add(&f->arguments.env, "_", "", &e), 0);
        assert_string_equal(f->arguments.env[0], "A_1=x\ny");
        expect(environment_add(&f->arguments.env, "A_", "x", &e), &e, ERROR_INVALID_ARGUMENT, "env:");
        while (strv_length(f->arguments.env) < REQUEST_STRINGS_MAX)
                assert_int_equal(strv_extend(&f->arguments.env, "X=x"), 0);
        accepted(f);
        expect(environment_add(&f->arguments.env, "B", "x", &e),
               &e,
               ERROR_INVALID_ARGUMENT,
               "env: more than 128");
}

static void test_cwd(void **state) {
        static const char *const good[] = {
                "", "a", "a/b/c", ".a", "a..b", "...", "/", "/usr/../etc", "/a//b",
        };
        static const char *const bad[] = { ".", "..", "a/", "a//b", "../a", "a/..", "a/./b", "a/../../b" };
        Fixture *f = *state;
        char large[4200];

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                f->arguments.cwd = good[i];
                accepted(f);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                f->arguments.cwd = bad[i];
                refused(f, "cwd:");
        }
        memset(large, 'a', sizeof(large));
        large[256] = 0;
        f->arguments.cwd = large;
        refused(f, "cwd:");
        large[256] = 'a';
        large[0] = '/';
        large[4095] = 0;
        accepted(f);
        large[4095] = 'a';
        large[4096] = 0;
        refused(f, "cwd:");
}

static void test_limits(void **state) {
        static const struct {
                const char *property;
                uint64_t value, beyond;
        } last[] = {
                { "MemoryMax", UINT64_C(1) << 60, (UINT64_C(1) << 60) + 1 },
                { "TasksMax", UINT32_MAX, UINT64_C(1) << 32 },
                { "CPUQuotaPerSecUSec", 1000, 999 },
                { "CPUWeight", 10000, 10001 },
                { "IOWeight", 1, 0 },
        };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Limits ceilings = {}, l;

        for (LimitId i = 0; i < _LIMIT_MAX; i++) {
                l = (Limits){};
                expect(limits_add(&l, limit_infos[i].property, UINT64_MAX, &e),
                       &e,
                       ERROR_INVALID_ARGUMENT,
                       "limits:");
                expect(limits_add(&l, limit_infos[i].property, limit_infos[i].maximum + 1, &e),
                       &e,
                       ERROR_INVALID_ARGUMENT,
                       "limits:");
                if (limit_infos[i].minimum > 0)
                        expect(limits_add(&l, limit_infos[i].property, limit_infos[i].minimum - 1, &e),
                               &e,
                               ERROR_INVALID_ARGUMENT,
                               "limits:");
                assert_false(l.set[i]);
                assert_int_equal(limits_add(&l, limit_infos[i].property, limit_infos[i].minimum, &e), 0);
                assert_true(l.set[i]);
                expect(limits_add(&l, limit_infos[i].property, limit_infos[i].maximum, &e),
                       &e,
                       ERROR_INVALID_ARGUMENT,
                       "limits:");
        }
        assert_int_equal(limits_add(&(Limits){}, "MemorySwapMax", 0, &e), 0);
        for (size_t i = 0; i < ELEMENTSOF(last); i++) {
                assert_int_equal(limits_add(&(Limits){}, last[i].property, last[i].value, &e), 0);
                expect(limits_add(&(Limits){}, last[i].property, last[i].beyond, &e),
                       &e,
                       ERROR_INVALID_ARGUMENT,
                       "limits:");
        }
        l = (Limits){};
        expect(limits_add(&l, "Slice", 1, &e), &e, ERROR_INVALID_ARGUMENT, "limits:");
        expect(limits_add(&l, "memoryMax", 1, &e), &e, ERROR_INVALID_ARGUMENT, "limits:");
        expect(limits_add(&l, "", 1, &e), &e, ERROR_INVALID_ARGUMENT, "limits:");

        assert_int_equal(limits_add(&ceilings, "MemoryMax", 1000, &e), 0);
        assert_int_equal(limits_add(&l, "TasksMax", 7, &e), 0);
        assert_int_equal(limits_check(&l, &ceilings, &e), 0);
        assert_false(l.set[LIMIT_MEMORY_MAX]);
        assert_int_equal(limits_add(&l, "MemoryMax", 1000, &e), 0);
        assert_int_equal(limits_check(&l, &ceilings, &e), 0);
        l.value[LIMIT_MEMORY_MAX] = 1001;
        expect(limits_check(&l, &ceilings, &e), &e, ERROR_LIMIT_TOO_HIGH, "limits:");
}

static void test_descriptors(void **state) {
        Fixture *f = *state;
        int folder = f->request.dirfd, null = open("/dev/null", O_RDONLY | O_CLOEXEC), sockets[2];
        int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
        f->request.dirfd = f->memory;
        refused(f, "dirfd:");
        assert_int_equal(fchmod(f->memory, 0700), 0);
        refused(f, "dirfd:");
        f->request.dirfd = 9999;
        refused(f, "dirfd:");
        f->request.dirfd = root;
        refused(f, "dirfd:");
        f->request.dirfd = folder;
        assert_int_equal(fchmod(folder, 0750), 0);
        refused(f, "dirfd:");
        assert_int_equal(fchmod(folder, 01700), 0);
        refused(f, "dirfd:");
        assert_int_equal(fchmod(folder, 0700), 0);
        accepted(f);
        sd_bus_error e = SD_BUS_ERROR_NULL;
        expect(check(f, getuid() + 1, &e), &e, ERROR_INVALID_ARGUMENT, "dirfd:");

        f->request.extra[0] = f->request.extra[1] = f->memory;
        f->request.n_extra = 1;
        accepted(f);
        f->request.n_extra = 2;
        refused(f, "extra:");
        f->request.kind = SCOPE_HOOK;
        accepted(f);
        f->request.extra[1] = f->pipe[0];
        accepted(f);
        f->request.extra[1] = sockets[0];
        accepted(f);
        f->request.extra[1] = null;
        refused(f, "extra:");
        f->request.extra[1] = folder;
        refused(f, "extra:");
        f->request.extra[1] = 9999;
        refused(f, "extra:");
        f->request.kind = SCOPE_AGENT;
        f->request.n_extra = 1;
        f->request.extra[0] = f->pipe[0];
        refused(f, "extra:");
        f->request.extra[0] = sockets[0];
        refused(f, "extra:");
        f->request.extra[0] = f->memory;
        assert_int_equal(ftruncate(f->memory, REQUEST_PRIVATE_MAX), 0);
        accepted(f);
        assert_int_equal(ftruncate(f->memory, REQUEST_PRIVATE_MAX + 1), 0);
        refused(f, "extra:");
        /* It is copied for an agent alone. */
        f->request.kind = SCOPE_HOOK;
        accepted(f);
        safe_close(sockets[0]);
        safe_close(sockets[1]);
        safe_close(null);
        safe_close(root);
}

static void run_program(void) {
        const User user = { .name = (char *) "u", .home = (char *) "/" };
        const Request r = { .kind = SCOPE_HOOK, .id = "c-1", .run = 1, .workspace = "ws" };

        program_run(&r, &user, false, NULL, -1);
}

static void run_parser(void) {
        const int fds[] = { -1 };

        settings_file_answer(&(SettingsText){ "{}", 2 }, fds, getppid());
}

static void run_checker(void) {
        const int fds[] = { -1, -1 };

        arguments_answer(&(Request){}, fds, getppid());
}

static void is_refused_in_front(void (*function)(void)) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                function();
                _exit(EXIT_SUCCESS);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 126 << 8);
}

/* What is behind the drop of privileges refuses to run in front of it. */
static void test_not_dropped(void **state) {
        char *argv[] = { (char *) "/bin/true", NULL }, byte;
        const AgentPlan plan = {
                .argv = argv, .envp = argv + 1, .base = "/", .tmp = "", .cwd = "/", .private_fd = -EBADF
        };
        int control[2], status;

        supervisor_exec(&(Limits){}, 1, 1, -1, -1);
        assert_int_equal(errno, EPERM);
        is_refused_in_front(run_program);
        is_refused_in_front(run_parser);
        is_refused_in_front(run_checker);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
        pid_t pid = fork();
        if (pid == 0)
                agent_half_run(&plan, control[1]);
        safe_close(control[1]);
        assert_int_equal(read(control[0], &byte, 1), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 127);
        safe_close(control[0]);
}

static void test_program(void **state) {
        const Place place = { .user = "u", .shell = "/bin/sh", .home = "/h", .tmp = "/t" };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;

        set_argv(f, "/bin/agent");
        assert_int_equal(strv_extend(&f->arguments.argv, "--x={private}:{private}!"), 0);
        assert_int_equal(strv_extend(&f->arguments.argv, ""), 0);
        assert_int_equal(environment_add(&f->arguments.env, "LANG", "C", &e), 0);
        f->request.n_extra = 1;
        char **v = request_argv(&f->request, &f->arguments, &place);
        assert_non_null(v);
        assert_string_equal(v[0], "/bin/agent");
        assert_string_equal(v[1], "--x=/t/private:/t/private!");
        assert_string_equal(v[2], "");
        assert_null(v[3]);
        strv_free(v);
        v = request_environment(&f->request, &f->arguments, &place);
        assert_true(strv_contains(v, "PATH=/usr/local/bin:/usr/bin:/bin"));
        assert_true(strv_contains(v, "HOME=/h"));
        assert_true(strv_contains(v, "TMPDIR=/t"));
        assert_true(strv_contains(v, "LANG=C"));
        for (size_t i = 0; v[i]; i++)
                assert_true(!startswith(v[i], "LANG=") || streq(v[i], "LANG=C"));
        assert_false(strv_contains(v, "NORTHFLARE_FDS=1"));
        strv_free(v);

        f->request.kind = SCOPE_GIT;
        f->arguments.env = strv_free(f->arguments.env);
        v = request_argv(&f->request, &f->arguments, &place);
        assert_string_equal(v[0], NF_LIBEXECDIR "/northflare-git");
        assert_int_equal(strv_length(v), 3);
        strv_free(v);
        v = request_environment(&f->request, &f->arguments, &place);
        assert_true(strv_contains(v, "NORTHFLARE_FDS=1"));
        assert_true(strv_contains(v, "LANG=C.UTF-8"));
        strv_free(v);
        f->request.n_extra = 0;
        v = request_environment(&f->request, &f->arguments, &place);
        assert_null(strv_env_get(v, "NORTHFLARE_FDS"));
        strv_free(v);
        set_argv(f, NULL);
        v = request_argv(&f->request, &f->arguments, &place);
        assert_int_equal(strv_length(v), 1);
        strv_free(v);
}

static int parse(SettingsFile *s, const char *text) {
        char error[ANSWER_ERROR_SIZE] = "";
        int r = settings_file_parse(s, text, strlen(text), error);

        if (r < 0)
                assert_string_not_equal(error, "");
        return r;
}

static void test_settings(void **state) {
        static const char *const bad[] = {
                "",
                "[]",
                "{",
                "{\"x\":1}",
                "{\"ceilings\":1}",
                "{\"ceilings\":{\"x\":1}}",
                "{\"ceilings\":{\"MemoryMax\":1}}",
                "{\"ceilings\":{\"tasksMax\":0}}",
                "{\"ceilings\":{\"tasksMax\":\"1\"}}",
                "{\"ceilings\":{\"tasksMax\":-1}}",
                "{\"ceilings\":{\"cpuWeight\":10001}}",
                "{\"ceilings\":{\"runtimeMaxSec\":18446744073709551615}}",
                "{\"ceilings\":{\"runtimeMaxSec\":18446744073710}}", /* 448384 µs, after 2^64 */
                "{\"ceilings\":{\"memorySwapMax\":0}}",
                "{\"defaults\":{\"git\":{\"x\":1},\"hook\":{}}}",
                "{\"defaults\":1}",
                "{\"defaults\":{\"x\":{}}}",
                "{\"defaults\":{\"Git\":{}}}",
                "{\"defaults\":{\"git\":1}}",
                "{\"defaults\":{\"git\":null}}",
                "{\"defaults\":{\"git\":{\"x\":1}}}",
                "{\"defaults\":{\"hook\":{\"memoryMax\":0}}}",
                "{\"defaults\":{\"agent\":{\"memoryMax\":null}}}",
                "{\"defaults\":{\"agent\":{\"memoryMax\":\"infinity\"}}}",
                "{\"workspaceLimits\":1}",
                "{\"workspaceLimits\":{\"runtimeMaxSec\":1}}",
                "{\"workspaceLimits\":{\"x\":1}}",
                "{\"workspaceLimits\":{\"memoryMax\":0}}",
                "{\"workspaceLimits\":{\"memoryMax\":\"8G\"}}",
                "{\"workspaceLimits\":{\"ioWeight\":10001}}",
                "{\"maxScopes\":0}",
                "{\"maxScopes\":5000}",
                "{\"maxScopes\":\"1\"}",
                "{\"outLogMaxBytes\":0}",
                "{\"agentUsers\":[]}",
                "{\"agentUsers\":\"a\"}",
                "{\"agentUsers\":[1]}",
        };
        SettingsFile s = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (parse(&s, bad[i]) >= 0)
                        fail_msg("accepted: %s", bad[i]);
        s = (SettingsFile){};
        assert_int_equal(parse(&s, "{}"), 0);
        assert_int_equal(s.n_agents, 0);
        assert_int_equal(parse(&s, "{\"workspaceLimits\":{}}"), 0);
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                assert_false(s.workspace_limits.set[i] || s.ceilings.set[i]);
        assert_int_equal(
                parse(&s,
                      "{\"agentUsers\":[\"a\",\"b\"],\"maxScopes\":7,\"outLogMaxBytes\":8,"
                      "\"ceilings\":{\"memoryMax\":9,\"cpuQuotaPercent\":150,\"runtimeMaxSec\":3},"
                      "\"workspaceLimits\":{\"memoryHigh\":1,\"memoryMax\":2,\"memorySwapMax\":3,\"tasksMax\":4,"
                      "\"cpuQuotaPercent\":5,\"cpuWeight\":6,\"ioWeight\":7}}"),
                0);
        assert_int_equal(s.n_agents, 2);
        assert_string_equal(s.agents[1], "b");
        assert_int_equal(s.max_scopes, 7);
        assert_int_equal(s.out_log_max, 8);
        assert_int_equal(s.ceilings.value[LIMIT_MEMORY_MAX], 9);
        assert_int_equal(s.ceilings.value[LIMIT_CPU_QUOTA], 1500000);
        assert_int_equal(s.ceilings.value[LIMIT_RUNTIME_MAX], 3000000);
        for (LimitId i = 0; i < _LIMIT_MAX; i++)
                assert_int_equal(s.workspace_limits.set[i], i != LIMIT_RUNTIME_MAX);
        assert_int_equal(s.workspace_limits.value[LIMIT_MEMORY_MAX], 2);
        assert_int_equal(s.workspace_limits.value[LIMIT_CPU_QUOTA], 50000);
        assert_int_equal(s.workspace_limits.value[LIMIT_IO_WEIGHT], 7);
}

/* The sentence is of the first thing that is wrong. */
static void test_settings_errors(void **state) {
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "[]", "Not an object." },
                { "{\"x\":1}", "Unknown member x." },
                { "{\"maxScopes\":0}", "maxScopes has an invalid value." },
                { "{\"ceilings\":1}", "ceilings is not an object." },
                { "{\"ceilings\":{\"x\":1}}", "ceilings has an unknown member x." },
                { "{\"ceilings\":{\"tasksMax\":0}}", "ceilings.tasksMax is not a valid number." },
                { "{\"defaults\":1}", "defaults is not an object." },
                { "{\"defaults\":{\"x\":{}}}", "defaults has no member x." },
                { "{\"defaults\":{\"git\":1}}", "defaults.git is not an object." },
                { "{\"workspaceLimits\":{\"runtimeMaxSec\":1}}",
                  "workspaceLimits has an unknown member runtimeMaxSec." },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char error[ANSWER_ERROR_SIZE] = "";
                SettingsFile s = {};

                assert_int_equal(
                        settings_file_parse(&s, cases[i].text, strlen(cases[i].text), error), -EINVAL);
                assert_string_equal(error, cases[i].error);
        }
}

/* The list of users at its bounds, and past them. */
static void test_settings_users(void **state) {
        char text[512], name[300];
        SettingsFile s = {};

        memset(name, 'n', sizeof(name));
        for (int n = 255; n <= 256; n++) {
                (void) snprintf(text, sizeof(text), "{\"agentUsers\":[\"%.*s\"]}", n, name);
                assert_int_equal(parse(&s, text), n == 255 ? 0 : -EINVAL);
        }
        for (int n = 64; n <= 65; n++) {
                char *p = text + snprintf(text, sizeof(text), "{\"agentUsers\":[\"a\"");

                for (int i = 1; i < n; i++)
                        p += snprintf(p, 5, ",\"a\"");
                (void) snprintf(p, 3, "]}");
                s = (SettingsFile){};
                assert_int_equal(parse(&s, text), n == 64 ? 0 : -EINVAL);
        }
        s = (SettingsFile){};
        assert_int_equal(parse(&s, "{\"ceilings\":{\"cpuWeight\":10000}}"), 0);
}

static void test_defaults(void **state) {
        static const char text[] = "{\"defaults\":{\"git\":{\"memoryMax\":5000,\"runtimeMaxSec\":7}},"
                                   "\"ceilings\":{\"tasksMax\":40,\"ioWeight\":50,\"cpuWeight\":500}}";
        static const char *const null[] = {
                "{\"defaults\":{\"git\":{\"memoryMax\":null}}}",
                "{\"defaults\":{\"git\":{\"memoryMax\":\"1\"}}}",
                "{\"maxScopes\":null}",
                "{\"maxScopes\":\"1\"}",
                "{\"outLogMaxBytes\":null}",
                "{\"outLogMaxBytes\":\"1\"}",
        };
        const LimitId all[] = {
                LIMIT_MEMORY_MAX, LIMIT_MEMORY_SWAP_MAX, LIMIT_TASKS_MAX, LIMIT_RUNTIME_MAX
        };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        SettingsFile file;
        Limits l = {};

        assert_int_equal(parse(&file, "{}"), 0);
        /* No kind is without any of them. */
        for (ScopeKind k = 0; k < _SCOPE_KIND_MAX; k++) {
                for (size_t i = 0; i < ELEMENTSOF(all); i++)
                        assert_true(file.defaults[k].set[all[i]]);
                assert_true(file.defaults[k].set[LIMIT_CPU_QUOTA] || file.defaults[k].set[LIMIT_CPU_WEIGHT]);
                assert_in_range(file.defaults[k].value[LIMIT_MEMORY_MAX], 1, UINT64_C(4) << 30);
        }
        /* Null is no way to keep them. */
        for (size_t i = 0; i < ELEMENTSOF(null); i++)
                if (parse(&file, null[i]) >= 0)
                        fail_msg("accepted: %s", null[i]);
        assert_int_equal(parse(&file, text), 0);
        assert_int_equal(file.defaults[SCOPE_GIT].value[LIMIT_MEMORY_MAX], 5000);
        assert_int_equal(file.defaults[SCOPE_GIT].value[LIMIT_RUNTIME_MAX], 7 * USEC_PER_SEC);
        /* What the file does not name is as it was. */
        assert_int_equal(file.defaults[SCOPE_GIT].value[LIMIT_CPU_QUOTA], 2 * USEC_PER_SEC);
        assert_int_not_equal(file.defaults[SCOPE_HOOK].value[LIMIT_MEMORY_MAX], 5000);

        /* The caller's own word stands, a default is lowered to its ceiling, and a ceiling alone is the limit as before. */
        assert_int_equal(limits_add(&l, "MemoryMax", 6000, &e), 0);
        assert_int_equal(limits_check(&l, &file.ceilings, &e), 0);
        limits_default(&l, &file.defaults[SCOPE_GIT]);
        assert_int_equal(l.value[LIMIT_MEMORY_MAX], 6000);
        assert_int_equal(l.value[LIMIT_TASKS_MAX], 40);
        assert_int_equal(l.value[LIMIT_IO_WEIGHT], 50);
        /* A weight is at most the usual. */
        assert_int_equal(l.value[LIMIT_CPU_WEIGHT], 100);
        assert_int_equal(file.defaults[SCOPE_AGENT].value[LIMIT_CPU_WEIGHT], 100);
        assert_int_equal(file.defaults[SCOPE_AGENT].value[LIMIT_TASKS_MAX], 40);
        assert_true(l.set[LIMIT_MEMORY_SWAP_MAX]);
        assert_int_equal(l.value[LIMIT_MEMORY_SWAP_MAX], 0);
        assert_false(l.set[LIMIT_MEMORY_HIGH]);
}

static const char *user_of(Settings *s, const char *key) {
        const User *u = NULL;

        assert_int_equal(settings_agent_user(s, key, &u), 0);
        return u->name;
}

static void test_agent_users(void **state) {
        Fixture *f = *state;
        Settings s = {
                .agents = { { .name = (char *) "a" }, { .name = (char *) "b" }, { .name = (char *) "c" } },
                .n_agents = 1,
                .state_fd = f->request.dirfd
        };
        _cleanup_close_ int fd = -EBADF;

        assert_string_equal(user_of(&s, "1"), "a");
        s.n_agents = 3;
        assert_string_equal(user_of(&s, "1"), "a");
        assert_string_equal(user_of(&s, "2"), "b");
        assert_string_equal(user_of(&s, "3"), "c");
        assert_string_equal(user_of(&s, "4"), "a");
        assert_string_equal(user_of(&s, "3"), "c");
        /* c is no agent user any more: its workspace gets another, and keeps it. */
        s.n_agents = 2;
        assert_string_equal(user_of(&s, "3"), "b");
        s.n_agents = 3;
        assert_string_equal(user_of(&s, "3"), "b");
        /* A line that was cut short counts for nothing and spoils nothing. */
        fd = openat(f->request.dirfd, "workspaces", O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, "5 ", 2), 0);
        assert_string_equal(user_of(&s, "5"), "c");
        assert_string_equal(user_of(&s, "5"), "c");
        assert_string_equal(user_of(&s, "1"), "a");
        /* The same in the middle of a key. */
        assert_int_equal(write_all(fd, "6", 1), 0);
        assert_string_equal(user_of(&s, "66"), "a");
        assert_string_equal(user_of(&s, "7"), "b");
        assert_string_equal(user_of(&s, "66"), "a");
        assert_string_equal(user_of(&s, "7"), "b");
        /* The same where what is left is the name of another user: the one with the fewest is c. */
        assert_int_equal(write_all(fd, "9 a", 3), 0);
        assert_string_equal(user_of(&s, "9"), "c");
}

static void put(int dirfd, const char *scope, const char *name, const char *text) {
        _cleanup_close_ int fd = mkdir_open_at(dirfd, scope, 0700);

        assert_true(fd >= 0);
        assert_int_equal(write_file_atomic_at(fd, name, text, strlen(text), 0600), 0);
}

static void test_sum(void **state) {
        Fixture *f = *state;
        int fd = f->request.dirfd;
        Sum sum = {};

        assert_int_equal(sum_measure("/nonexistent", NULL, &sum), 0);
        assert_int_equal(sum.scopes, 0);
        put(fd, "northflare-conversation-a-1.scope", "memory.max", "100\n");
        put(fd, "northflare-conversation-a-1.scope", "pids.max", "7\n");
        put(fd, "northflare-git-b-1.scope", "memory.max", "max\n");
        put(fd, "northflare-hook-b-1.scope", "memory.max", "20\n");
        put(fd, "other.scope", "memory.max", "1000\n");
        assert_int_equal(sum_measure(f->folder, NULL, &sum), 0);
        assert_int_equal(sum.scopes, 3);
        /* Not the 20 of the hook: it ends soon, and was promised nothing. */
        assert_int_equal(sum.taken[LIMIT_MEMORY_MAX], 100);
        assert_int_equal(sum.taken[LIMIT_TASKS_MAX], 7);
        sum = (Sum){};
        assert_int_equal(sum_measure(f->folder, "northflare-conversation-a-1.scope", &sum), 0);
        assert_int_equal(sum.scopes, 2);
        assert_int_equal(sum.taken[LIMIT_MEMORY_MAX], 0);
        /* Scopes of a workspace's slice count; those of anybody else's below ours do not. */
        assert_int_equal(mkdirat(fd, "northflare-ws_0123456789abcdef.slice", 0700), 0);
        assert_int_equal(mkdirat(fd, "northflare-ws_x.slice", 0700), 0);
        put(fd,
            "northflare-ws_0123456789abcdef.slice/northflare-conversation-c-1.scope",
            "memory.max",
            "300\n");
        put(fd, "northflare-ws_0123456789abcdef.slice/northflare-conversation-d-1.scope", "pids.max", "9\n");
        put(fd, "northflare-ws_x.slice/northflare-conversation-e-1.scope", "memory.max", "5000\n");
        sum = (Sum){};
        assert_int_equal(sum_measure(f->folder, "northflare-conversation-d-1.scope", &sum), 0);
        assert_int_equal(sum.scopes, 4);
        assert_int_equal(sum.taken[LIMIT_MEMORY_MAX], 400);
        assert_int_equal(sum.taken[LIMIT_TASKS_MAX], 7);
        /* One that cannot be read is no empty one, whatever is read after it. */
        for (char c = '0'; c <= '9'; c++) {
                char name[] = "northflare-ws_0123456789abcde?.slice";

                *strchr(name, '?') = c;
                if (c == '5')
                        assert_int_equal(write_file_atomic_at(fd, name, "", 0, 0600), 0);
                else
                        assert_int_equal(mkdirat(fd, name, 0700), 0);
        }
        assert_int_equal(sum_measure(f->folder, NULL, &sum), -ENOTDIR);
        assert_true(sum_limit(f->folder, "northflare-git-b-1.scope", "memory.max") == UINT64_MAX);
        assert_true(sum_limit(f->folder, ".", "memory.max") == UINT64_MAX);
}

static void test_sum_check(void **state) {
        Sum sum = { .taken = { [LIMIT_MEMORY_MAX] = 100, [LIMIT_TASKS_MAX] = 7 } };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;
        Limits l = {};

        /* A slice without limits; one that says so; one that has some. */
        assert_int_equal(limits_add(&l, "MemoryMax", 20, &e), 0);
        assert_int_equal(limits_add(&l, "TasksMax", 3, &e), 0);
        assert_int_equal(sum_check(&sum, f->folder, &l, &e), 0);
        put(f->request.dirfd, ".", "memory.max", "max\n");
        assert_int_equal(sum_check(&sum, f->folder, &l, &e), 0);
        put(f->request.dirfd, ".", "memory.max", "120\n");
        put(f->request.dirfd, ".", "pids.max", "10\n");
        assert_int_equal(sum_check(&sum, f->folder, &l, &e), 0);
        put(f->request.dirfd, ".", "memory.max", "119\n");
        expect(sum_check(&sum, f->folder, &l, &e), &e, ERROR_LIMIT_TOO_HIGH, "limits: MemoryMax");
        l.set[LIMIT_MEMORY_MAX] = false;
        assert_int_equal(sum_check(&sum, f->folder, &l, &e), 0);
        put(f->request.dirfd, ".", "pids.max", "9\n");
        expect(sum_check(&sum, f->folder, &l, &e), &e, ERROR_LIMIT_TOO_HIGH, "limits: TasksMax");
        /* A sum that leaves the type is too much, too. */
        sum.taken[LIMIT_TASKS_MAX] = UINT64_MAX - 2;
        expect(sum_check(&sum, f->folder, &l, &e), &e, ERROR_LIMIT_TOO_HIGH, "limits: TasksMax");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_kind),           CASE(test_ids),         CASE(test_argv),
                CASE(test_environment),    CASE(test_cwd),         CASE(test_limits),
                CASE(test_descriptors),    CASE(test_program),     CASE(test_not_dropped),
                CASE(test_settings),       CASE(test_agent_users), CASE(test_sum),
                CASE(test_sum_check),      CASE(test_defaults),    CASE(test_settings_errors),
                CASE(test_settings_users),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
