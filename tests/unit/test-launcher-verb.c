/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "fake-systemd.h"

/* What is done to a scope that runs: systemd is asked what it is, and only then to do it. */

#define UNIT "northflare-conversation-c-1.scope"
#define UNIT_PATH "/org/freedesktop/systemd1/unit/northflare_2dconversation_2dc_2d1_2escope"
#define WORKSPACE_SLICE "northflare-ws_0123456789abcdef.slice"

static const char *const members[] = { "Stop", "Kill", "Freeze", "Thaw", "Collect", "SetLimits" };

static void verb(World *w, Reply *r, const char *member, const char *unit) {
        if (streq(member, "SetLimits"))
                call(w, r, w->caller, member, "sa{st}", unit, 1, "TasksMax", UINT64_C(50));
        else
                call(w, r, w->caller, member, "s", unit);
}

/* Answers what the unit is. */
static void facts(World *w, const char *load, const char *slice, int transient, int delegate) {
        sd_bus_message *m = next_call(w, "GetAll");
        const char *interface;

        assert_string_equal(sd_bus_message_get_path(m), UNIT_PATH);
        assert_true(sd_bus_message_read(m, "s", &interface) > 0);
        assert_string_equal(interface, "");
        answer(w,
               m,
               "a{sv}",
               6,
               "Id",
               "s",
               UNIT,
               "LoadState",
               "s",
               load,
               "Slice",
               "s",
               slice,
               "Transient",
               "b",
               transient,
               "Delegate",
               "b",
               delegate,
               "TasksMax",
               "t",
               UINT64_C(7));
}

static void good_facts(World *w) {
        facts(w, "loaded", "northflare.slice", 1, 1);
}

static void is_about(sd_bus_message *m) {
        const char *unit;

        assert_string_equal(sd_bus_message_get_interface(m), "org.freedesktop.systemd1.Manager");
        assert_true(sd_bus_message_read(m, "s", &unit) > 0);
        assert_string_equal(unit, UNIT);
}

/* The call of systemd that a verb leads to, with its arguments, not answered yet. */
static sd_bus_message *order(World *w, const char *member) {
        sd_bus_message *m;
        const char *text;
        uint64_t t;
        int n;

        if (streq(member, "Stop")) {
                m = next_call(w, "ThawUnit");
                is_about(m);
                /* That it was not frozen is no matter. */
                answer_error(w, m, "org.freedesktop.DBus.Error.InvalidArgs");
                m = next_call(w, "StopUnit");
                is_about(m);
                assert_true(sd_bus_message_read(m, "s", &text) > 0);
                assert_string_equal(text, "replace");
        } else if (streq(member, "Kill")) {
                m = next_call(w, "KillUnit");
                is_about(m);
                assert_true(sd_bus_message_read(m, "si", &text, &n) > 0);
                assert_string_equal(text, "all");
                assert_int_equal(n, SIGKILL);
        } else if (streq(member, "SetLimits")) {
                m = next_call(w, "SetUnitProperties");
                is_about(m);
                assert_true(sd_bus_message_read(m, "ba(sv)", &n, 1, &text, "t", &t) > 0);
                assert_int_equal(n, 1);
                assert_string_equal(text, "TasksMax");
                assert_int_equal(t, 50);
        } else {
                m = next_call(
                        w,
                        streq(member, "Freeze")       ? "FreezeUnit" :
                                streq(member, "Thaw") ? "ThawUnit" :
                                                        "ResetFailedUnit");
                is_about(m);
        }
        assert_true(sd_bus_message_at_end(m, 1) > 0);
        return m;
}

static void test_good(void **state) {
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                sd_bus_message *m;

                verb(w, &r, members[i], UNIT);
                good_facts(w);
                m = order(w, members[i]);
                assert_false(r.done);
                answer(w, m, streq(members[i], "Stop") ? "o" : NULL, "/org/freedesktop/systemd1/job/1");
                wait_good(w, &r);
                /* In the slice of a workspace it is the launcher's as well. */
                verb(w, &r, members[i], UNIT);
                facts(w, "loaded", WORKSPACE_SLICE, 1, 1);
                answer(w, order(w, members[i]), NULL);
                wait_good(w, &r);
        }
        /* Those that are done do not count. */
        for (int i = 0; i < 65; i++) {
                verb(w, &r, "Kill", UNIT);
                good_facts(w);
                answer(w, order(w, "Kill"), NULL);
                wait_good(w, &r);
        }
        no_calls(w);
}

static void test_not_ours(void **state) {
        static const struct {
                const char *load, *slice;
                int transient, delegate;
                const char *error;
        } cases[] = {
                { "not-found", "northflare.slice", 1, 1, "NoSuchUnit" },
                { "not-found", "", 0, 0, "NoSuchUnit" },
                { "loaded", "system.slice", 1, 1, "NotOurs" },
                { "loaded", "", 1, 1, "NotOurs" },
                { "loaded", "northflare-ws_0123456789abcde.slice", 1, 1, "NotOurs" },
                { "loaded", "northflare.slice", 0, 1, "NotOurs" },
                { "loaded", "northflare.slice", 1, 0, "NotOurs" },
        };
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                for (size_t k = 0; k < ELEMENTSOF(cases); k++) {
                        verb(w, &r, members[i], UNIT);
                        facts(w, cases[k].load, cases[k].slice, cases[k].transient, cases[k].delegate);
                        wait_error(w, &r, cases[k].error, "unit: ");
                }
        no_calls(w);
}

/* What systemd does not say, or says in another way than it does, counts for nothing. */
static void test_facts_unreadable(void **state) {
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        for (int i = 0; i < 6; i++) {
                verb(w, &r, "Kill", UNIT);
                sd_bus_message *m = next_call(w, "GetAll");
                if (i == 0)
                        answer(w, m, "a{sv}", 0);
                else if (i == 1)
                        answer(w,
                               m,
                               "a{sv}",
                               3,
                               "LoadState",
                               "s",
                               "loaded",
                               "Slice",
                               "s",
                               "northflare.slice",
                               "Transient",
                               "b",
                               1);
                else if (i == 2)
                        answer(w, m, "a{sv}", 1, "Slice", "b", 1);
                else if (i == 3)
                        answer(w, m, "a{ss}", 1, "Slice", "northflare.slice");
                else if (i == 4)
                        answer(w, m, NULL);
                else
                        answer_error(w, m, "org.freedesktop.DBus.Error.UnknownObject");
                wait_error(
                        w,
                        &r,
                        i < 2 ? "NotOurs" : "Failed",
                        i < 2 ? "unit: not a unit" : "Failed to ask systemd for the state of this unit.");
        }
        no_calls(w);
}

/* No unit of another name is asked about at all. */
static void test_names(void **state) {
        static const char *const names[] = {
                "",
                "dbus.service",
                "init.scope",
                "northflare.slice",
                "northflare-conversation-a-0.scope",
                "northflare-conversation-a.scope",
                "northflare-conversation-a-1.service",
                "../northflare-git-a-1.scope",
                WORKSPACE_SLICE,
        };
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                for (size_t k = 0; k < ELEMENTSOF(names); k++) {
                        verb(w, &r, members[i], names[k]);
                        wait_error(w, &r, "NotOurs", "unit: not the name");
                }
        no_calls(w);
}

static void test_refused(void **state) {
        static const char *const errors[][2] = {
                { "NoSuchUnit", "NoSuchUnit" },
                { "UnitExists", "Exists" },
                { "org.freedesktop.DBus.Error.AccessDenied", "Failed" },
                { "org.freedesktop.DBus.Error.LimitsExceeded", "Failed" },
                { "org.freedesktop.DBus.Error.NoReply", "Failed" },
                { "org.freedesktop.DBus.Error.ServiceUnknown", "Failed" },
                { "UnitInactive", "Failed" },
        };
        World *w = *state;
        Reply r;

        world_launch(w, 1);
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                for (size_t k = 0; k < ELEMENTSOF(errors); k++) {
                        verb(w, &r, members[i], UNIT);
                        good_facts(w);
                        answer_error(w, order(w, members[i]), errors[k][0]);
                        wait_error(w, &r, errors[k][1], "systemd: because of ");
                }
        no_calls(w);
}

/* systemd does not answer, or vanishes. */
static void test_no_answer(void **state) {
        World *w = *state;
        Reply r, s;

        assert_int_equal(setenv("NF_TEST_NO_ANSWER", "GetAll", 1), 0);
        world_launch(w, 1);
        verb(w, &r, "Kill", UNIT);
        next_call(w, "GetAll");
        wait_error(w, &r, "Failed", "Failed to ask systemd");
        world_kill(w);
        assert_int_equal(setenv("NF_TEST_NO_ANSWER", "KillUnit", 1), 0);
        world_launch(w, 1);
        assert_int_equal(unsetenv("NF_TEST_NO_ANSWER"), 0);
        verb(w, &s, "Kill", UNIT);
        good_facts(w);
        order(w, "Kill");
        wait_error(w, &s, "Failed", "systemd: ");
        world_kill(w);
        world_launch(w, 1);
        verb(w, &s, "Kill", UNIT);
        good_facts(w);
        order(w, "Kill");
        systemd_leave(w);
        wait_error(w, &s, "Failed", "systemd: ");
        verb(w, &s, "Kill", UNIT);
        wait_error(w, &s, "Failed", "Failed to ask systemd");
        systemd_come(w);
        verb(w, &s, "Freeze", UNIT);
        good_facts(w);
        answer(w, order(w, "Freeze"), NULL);
        wait_good(w, &s);
}

static void test_many(void **state) {
        static Reply replies[65];
        World *w = *state;

        world_launch(w, 1);
        for (int i = 0; i < 65; i++)
                verb(w, &replies[i], members[i % 6], UNIT);
        wait_error(w, &replies[64], "TooMany", "64 such calls are already waiting.");
        /* Starts have their own number. */
        Reply r;
        start(w, &r, &(Start){});
        for (int i = 0; i < 64; i++)
                facts(w, "not-found", "", 0, 0);
        next_call(w, "StartTransientUnit");
        for (int i = 0; i < 64; i++)
                wait_error(w, &replies[i], "NoSuchUnit", "unit: ");
        verb(w, &replies[0], "Kill", UNIT);
        facts(w, "not-found", "", 0, 0);
        wait_error(w, &replies[0], "NoSuchUnit", "unit: ");
        reply_done(&r);
}

static void test_limits(void **state) {
        World *w = *state;
        Reply r;

        world_put(w, "cgroup/northflare.slice/" UNIT "/memory.max", "1000\n");
        world_put(w, "cgroup/northflare.slice/northflare-conversation-d-1.scope/memory.max", "2000\n");
        world_put(w, "cgroup/northflare.slice/memory.max", "5000\n");
        world_configure(w, "{\"ceilings\": {\"tasksMax\": 60, \"cpuWeight\": 50}, \"maxScopes\": 1}");
        world_launch(w, 1);
        call(w, &r, w->caller, "SetLimits", "sa{st}", UNIT, 1, "TasksMax", UINT64_C(61));
        wait_error(w, &r, "LimitTooHigh", "limits: TasksMax is 61, above the ceiling of 60.");
        call(w, &r, w->caller, "SetLimits", "sa{st}", UNIT, 1, "RuntimeMaxUSec", UINT64_C(61));
        wait_error(w, &r, "InvalidArgument", "limits: RuntimeMaxUSec can be set at the start only.");
        call(w, &r, w->caller, "SetLimits", "sa{st}", UNIT, 1, "Delegate", UINT64_C(1));
        wait_error(w, &r, "InvalidArgument", "limits: unknown limit.");
        call(w,
             &r,
             w->caller,
             "SetLimits",
             "sa{st}",
             UNIT,
             2,
             "TasksMax",
             UINT64_C(1),
             "TasksMax",
             UINT64_C(1));
        wait_error(w, &r, "InvalidArgument", "limits: TasksMax is given twice.");
        call(w, &r, w->caller, "SetLimits", "sa{st}", UNIT, 1, "MemoryMax", UINT64_C(3001));
        wait_error(w, &r, "LimitTooHigh", "limits: MemoryMax of all scopes");
        no_calls(w);
        /* What it has does not count beside what it is to have, those that are not named stay, and it is no scope more, also
         * where there are as many as there may be. */
        call(w, &r, w->caller, "SetLimits", "sa{st}", UNIT, 1, "MemoryMax", UINT64_C(3000));
        good_facts(w);
        sd_bus_message *m = next_call(w, "SetUnitProperties");
        const char *name;
        uint64_t t;
        int runtime;
        is_about(m);
        assert_true(sd_bus_message_read(m, "ba(sv)", &runtime, 1, &name, "t", &t) > 0);
        assert_string_equal(name, "MemoryMax");
        assert_int_equal(t, 3000);
        answer(w, m, NULL);
        wait_good(w, &r);
        start(w, &r, &(Start){ .id = "e", .kind = "hook" });
        wait_error(w, &r, "TooMany", "2 scopes already exist.");
}

/* With settings that cannot be used nothing is started and no limit changed; all else works. */
static void test_unusable(void **state) {
        World *w = *state;
        Reply r;

        world_configure(w, "{\"ceiling\": {}}");
        world_launch(w, 1);
        _cleanup_free_ char *text = xasprintf(
                "%s/config/northflare/launcher.json: Unknown member ceiling.", w->dir);
        start(w, &r, &(Start){});
        wait_error(w, &r, "Failed", text);
        verb(w, &r, "SetLimits", UNIT);
        wait_error(w, &r, "Failed", text);
        for (size_t i = 0; i < 5; i++) {
                verb(w, &r, members[i], UNIT);
                good_facts(w);
                answer(w, order(w, members[i]), NULL);
                wait_good(w, &r);
        }
        /* sd-bus sends no text with a noncharacter: the caller would have no answer. */
        world_kill(w);
        world_configure(w, "{\"\xef\xbf\xbf\": {}}");
        world_launch(w, 1);
        start(w, &r, &(Start){});
        wait_error(w, &r, "Failed", world_path(w, "config/northflare/launcher.json: Unknown member "));
        /* It leaves soon, to read them again, also when it is called more often than once a second. */
        world_kill(w);
        world_configure(w, "{\"ceiling\": {}}");
        assert_int_equal(setenv("NF_TEST_LEAVES", "always", 1), 0);
        world_spawn(w, (const char *const[]){ "--idle-sec=3600", NULL });
        answer(w, next_call(w, "Get"), "v", "s", "/");
        assert_int_equal(unsetenv("NF_TEST_LEAVES"), 0);
        int pidfd = (int) syscall(SYS_pidfd_open, w->launcher, 0), left = 0;
        for (unsigned i = 0; i < 100 && left == 0; i++) {
                start(w, &r, &(Start){});
                left = poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, 100);
                reply_done(&r);
        }
        safe_close(pidfd);
        assert_int_equal(left, 1);
        assert_int_equal(world_wait_exit(w), 0);
}

/* A parser that an attacker has taken over gets nothing started, and the launcher answers. */
static void test_parser(void **state) {
        static const struct {
                const char *how, *text;
        } cases[] = {
                { "exit0", "Failed to parse it without privileges: Input/output error" },
                { "kill", "Failed to parse it without privileges: Input/output error" },
                { "stop", "Failed to parse it without privileges: Connection timed out" },
                { "not-dropped", "Failed to parse it without privileges: Operation not permitted" },
                { "enoent", "Input/output error" },
                { "minimum", "Input/output error" },
                { "positive", "Input/output error" },
                { "not-utf8", "???" },
                { "no-end", "aaa" },
                { "n=65", "Invalid argument" },
                { "no-nul", "Invalid argument" },
                { "no-default", "Invalid argument" },
                { "no-default-swap", "Invalid argument" },
                { "no-default-tasks", "Invalid argument" },
                { "no-default-weight", "Invalid argument" },
                { "no-time", "Invalid argument" },
                { "above-ceiling", "Invalid argument" },
                { "ceiling-without-default", "Invalid argument" },
                { "no-bool", "Invalid argument" },
                { "slice-runtime", "Invalid argument" },
                { "slice-out-of-range", "Invalid argument" },
                { "default-out-of-range", "Invalid argument" },
                { "no-scopes", "Invalid argument" },
                { "scopes=4097", "Invalid argument" },
                { "no-log", "Invalid argument" },
                { "out-of-range", "Invalid argument" },
                { "value-without-set", "Invalid argument" },
        };
        World *w = *state;
        Reply r;

        world_configure(w, "{\"maxScopes\": 1}");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *text = xasprintf(
                        "%s/config/northflare/launcher.json: %s", w->dir, cases[i].text);

                print_message("%s\n", cases[i].how);
                assert_int_equal(setenv("NF_TEST_PARSER", cases[i].how, 1), 0);
                world_launch(w, 1);
                start(w, &r, &(Start){});
                wait_error(w, &r, "Failed", text);
                verb(w, &r, "Kill", UNIT);
                good_facts(w);
                answer(w, order(w, "Kill"), NULL);
                wait_good(w, &r);
                no_calls(w);
                world_kill(w);
        }
        assert_int_equal(unsetenv("NF_TEST_PARSER"), 0);
        /* Sixty-four users are no misuse, nor is it one to name them where they mean nothing. */
        world_configure(
                w,
                "{\"agentUsers\": [\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}");
        world_launch(w, 1);
        start(w, &r, &(Start){});
        answer_error(w, next_call(w, "StartTransientUnit"), "UnitMasked");
        wait_error(w, &r, "Failed", "systemd: ");
        world_kill(w);
        /* The text of before, parsed. */
        world_configure(w, "{\"maxScopes\": 1}");
        world_launch(w, 1);
        start(w, &r, &(Start){});
        next_call(w, "StartTransientUnit");
        reply_done(&r);
}

/* What the parser is, whatever the launcher has inherited; and that it ends with the launcher. */
static void test_parser_process(void **state) {
        _cleanup_free_ char *text = NULL;
        World *w = *state;
        int pidfd;
        Reply r;

        world_configure(w, "{}");
        assert_int_equal(setenv("NF_TEST_PARSER", "facts", 1), 0);
        world_launch(w, 1);
        start(w, &r, &(Start){});
        text = xasprintf(
                "%s/config/northflare/launcher.json: uids %u %u %u gids %u %u %u groups %d nnp 1 dumpable 0 death 9 fds 0 1 2 3.",
                w->dir,
                getuid(),
                getuid(),
                getuid(),
                getgid(),
                getgid(),
                getgid(),
                getgroups(0, NULL));
        wait_error(w, &r, "Failed", text);
        world_kill(w);
        assert_int_equal(setenv("NF_TEST_PARSER", "stop-for-good", 1), 0);
        world_spawn(w, NULL);
        pidfd = world_wait_stopped_child(w);
        assert_int_equal(kill(w->launcher, SIGKILL), 0);
        assert_int_equal(world_wait_exit(w), 256 + SIGKILL);
        wait_gone(pidfd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                CASE(test_good),   CASE(test_not_ours),       CASE(test_facts_unreadable),
                CASE(test_names),  CASE(test_refused),        CASE(test_no_answer),
                CASE(test_many),   CASE(test_limits),         CASE(test_unusable),
                CASE(test_parser), CASE(test_parser_process),
        };
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
