/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "runner/scope/operation.h"

/* What is said of an operation that ended, by what its supervisor wrote down. Real: the files and the watch on them. Launcher and
 * supervisor are the test's; what a scope's limits do is seen in tests/limits/memory and tests/system/workspace. */

struct LauncherCall {
        sd_event_source *source;
        LauncherDone done;
        void *userdata;
};

static struct {
        char path[64];
        int fd;
        sd_event *event;
        Watch *watch;
        const char *outcome; /* NULL: the job goes on until it is killed */
        int dirfd, bell;
        sd_event_source *bell_source;
        int error, status;
        char *text;
        unsigned done;
} world;

static void write_outcome(const char *text) {
        assert_int_equal(write_file_atomic_at(world.dirfd, "outcome.json", text, strlen(text), 0600), 0);
}

static int on_bell(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        char bytes[16];
        ssize_t n = read(fd, bytes, sizeof(bytes));

        for (ssize_t i = 0; i < n; i++)
                if (bytes[i] == 'k')
                        write_outcome("{\"signal\":9}");
        return 0;
}

static int on_launched(sd_event_source *source, void *userdata) {
        LauncherCall *c = userdata;

        c->done(0, NULL, "northflare-git-a-1.scope", "00", c->userdata);
        return 0;
}

int launcher_start(
        sd_bus *bus,
        const LauncherStart *start,
        LauncherDone done,
        void *userdata,
        LauncherCall **ret) {
        LauncherCall *c = new0(LauncherCall, 1);

        assert_non_null(c);
        *c = (LauncherCall){ .done = done, .userdata = userdata };
        world.dirfd = fcntl(start->dirfd, F_DUPFD_CLOEXEC, 3);
        world.bell = openat(world.dirfd, "bell", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        assert_true(world.bell >= 0);
        assert_true(
                sd_event_add_io(world.event, &world.bell_source, world.bell, EPOLLIN, on_bell, NULL) >= 0);
        if (world.outcome)
                write_outcome(world.outcome);
        assert_true(sd_event_add_defer(world.event, &c->source, on_launched, c) >= 0);
        *ret = c;
        return 0;
}

LauncherCall *launcher_call_free(LauncherCall *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->source);
        free(c);
        return NULL;
}

static void on_line(Operation *o, const char *line, size_t size, void *userdata) {
        fail_msg("a line came");
}

static void on_done(Operation *o, int error, const char *text, int status, void *userdata) {
        world.error = error;
        world.status = status;
        (void) free_and_strdup(&world.text, text);
        world.done++;
        (void) sd_event_exit(world.event, 0);
}

static int setup(void **state) {
        world = (typeof(world)){ .dirfd = -EBADF, .bell = -EBADF };
        (void) snprintf(world.path, sizeof(world.path), "/tmp/nf-operation-XXXXXX");
        assert_non_null(mkdtemp(world.path));
        world.fd = open(world.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(sd_event_new(&world.event) >= 0);
        assert_int_equal(watch_new(world.event, &world.watch), 0);
        return 0;
}

static int teardown(void **state) {
        sd_event_source_disable_unref(world.bell_source);
        watch_free(world.watch);
        sd_event_unref(world.event);
        free(world.text);
        safe_close(world.dirfd);
        safe_close(world.bell);
        safe_close(world.fd);
        return remove_tree_at(AT_FDCWD, world.path);
}

static void run(const char *outcome, uint64_t timeout_usec) {
        const OperationContext context = {
                .event = world.event,
                .watch = world.watch,
                .state_fd = world.fd,
        };
        char *const none[] = { NULL };
        Operation *o;

        world.outcome = outcome;
        assert_int_equal(
                operation_start(
                        &context,
                        &(OperationParams){
                                .kind = SCOPE_GIT,
                                .id = "a",
                                .argv = none,
                                .env = none,
                                .input = "{}\n",
                                .input_size = 3,
                                .extra = { -EBADF, -EBADF },
                                .timeout_usec = timeout_usec,
                                .line = on_line,
                                .done = on_done,
                        },
                        &o),
                0);
        assert_int_equal(world.done, 0);
        assert_true(sd_event_loop(world.event) >= 0);
        assert_int_equal(world.done, 1);
        operation_free(o);
}

static void test_an_end_says_which_limit_it_was(void **state) {
        static const struct {
                const char *outcome;
                int error, status;
                const char *text;
        } cases[] = {
                { "{\"exitCode\":0}", 0, 0, NULL },
                { "{\"exitCode\":3}", 0, 3, NULL },
                { "{\"signal\":15}", 0, 128 + SIGTERM, NULL },
                { "{\"signal\":9,\"resources\":{\"oomKills\":1}}",
                  0,
                  128 + SIGKILL,
                  "its scope's memoryMax was reached" },
                { "{\"signal\":9,\"resources\":{\"oomKills\":0}}", 0, 128 + SIGKILL, NULL },
                /* Somebody else in the scope was killed. */
                { "{\"exitCode\":1,\"resources\":{\"oomKills\":1}}", 0, 1, NULL },
                { "{\"exitCode\":1,\"resources\":{\"pidsMaxEvents\":2}}",
                  0,
                  1,
                  "its scope's tasksMax was reached" },
                { "{\"signal\":6,\"resources\":{\"pidsMaxEvents\":1}}",
                  0,
                  128 + SIGABRT,
                  "its scope's tasksMax was reached" },
                { "{\"signal\":9,\"resources\":{\"oomKills\":1,\"pidsMaxEvents\":1}}",
                  0,
                  128 + SIGKILL,
                  "its scope's memoryMax was reached" },
                { "{\"signal\":9,\"stoppedBy\":\"supervisor\"}",
                  -ETIMEDOUT,
                  0,
                  "its scope's runtimeMaxSec was reached" },
                { "{\"signal\":15,\"stoppedBy\":\"systemd\"}", 0, 128 + SIGTERM, NULL },
                { "{\"stage\":\"exec\",\"errno\":2}", -ENOENT, 0, "failed to execute the program" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                run(cases[i].outcome, 0);
                if (world.error != cases[i].error || world.status != cases[i].status ||
                    !streq_ptr(world.text, cases[i].text))
                        fail_msg(
                                "%s: %d, %d, %s",
                                cases[i].outcome,
                                world.error,
                                world.status,
                                strempty(world.text));
                assert_int_equal(teardown(NULL), 0);
                assert_int_equal(setup(NULL), 0);
        }
}

static void test_the_callers_time_is_named_by_its_key(void **state) {
        run(NULL, USEC_PER_MSEC);
        assert_int_equal(world.error, -ETIMEDOUT);
        assert_string_equal(world.text, "git.timeoutSecs was reached");
}

static void test_an_end_within_the_callers_time_is_an_end(void **state) {
        run("{\"exitCode\":0}", 3600 * USEC_PER_SEC);
        assert_int_equal(world.error, 0);
        assert_int_equal(world.status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(an_end_says_which_limit_it_was),
                TEST(the_callers_time_is_named_by_its_key),
                TEST(an_end_within_the_callers_time_is_an_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
