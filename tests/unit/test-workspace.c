/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fileio.h"
#include "fake-operation.h"
#include "runner/workspace/repository.h"
#include "runner/workspace/workspace.h"

/* The whole of a checkout but for the launcher: operations are children of the test or a script. */

typedef struct Seen {
        unsigned done, progress;
        int error;
        char *text, *directory, *branch, *head, *status;
        bool inside_start;
        Checkout *checkout; /* freed in the callback */
        CheckoutStatus *asked;
} Seen;

static char *root;
static sd_event *event;
static OperationContext context;

static void seen_done(Seen *s) {
        checkout_free(s->checkout);
        checkout_status_free(s->asked);
        free(s->text);
        free(s->directory);
        free(s->branch);
        free(s->head);
        free(s->status);
}
#define _cleanup_seen_ _cleanup_(seen_done)

static void on_progress(Json *progress, void *userdata) {
        Seen *s = userdata;

        assert_non_null(json_get_string(progress, "phase"));
        s->progress++;
}

static void
on_done(int error,
        const char *text,
        const char *directory,
        const char *branch,
        const char *head,
        void *userdata) {
        Seen *s = userdata;

        assert_false(s->inside_start);
        s->checkout = checkout_free(s->checkout);
        /* Owned by nobody that was freed just now. */
        s->error = error;
        (void) free_and_strdup(&s->text, text);
        (void) free_and_strdup(&s->directory, directory);
        (void) free_and_strdup(&s->branch, branch);
        (void) free_and_strdup(&s->head, head);
        s->done++;
        (void) sd_event_exit(event, 0);
}

static void on_status(int error, const char *text, Json *status, void *userdata) {
        Seen *s = userdata;

        s->asked = checkout_status_free(s->asked);
        s->error = error;
        (void) free_and_strdup(&s->text, text);
        (void) free_and_strdup(&s->status, status ? json_text(status) : NULL);
        s->done++;
        (void) sd_event_exit(event, 0);
}

static void loop(void) {
        assert_true(sd_event_loop(event) >= 0);
}

static int set_up(void **state) {
        sd_event_source *deadline = NULL;

        fake_operation_reset();
        if (sd_event_new(&event) < 0)
                return -1;
        context = (OperationContext){ .event = event, .state_fd = -EBADF };
        /* A test that hangs ends with -ETIME here. */
        if (sd_event_add_time_relative(
                    event,
                    &deadline,
                    CLOCK_MONOTONIC,
                    30 * USEC_PER_SEC,
                    1,
                    NULL,
                    (void *) (intptr_t) -ETIME) < 0)
                return -1;
        (void) sd_event_source_set_floating(deadline, true);
        sd_event_source_unref(deadline);
        return 0;
}

static int tear_down(void **state) {
        event = sd_event_unref(event);
        return 0;
}

static Json *parse(const char *text) {
        Json *o = NULL;

        assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
        return o;
}

static char *in_root(const char *name) {
        char *path = xasprintf("%s/%s", root, name);

        assert_non_null(path);
        return path;
}

static void start(Seen *s, const GitConfig *config, const char *conversation, Json *repository) {
        s->inside_start = true;
        assert_int_equal(
                checkout_start(
                        &context,
                        config,
                        conversation,
                        "ws",
                        repository,
                        on_progress,
                        on_done,
                        s,
                        &s->checkout),
                0);
        s->inside_start = false;
}

static void test_check(void **state) {
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "{\"url\":\"https://example.org/a.git\"}", NULL },
                { "{\"url\":\"https://example.org/a\",\"branch\":\"b\",\"baseBranch\":\"main\",\"commit\":null}",
                  NULL },
                { "[]", "repository: not an object" },
                { "{}", "repository.url: missing" },
                { "{\"url\":7}", "repository.url: missing" },
                { "{\"url\":\"https://localhost/a\"}", "repository.url: its host is this machine" },
                { "{\"url\":\"https://a:SECRET@example.org/a\"}", "repository.url: it has a password" },
                { "{\"url\":\"https://example.org/a\",\"branch\":\"--x\"}", "repository.branch:" },
                { "{\"url\":\"https://example.org/a\",\"baseBranch\":[]}", "repository.baseBranch:" },
                { "{\"url\":\"https://example.org/a\",\"commit\":\"abc\"}", "repository.commit:" },
        };
        const GitConfig config = {};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ Json *repository = parse(cases[i].text);
                _cleanup_free_ char *error = NULL;
                int r = checkout_check(repository, &config, &error);

                assert_int_equal(r, cases[i].error ? -EINVAL : 0);
                if (cases[i].error)
                        assert_non_null(startswith(error, cases[i].error));
                else
                        assert_null(error);
        }
}

static void test_branch(void **state) {
        _cleanup_json_ Json *named = parse("{\"branch\":\"x\"}"), *plain = parse("{}");
        _cleanup_free_ char *a = checkout_branch(named, "c"), *b = checkout_branch(plain, "c-1"),
                            *c = checkout_branch(plain, "c.lock"), *d = checkout_branch(plain, "c.");

        assert_string_equal(a, "x");
        assert_string_equal(b, "northflare/c-1");
        assert_string_equal(c, "northflare/c.lock_");
        assert_string_equal(d, "northflare/c._");
}

static void test_whole(void **state) {
        _cleanup_free_ char *cache = in_root("cache"),
                            *text = xasprintf("{\"url\":\"file://%s/repo.git\"}", root);
        _cleanup_json_ Json *repository = parse(text);
        const GitConfig config = { .cache_dir = cache, .allow_loopback = true };
        _cleanup_free_ char *first_head = NULL;

        for (unsigned round = 0; round < 2; round++) {
                _cleanup_seen_ Seen s = {};
                struct stat st;

                start(&s, &config, "c-1", repository);
                loop();
                assert_int_equal(s.done, 1);
                assert_int_equal(s.error, 0);
                assert_true(endswith(s.directory, "/checkouts/c-1"));
                assert_string_equal(s.branch, "northflare/c-1");
                assert_int_equal(strlen(s.head), 40);
                assert_int_equal(stat(s.directory, &st), 0);
                if (round == 0)
                        assert_true(s.progress > 0);
                else
                        assert_string_equal(s.head, first_head);
                (void) free_and_strdup(&first_head, s.head);
                assert_int_equal(tear_down(NULL), 0);
                assert_int_equal(set_up(NULL), 0);
        }

        _cleanup_seen_ Seen s = {};
        _cleanup_free_ char *directory = in_root("ws/checkouts/c-1");
        assert_int_equal(
                checkout_status_start(&context, &config, "c-1", "ws", directory, on_status, &s, &s.asked),
                0);
        loop();
        assert_int_equal(s.error, 0);
        _cleanup_json_ Json *status = parse(s.status);
        assert_string_equal(json_get_string(status, "branch"), "northflare/c-1");
        assert_string_equal(json_get_string(status, "head"), first_head);
        assert_non_null(strstr(s.status, "\"dirty\":false"));
        assert_non_null(strstr(s.status, "\"unpushed\":0"));
}

static void test_bound(void **state) {
        _cleanup_free_ char *cache = in_root("cache"),
                            *text = xasprintf("{\"url\":\"file://%s/repo.git\"}", root),
                            *directory = in_root("ws/checkouts/c-bound");
        _cleanup_json_ Json *repository = parse(text);
        const GitConfig config = { .cache_dir = cache,
                                   .allow_loopback = true,
                                   .bounds = { [GIT_BOUND_CHECKOUT_BYTES] = 1 } };
        _cleanup_seen_ Seen s = {};

        start(&s, &config, "c-bound", repository);
        loop();
        assert_int_equal(s.error, -EFBIG);
        assert_non_null(strstr(s.text, "above the bound of 1 (git.maxCheckoutBytes)"));
        assert_int_equal(access(directory, F_OK), -1);
}

static void test_missing_branch(void **state) {
        _cleanup_free_ char *cache = in_root("cache"),
                            *text = xasprintf("{\"url\":\"file://%s/repo.git\",\"branch\":\"nope\"}", root);
        _cleanup_json_ Json *repository = parse(text);
        const GitConfig config = { .cache_dir = cache, .allow_loopback = true };
        _cleanup_seen_ Seen s = {};

        start(&s, &config, "c-2", repository);
        loop();
        assert_int_equal(s.error, -ENOENT);
        assert_string_equal(s.text, "the repository has no branch nope");
        assert_int_equal(fake_operation.started, 1);
}

static void write_file(const char *name, const char *contents) {
        _cleanup_free_ char *path = in_root(name);

        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, contents, strlen(contents)), 0);
}

static const char *const no_lines[] = { NULL };

static void test_credential(void **state) {
        char *const hosts[] = { (char *) "example.org", NULL };
        _cleanup_free_ char *token = in_root("token"), *key = in_root("key");
        struct {
                const char *url, *credential, *contents;
                char *const *hosts;
        } cases[] = {
                { "https://example.org/a", "token", "tok-SECRET\n", NULL },
                { "https://example.org/a", "token", "tok-SECRET\n", hosts },
                { "https://evil.example/a", NULL, NULL, hosts },
                { "ssh://git@example.org/a", "sshKey", "key-SECRET\n", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const GitConfig config = {
                        .token_file = token,
                        .ssh_key_file = key,
                        .credential_hosts = cases[i].hosts,
                };
                _cleanup_free_ char *text = xasprintf("{\"url\":\"%s\"}", cases[i].url);
                _cleanup_json_ Json *repository = parse(text), *request = NULL;
                _cleanup_seen_ Seen s = {};

                fake_operation_reset();
                fake_operation.script = no_lines;
                start(&s, &config, "c", repository);
                assert_int_equal(fake_operation.started, 1);
                assert_int_equal(fake_operation.kind, SCOPE_GIT);
                assert_null(strstr(fake_operation.input, "SECRET"));
                request = parse(fake_operation.input);
                assert_true(streq_ptr(json_get_string(request, "credential"), cases[i].credential));
                assert_true(streq_ptr(fake_operation.extra, cases[i].contents));
                if (cases[i].contents)
                        assert_int_equal(
                                fake_operation.seals,
                                F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
        }
}

static void test_credential_missing(void **state) {
        const GitConfig config = { .token_file = "/nonexistent/token" };
        _cleanup_json_ Json *repository = parse("{\"url\":\"https://example.org/a\"}");
        _cleanup_seen_ Seen s = {};

        fake_operation.script = no_lines;
        start(&s, &config, "c", repository);
        loop();
        assert_int_equal(fake_operation.started, 0);
        assert_int_equal(s.error, -ENOENT);
        assert_non_null(startswith(s.text, "failed to read git.tokenFile"));
}

static void test_not_allowed_any_more(void **state) {
        const GitConfig config = {};
        _cleanup_json_ Json *repository = parse("{\"url\":\"https://localhost/a\"}");
        _cleanup_seen_ Seen s = {};

        fake_operation.script = no_lines;
        start(&s, &config, "c", repository);
        loop();
        assert_int_equal(fake_operation.started, 0);
        assert_int_equal(s.error, -EINVAL);
}

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* Every answer of a script goes to both steps: a result of a fetch is none of a checkout. */
static void test_answers(void **state) {
        static const char *const error[] = {
                "{\"type\":\"error\",\"code\":\"auth\",\"text\":\"no\\u001b[31m\\nway\"}", NULL
        };
        static const char *const other_folder[] = {
                "{\"type\":\"result\",\"commit\":\"" COMMIT
                "\",\"directory\":\"/etc\",\"branch\":\"b\",\"head\":\"" COMMIT "\"}",
                NULL
        };
        static const char *const climbing[] = { "{\"type\":\"result\",\"commit\":\"" COMMIT
                                                "\",\"directory\":\"/a/../checkouts/c\"}",
                                                NULL };
        static const char *const odd[] = {
                "rubbish",
                "{}",
                "[1]",
                "{\"type\":\"progress\",\"phase\":\"evil\"}",
                "{\"type\":\"result\",\"commit\":\"" COMMIT
                "\",\"directory\":\"/h/checkouts/c\",\"branch\":\"-x\",\"head\":\"y\"}",
                "{\"type\":\"error\",\"code\":\"auth\",\"text\":\"too late\"}",
                NULL
        };
        static const struct {
                const char *const *script;
                int status, run_error, error;
                const char *text;
                unsigned started;
        } cases[] = {
                { error, 1, 0, -EACCES, "no [31m way", 1 },
                { error, 0, 0, -EACCES, "no [31m way", 1 },
                { no_lines, 0, 0, -EIO, "git exited with status 0 without a result", 1 },
                { no_lines, 137, 0, -ECHILD, "git was ended by signal 9", 1 },
                { no_lines, 0, -ENOMEDIUM, -ENOMEDIUM, "failed to run git: the launcher said no", 1 },
                { other_folder, 0, 0, -EIO, "the result of the checkout names another directory", 2 },
                { climbing, 0, 0, -EIO, "the result of the checkout names another directory", 2 },
                { other_folder, 1, 0, -EIO, "git exited with status 1 without a result", 1 },
                { odd, 0, 0, 0, NULL, 2 },
        };
        const GitConfig config = {};
        _cleanup_json_ Json *repository = parse("{\"url\":\"https://example.org/a\"}");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_seen_ Seen s = {};

                fake_operation_reset();
                fake_operation.script = cases[i].script;
                fake_operation.script_status = cases[i].status;
                fake_operation.script_error = cases[i].run_error;
                start(&s, &config, "c", repository);
                loop();
                assert_int_equal(s.done, 1);
                assert_int_equal(s.error, cases[i].error);
                if (cases[i].text)
                        assert_string_equal(s.text, cases[i].text);
                else {
                        assert_string_equal(s.directory, "/h/checkouts/c");
                        assert_null(s.branch);
                        assert_null(s.head);
                        assert_int_equal(s.progress, 0);
                }
                assert_int_equal(fake_operation.started, cases[i].started);
                assert_int_equal(tear_down(NULL), 0);
                assert_int_equal(set_up(NULL), 0);
        }
}

static void test_flood(void **state) {
        static const char *flood[2002];
        const GitConfig config = {};
        _cleanup_json_ Json *repository = parse("{\"url\":\"https://example.org/a\"}");
        _cleanup_seen_ Seen s = {};

        for (size_t i = 0; i < 2000; i++)
                flood[i] = i % 2 ?
                        "{\"type\":\"progress\",\"phase\":\"receiving\",\"received\":-1,\"total\":\"x\"}" :
                        "{\"type\":\"progress\",\"phase\":\"resolving\",\"received\":1}";
        flood[2000] = "{\"type\":\"error\",\"code\":\"x\",\"text\":\"\"}";
        fake_operation.script = flood;
        start(&s, &config, "c", repository);
        loop();
        assert_int_equal(s.error, -EIO);
        assert_in_range(s.progress, 1, 40);
}

static void test_cancel(void **state) {
        const GitConfig config = {};
        _cleanup_json_ Json *repository = parse("{\"url\":\"https://example.org/a\"}");
        _cleanup_seen_ Seen cancelled = {}, other = {};

        fake_operation.script = no_lines;
        start(&cancelled, &config, "c", repository);
        start(&other, &config, "d", repository);
        cancelled.checkout = checkout_free(cancelled.checkout);
        loop();
        assert_int_equal(cancelled.done, 0);
        assert_int_equal(other.done, 1);
        assert_int_equal(fake_operation.freed_early, 1);
}

static int make_root(void **state) {
        _cleanup_free_ char *command = NULL;
        char template[] = "/tmp/northflare-workspace.XXXXXX";

        root = mkdtemp(template) ? strdup(template) : NULL;
        fake_operation.program = getenv("NF_GIT");
        if (!root || !fake_operation.program)
                return -1;
        fake_operation.workspace = in_root("ws");
        fake_operation.home = in_root("home");
        write_file("token", "tok-SECRET\n");
        write_file("key", "key-SECRET\n");
        command = xasprintf(
                "cd %s && mkdir ws home && export HOME=$PWD/home GIT_CONFIG_NOSYSTEM=1 && git init -q -b main w && cd w && "
                "echo a >a && git add a && git -c user.name=t -c user.email=t@t commit -qm one && "
                "git clone -q --bare . ../repo.git",
                root);
        return system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c): fixed text */
}

static int remove_root(void **state) {
        int r = remove_tree_at(AT_FDCWD, root);

        fake_operation_reset();
        free((char *) fake_operation.workspace);
        free((char *) fake_operation.home);
        free(root);
        return r;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_branch),
                cmocka_unit_test_setup_teardown(test_whole, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bound, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_missing_branch, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_credential, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_credential_missing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_not_allowed_any_more, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, make_root, remove_root);
}
