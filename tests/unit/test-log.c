/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "common/log.h"

/* Stands in for the journal: the last entry, a field a line. */
static char entry[16384];
static int journal_result;

int sd_journal_sendv(const struct iovec *iov, int n);
int sd_journal_sendv(const struct iovec *iov, int n) {
        size_t size = 0;

        for (int i = 0; i < n; i++) {
                assert_true(size + iov[i].iov_len + 2 < sizeof(entry));
                memcpy(entry + size, iov[i].iov_base, iov[i].iov_len);
                size += iov[i].iov_len;
                entry[size++] = '\n';
        }
        entry[size] = 0;
        return journal_result;
}

static int setup(void **state) {
        entry[0] = 0;
        journal_result = 0;
        log_open("test", LOG_TARGET_JOURNAL);
        log_set_max_level(LOG_INFO);
        return 0;
}

static void expect_field(const char *field) {
        _cleanup_free_ char *line = xasprintf("\n%s\n", field), *all = xasprintf("\n%s", entry);

        if (!strstr(all, line))
                fail_msg("%s is not in %s", field, entry);
}

static void test_fields(void **state) {
        assert_int_equal(log_full(LOG_NOTICE, 0, "0123456789abcdef0123456789abcdef", "It is %s.", "so"), 0);
        expect_field("MESSAGE=It is so.");
        expect_field("PRIORITY=5");
        expect_field("SYSLOG_IDENTIFIER=test");
        expect_field("CODE_FUNC=test_fields");
        expect_field("MESSAGE_ID=0123456789abcdef0123456789abcdef");
        assert_non_null(strstr(entry, "CODE_FILE="));
        assert_non_null(strstr(entry, "CODE_LINE="));
        assert_null(strstr(entry, "ERRNO="));
}

static void test_errno(void **state) {
        errno = EXDEV;
        assert_int_equal(log_error_errno(-ENOENT, "No: %m"), -ENOENT);
        expect_field("MESSAGE=No: No such file or directory");
        expect_field("ERRNO=2");
        expect_field("PRIORITY=3");
        assert_int_equal(errno, EXDEV);
        assert_int_equal(log_warning_errno(EIO, "No"), -EIO);
        expect_field("ERRNO=5");
        assert_int_equal(log_oom(), -ENOMEM);
}

static void test_levels(void **state) {
        assert_int_equal(log_debug_errno(EIO, "quiet"), -EIO);
        assert_string_equal(entry, "");
        log_set_max_level(LOG_DEBUG);
        assert_int_equal(log_get_max_level(), LOG_DEBUG);
        (void) log_debug("loud");
        expect_field("MESSAGE=loud");
        entry[0] = 0;
        log_set_max_level(LOG_ERR);
        (void) log_warning("quiet");
        assert_string_equal(entry, "");
        assert_int_equal(log_level_from_string("debug"), LOG_DEBUG);
        assert_int_equal(log_level_from_string("error"), LOG_ERR);
        assert_int_equal(log_level_from_string("loud"), -EINVAL);
        assert_string_equal(log_level_to_string(LOG_WARNING), "warning");
        assert_null(log_level_to_string(8));
        assert_null(log_level_to_string(-1));
}

static void test_context(void **state) {
        {
                LOG_CONTEXT(outer);
                log_context_push(&outer, "NORTHFLARE_CONVERSATION_ID", "c-1");
                {
                        LOG_CONTEXT(inner);
                        log_context_push(&inner, "NORTHFLARE_RUN", "2");
                        log_context_push(&inner, "NORTHFLARE_NONE", NULL);
                        (void) log_info("both");
                        expect_field("NORTHFLARE_CONVERSATION_ID=c-1");
                        expect_field("NORTHFLARE_RUN=2");
                        assert_null(strstr(entry, "NORTHFLARE_NONE"));
                }
                (void) log_info("one");
                expect_field("NORTHFLARE_CONVERSATION_ID=c-1");
                assert_null(strstr(entry, "NORTHFLARE_RUN"));
        }
        (void) log_info("none");
        assert_null(strstr(entry, "NORTHFLARE_CONVERSATION_ID"));
}

static void test_the_innermost_value_of_a_field_counts(void **state) {
        LOG_CONTEXT(outer);

        log_context_push(&outer, "NORTHFLARE_CONVERSATION_ID", "c-1");
        {
                LOG_CONTEXT(inner);
                log_context_push(&inner, "NORTHFLARE_CONVERSATION_ID", "c-2");
                log_context_push(&inner, "NORTHFLARE_CONVERSATION_ID", "c-3");
                (void) log_info("inner");
                expect_field("NORTHFLARE_CONVERSATION_ID=c-3");
                assert_null(strstr(entry, "=c-1"));
                assert_null(strstr(entry, "=c-2"));
                assert_string_equal(log_context_get("NORTHFLARE_CONVERSATION_ID"), "c-3");
        }
        (void) log_info("outer");
        expect_field("NORTHFLARE_CONVERSATION_ID=c-1");
        assert_null(strstr(entry, "=c-3"));
        assert_string_equal(log_context_get("NORTHFLARE_CONVERSATION_ID"), "c-1");
        assert_null(log_context_get("NORTHFLARE_CONVERSATION"));
}

static void test_a_name_that_begins_like_another_is_another(void **state) {
        LOG_CONTEXT(c);

        log_context_push(&c, "NORTHFLARE_LIMITS", "all");
        log_context_push(&c, "NORTHFLARE_LIMIT", "one");
        (void) log_info("both");
        expect_field("NORTHFLARE_LIMITS=all");
        expect_field("NORTHFLARE_LIMIT=one");
}

static void test_a_subject_is_copied_and_ends_with_its_block(void **state) {
        char id[] = "c-1", unit[] = "u.scope";

        for (unsigned i = 0; i < 2; i++) {
                LOG_ABOUT(.conversation = id, .task = "", .workspace = "w-1", .unit = unit);

                unit[0] = id[0] = 'x';
                (void) log_info("it");
                expect_field("NORTHFLARE_CONVERSATION_ID=c-1");
                expect_field("NORTHFLARE_WORKSPACE_ID=w-1");
                expect_field("NORTHFLARE_UNIT=u.scope");
                assert_null(strstr(entry, "NORTHFLARE_TASK_ID"));
                unit[0] = 'u';
                id[0] = 'c';
                {
                        LOG_ABOUT(.conversation = "c-2", .task = "t-2");
                        (void) log_info("another");
                        expect_field("NORTHFLARE_CONVERSATION_ID=c-2");
                        expect_field("NORTHFLARE_TASK_ID=t-2");
                        assert_null(strstr(entry, "NORTHFLARE_WORKSPACE_ID"));
                        assert_null(log_context_get("NORTHFLARE_UNIT"));
                }
                {
                        LOG_ABOUT(.conversation = "c-1", .task = "t-1");
                        (void) log_info("more of it");
                        expect_field("NORTHFLARE_TASK_ID=t-1");
                        expect_field("NORTHFLARE_WORKSPACE_ID=w-1");
                }
                (void) log_info("it again");
                expect_field("NORTHFLARE_CONVERSATION_ID=c-1");
        }
        (void) log_info("nothing");
        assert_null(strstr(entry, "NORTHFLARE"));
}

static void test_contexts_are_bounded(void **state) {
        char long_value[LOG_COPIES_MAX + 1], big[20000];

        memset(long_value, 'x', sizeof(long_value) - 1);
        long_value[sizeof(long_value) - 1] = 0;
        memset(big, 'y', sizeof(big) - 1);
        big[sizeof(big) - 1] = 0;
        {
                LOG_CONTEXT(many);
                for (int i = 0; i < LOG_CONTEXT_MAX - 1; i++)
                        log_context_push(&many, "FIELD", "x");
                log_context_push_copy(&many, "DROPPED", long_value);
                log_context_push_copy(&many, "LAST", "x");
                log_context_push(&many, "DROPPED", "x");
                assert_int_equal(many.n, LOG_CONTEXT_MAX);
                (void) log_error_errno(EIO, "many");
                assert_null(strstr(entry, "DROPPED"));
                expect_field("FIELD=x");
                expect_field("LAST=x");
        }
        LOG_CONTEXT(again);
        log_context_push(&again, "AGAIN", "x");
        (void) log_info("again");
        expect_field("AGAIN=x");
        assert_null(strstr(entry, "FIELD"));
        /* More than an entry has room for beside the message is not cut. */
        big[15000] = 0;
        log_context_push(&again, "NORTHFLARE_LIMITS", big);
        (void) log_info("big");
        assert_int_equal(
                strlen(strstr(entry, "NORTHFLARE_LIMITS=")), strlen("NORTHFLARE_LIMITS=\n") + 15000);
        expect_field("AGAIN=x");
}

static unsigned n_observed;

static void observe(int level, const char *file, int line, const char *message) {
        assert_int_equal(level, LOG_NOTICE);
        assert_non_null(strstr(file, "test-log.c"));
        assert_string_equal(message, "seen");
        n_observed++;
}

static void test_an_observer_gets_each_line(void **state) {
        log_set_observer(observe);
        (void) log_notice("seen");
        (void) log_debug("unseen");
        log_set_observer(NULL);
        (void) log_notice("unseen");
        assert_int_equal(n_observed, 1);
}

static void test_long_messages_are_cut(void **state) {
        char text[10000];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        (void) log_info("%s", text);
        assert_non_null(strstr(entry, "MESSAGE=xxx"));
        assert_true(strlen(entry) < 4096);
}

/* What two lines at error level put on stderr, through a file. */
static char *capture_stderr(const char *message) {
        _cleanup_(closep) int saved = dup(STDERR_FILENO);
        FILE *f = tmpfile();
        char *text = new0(char, 4096);

        assert_true(f && text && saved >= 0);
        assert_true(dup2(fileno(f), STDERR_FILENO) >= 0);
        (void) log_error("%s", message);
        (void) fflush(stderr);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        rewind(f);
        (void) !fread(text, 1, 4095, f);
        (void) fclose(f);
        return text;
}

static void test_stderr(void **state) {
        _cleanup_free_ char *text = NULL;

        log_open("test", LOG_TARGET_STDERR);
        assert_int_equal(log_get_target(), LOG_TARGET_STDERR);
        text = capture_stderr("to the terminal");
        assert_string_equal(entry, "");
        assert_non_null(strstr(text, "err"));
        assert_true(endswith(text, "to the terminal\n"));
        assert_null(strchr(text, '\033'));
}

static void test_journal_that_is_away(void **state) {
        _cleanup_free_ char *text = NULL;

        journal_result = -ENOENT;
        text = capture_stderr("not lost");
        assert_true(endswith(text, "not lost\n"));
}

/* What is said right before the end: errors without an id, as far as the level that was set. */
static void test_last_words_go_by_the_stream(void **state) {
        _cleanup_free_ char *text = NULL, *later = NULL, *none = NULL;

        log_set_stream(LOG_ERR);
        text = capture_stderr("cannot go on");
        assert_string_equal(text, "<3>cannot go on\n");
        assert_string_equal(entry, "");
        (void) log_warning("goes on");
        expect_field("MESSAGE=goes on");
        (void) log_full(LOG_ERR, 0, "0123456789abcdef0123456789abcdef", "known");
        expect_field("MESSAGE=known");
        log_set_stream(LOG_CRIT);
        none = capture_stderr("by the journal");
        assert_string_equal(none, "");
        log_set_stream(-1);
        later = capture_stderr("later");
        assert_string_equal(later, "");
        expect_field("MESSAGE=later");
}

static void test_target_by_journal_stream(void **state) {
        _cleanup_free_ char *right = NULL;
        struct stat st;

        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
        log_open("test", LOG_TARGET_AUTO);
        assert_int_equal(log_get_target(), LOG_TARGET_STDERR);
        assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
        log_open("test", LOG_TARGET_AUTO);
        assert_int_equal(log_get_target(), LOG_TARGET_STDERR);
        assert_int_equal(setenv("JOURNAL_STREAM", "nonsense", 1), 0);
        log_open("test", LOG_TARGET_AUTO);
        assert_int_equal(log_get_target(), LOG_TARGET_STDERR);
        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        right = xasprintf("%llu:%llu", (unsigned long long) st.st_dev, (unsigned long long) st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", right, 1), 0);
        log_open("test", LOG_TARGET_AUTO);
        assert_int_equal(log_get_target(), LOG_TARGET_JOURNAL);
        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_fields, setup),
                cmocka_unit_test_setup(test_errno, setup),
                cmocka_unit_test_setup(test_levels, setup),
                cmocka_unit_test_setup(test_context, setup),
                cmocka_unit_test_setup(test_the_innermost_value_of_a_field_counts, setup),
                cmocka_unit_test_setup(test_a_name_that_begins_like_another_is_another, setup),
                cmocka_unit_test_setup(test_a_subject_is_copied_and_ends_with_its_block, setup),
                cmocka_unit_test_setup(test_contexts_are_bounded, setup),
                cmocka_unit_test_setup(test_an_observer_gets_each_line, setup),
                cmocka_unit_test_setup(test_long_messages_are_cut, setup),
                cmocka_unit_test_setup(test_stderr, setup),
                cmocka_unit_test_setup(test_journal_that_is_away, setup),
                cmocka_unit_test_setup(test_last_words_go_by_the_stream, setup),
                cmocka_unit_test_setup(test_target_by_journal_stream, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
