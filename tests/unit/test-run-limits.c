/* SPDX-License-Identifier: MIT */
/* What the kernel's files say of limits, what is told when, and whose name is in a line of the kernel's. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/cgroup.h"
#include "common/fileio.h"
#include "runner/limits/limit-files.h"
#include "runner/limits/limit-filter.h"
#include "runner/limits/limit-victim.h"
#include "runner/limits/limit-watch.h"
#include "runner/limits/limits.h"

#define MINUTE (60 * USEC_PER_SEC)

static void texts_of_files(void **state) {
        static const struct {
                const char *name, *text;
                bool good;
                uint64_t value;
        } cases[] = {
                { "memoryMax", "67108864\n", true, 67108864 },
                { "memoryMax", "max\n", true, UINT64_MAX },
                { "memoryMax", "\n", false, 0 },
                { "memoryMax", "", false, 0 },
                { "memoryMax", "-1\n", false, 0 },
                { "memoryMax", "99999999999999999999999999999999999999\n", false, 0 },
                { "ioWeight", "default 250\n8:0 10\n", true, 250 },
                { "cpuQuotaPercent", "max 100000\n", true, UINT64_MAX },
                { "cpuQuotaPercent", "50000 100000\n", true, 50 },
                { "cpuQuotaPercent", "3333 10000\n", true, 33 },
                { "cpuQuotaPercent", "250000 100000\n", true, 250 },
                { "cpuQuotaPercent", "50000 0\n", false, 0 },
                { "cpuQuotaPercent", "50000\n", false, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 0;

                if (limit_file_parse(cases[i].name, cases[i].text, &value) != cases[i].good)
                        fail_msg("case %zu", i);
                assert_int_equal(value, cases[i].value);
        }
}

static void put(int dirfd, const char *name, const char *text) {
        assert_int_equal(write_file_atomic_at(dirfd, name, text, strlen(text), 0600), 0);
}

static void what_is_given(void **state) {
        char path[] = "/tmp/test-run-limits-XXXXXX";
        _cleanup_close_ int fd = -EBADF;
        _cleanup_json_ Json *asked = NULL, *effective = NULL;
        CgroupUsage usage;
        static const char text[] =
                "{\"memoryMax\":67108865,\"memoryHigh\":67108864,\"tasksMax\":10,\"cpuWeight\":100,"
                "\"cpuQuotaPercent\":50,\"ioWeight\":100,\"runtimeMaxSec\":5}";

        assert_non_null(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        put(fd, "memory.max", "67108864\n");
        put(fd, "memory.high", "max\n");
        put(fd, "memory.events", "low 0\nhigh 3\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n");
        put(fd, "pids.max", "10\n");
        put(fd, "cpu.weight", "20\n");
        put(fd, "cpu.max", "50000 100000\n");
        assert_int_equal(json_parse(text, strlen(text), &asked, NULL), 0);
        assert_int_equal(limit_files_read(fd, &effective), -ENODEV);
        put(fd, "cgroup.procs", "");
        assert_int_equal(limit_files_read(fd, &effective), 0);
        assert_true(limit_is_given("memoryMax", asked, effective)); /* rounded to a page */
        assert_false(limit_is_given("memoryHigh", asked, effective));
        assert_true(limit_is_given("tasksMax", asked, effective));
        assert_false(limit_is_given("cpuWeight", asked, effective));
        assert_true(limit_is_given("cpuQuotaPercent", asked, effective));
        assert_false(limit_is_given("ioWeight", asked, effective));     /* there is no file */
        assert_true(limit_is_given("memorySwapMax", asked, effective)); /* nobody asked */
        assert_true(limit_is_given("runtimeMaxSec", asked, effective)); /* no controller's */
        assert_string_equal(
                json_text(effective),
                "{\"memoryHigh\":null,\"memoryMax\":67108864,\"tasksMax\":10,\"cpuWeight\":20,\"cpuQuotaPercent\":50}");
        cgroup_usage(fd, &usage);
        assert_string_equal(usage.values[5].name, "oomKills");
        assert_true(usage.values[5].known);
        assert_int_equal(usage.values[5].value, 1);
        assert_false(usage.values[1].known);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
}

static void asked_in_the_protocols_words(void **state) {
        static const char text[] = "{\"memoryMax\":1000,\"cpuQuotaPercent\":150,\"runtimeMaxSec\":7}";
        _cleanup_json_ Json *in = NULL, *out = NULL;
        _cleanup_free_ char *error = NULL;
        Limits l;

        assert_int_equal(json_parse(text, strlen(text), &in, NULL), 0);
        assert_int_equal(limits_parse(in, NULL, &l, &error), 0);
        out = limits_to_json(&l);
        assert_true(json_object_equal(in, out));
}

static void places(void **state) {
        static const char *const cases[][2] = {
                { "/system.slice/northflare-runner.service", "/northflare.slice/x.scope" },
                { "/user.slice/user-7.slice/user@7.service/app.slice/northflare-runner.service",
                  "/user.slice/user-7.slice/user@7.service/northflare.slice/x.scope" },
                { "/", "/northflare.slice/x.scope" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *s = limit_scope_cgroup(cases[i][0], NULL, "x.scope");
                assert_string_equal(s, cases[i][1]);
        }
        /* sha256("abc") begins so. */
        _cleanup_free_ char *in_workspace = limit_scope_cgroup("/a", "abc", "x.scope"), *slice = NULL,
                            *none = NULL;
        assert_string_equal(in_workspace, "/northflare.slice/northflare-ws_ba7816bf8f01cfea.slice/x.scope");
        assert_int_equal(limit_workspace_cgroup(in_workspace, &slice), 1);
        assert_string_equal(slice, "/northflare.slice/northflare-ws_ba7816bf8f01cfea.slice");
        assert_int_equal(limit_workspace_cgroup("/northflare.slice/x.scope", &none), 0);
        assert_int_equal(limit_workspace_cgroup("/northflare.slice/northflare-ws_x.scope", &none), 0);
        assert_int_equal(limit_workspace_cgroup("/northflare-ws_a.slice/b.slice/x.scope", &none), 0);
        assert_int_equal(limit_workspace_cgroup("x", &none), 0);
        assert_null(none);
}

static void filter_units(void **state) {
        static const char *const cases[][2] = {
                { "/northflare.slice/x.scope", "x.scope northflare.slice -.slice " },
                { "/northflare.slice/northflare-ws_a.slice/x.scope",
                  "x.scope northflare-ws_a.slice northflare.slice -.slice " },
                { "/user.slice/user-7.slice/user@7.service/northflare.slice/x.scope",
                  "x.scope northflare.slice -.slice " },
                { "/x.scope", "x.scope -.slice " },
                { "x.scope", "x.scope -.slice " },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_strv_free_ char **units = NULL;
                _cleanup_buffer_ Buffer text = {};

                assert_int_equal(limit_filter_units("x.scope", cases[i][0], &units), 0);
                STRV_FOREACH(u, units)
                        (void) buffer_printf(&text, "%s ", *u);
                assert_string_equal(text.data, cases[i][1]);
        }
}

static void reported_at_once_and_then_together(void **state) {
        LimitMeter m = {};
        uint64_t at;

        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_MEMORY_HIGH, 0, MINUTE, &at), 0);
        assert_true(at == USEC_INFINITY);
        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_MEMORY_HIGH, 3, MINUTE, &at), 3);
        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_MEMORY_HIGH, 3, MINUTE + 1, &at), 0);
        assert_true(at == USEC_INFINITY);
        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_MEMORY_HIGH, 500, MINUTE + 2, &at), 0);
        assert_int_equal(at, 2 * MINUTE);
        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_MEMORY_HIGH, 900, 2 * MINUTE, &at), 897);
        /* A kill is not kept back for long. */
        m = (LimitMeter){ .reported = 1 };
        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_OOM_KILL, 2, MINUTE, &at), 1);
        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_OOM_KILL, 4, MINUTE + 1, &at), 0);
        assert_int_equal(at, MINUTE + USEC_PER_SEC);
        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_OOM_KILL, 4, at, &at), 2);
        /* A counter that a restored store is ahead of says nothing. */
        assert_int_equal(limit_meter_take(&m, LIMIT_EVENT_OOM_KILL, 1, 9 * MINUTE, &at), 0);
}

static void victims(void **state) {
#define LINE(group, task)                                                               \
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0," \
        "oom_memcg=/northflare.slice/a.scope,task_memcg=" group ",task=" task ",pid=12,uid=996"
        static const struct {
                const char *line, *name;
        } cases[] = {
                { LINE("/northflare.slice/a.scope", "node"), "node" },
                { LINE("/northflare.slice/a.scope/agent", "cc1plus"), "cc1plus" },
                { LINE("/northflare.slice/a.scopex", "node"), NULL },
                { LINE("/northflare.slice/b.scope", "node"), NULL },
                /* Names are anybody's choice. */
                { LINE("/northflare.slice/a.scope", "a,pid=1,b"), "a,pid=1,b" },
                { LINE("/northflare.slice/b.scope", ",task_memcg=/northflare.slice/a.scope,task=x"), NULL },
                { LINE("/northflare.slice/a.scope", ""), "" },
                { "oom-kill:", NULL },
                { "oom-kill:,task_memcg=/northflare.slice/a.scope", NULL },
                { "oom-kill:,task_memcg=/northflare.slice/a.scope,task=x", NULL },
                { "Memory cgroup out of memory: Killed process 12 (node)", NULL },
                { "", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(limit_victim_done) LimitVictim v = {};
                bool found = limit_victim_parse(cases[i].line, "/northflare.slice/a.scope", &v);

                if (found != (cases[i].name != NULL) || (found && !streq(v.name, cases[i].name)))
                        fail_msg("case %zu: %s", i, v.name ? v.name : "nothing");
                if (found)
                        assert_string_equal(v.limit, "/northflare.slice/a.scope");
        }
        _cleanup_(limit_victim_done) LimitVictim machine = {};
        assert_true(limit_victim_parse(
                "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
                "task_memcg=/northflare.slice/a.scope,task=,oom_memcg=/x,pid=12,uid=996",
                "/northflare.slice/a.scope",
                &machine));
        assert_null(machine.limit);
}

static void on_event(LimitEvent what, uint64_t events, const LimitCounts *now, void *userdata) {
        fail_msg("no limit was reached");
}

static void on_changed(void *userdata) {
        fail_msg("nothing has changed");
}

static void on_frozen(bool frozen, void *userdata) {
        fail_msg("nothing has changed");
}

/* A cgroup without controllers has none of the files. */
static void a_watch_begins(void **state) {
        static const LimitWatchOps ops = { .changed = on_changed, .event = on_event, .frozen = on_frozen };
        char path[] = "/tmp/test-run-limits-XXXXXX";
        _cleanup_close_ int fd = -EBADF;
        sd_event *event = NULL;
        LimitWatch *w = NULL;

        assert_non_null(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(limit_watch_new(event, fd, &(LimitCounts){}, &ops, NULL, &w), 0);
        assert_false(limit_watch_is_frozen(w));
        while (sd_event_run(event, 0) > 0)
                ;
        limit_watch_free(w);
        sd_event_unref(event);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(texts_of_files),
                cmocka_unit_test(what_is_given),
                cmocka_unit_test(asked_in_the_protocols_words),
                cmocka_unit_test(places),
                cmocka_unit_test(filter_units),
                cmocka_unit_test(reported_at_once_and_then_together),
                cmocka_unit_test(victims),
                cmocka_unit_test(a_watch_begins),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
